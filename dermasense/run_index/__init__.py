"""The runs under a folder: found, chosen, compared, cleaned up."""
