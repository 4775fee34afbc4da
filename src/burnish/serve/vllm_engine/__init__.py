"""The same requests answered by vLLM, where that is installed; only `client.py` speaks its words."""
