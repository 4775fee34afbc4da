"""Specialists behind the OpenAI wire: chat, completions, embeddings, files and fine-tuning jobs."""
