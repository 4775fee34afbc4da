"""Rows -> drafts of conversations: how a file's format is recognised, and what is wrong with a row of it."""
