"""The part of the OpenAI wire that answers: chat, completions, embeddings, models."""
