"""The part of the OpenAI wire that trains: files, uploads, fine-tuning jobs and their worker."""
