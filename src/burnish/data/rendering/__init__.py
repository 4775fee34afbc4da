"""Examples -> token ids with a loss mask, through the chat template of the base model."""
