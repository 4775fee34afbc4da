"""A cleaned copy of a data file, row by row."""
