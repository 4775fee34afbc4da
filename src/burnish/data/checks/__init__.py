"""Checks of the rows of a file together: copies, contradictions, leaks, labels, languages, lengths."""
