"""Many requests and many adapters on one base model, answered together, token by token."""
