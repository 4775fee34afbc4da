"""A cleaned copy of a data file: rows removed, texts cleaned, private values redacted; every change is logged."""
