"""What the Tab key offers."""
