"""Requests that are nearly right, and what must hold of every reply to them."""
