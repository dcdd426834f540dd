"""How the trials of a sweep are chosen, run, stopped early, and gone on with after a kill."""
