"""Conversations to answers: `POST /chat/completions`."""

from burnish.serve.inference.chat.router import build_router

__all__ = ["build_router"]
