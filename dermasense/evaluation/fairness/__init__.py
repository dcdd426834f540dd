"""How well each group of people is served, and whether groups differ: pure functions on tables."""
