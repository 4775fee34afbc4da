"""Plain texts to continuations: `POST /completions`."""

from burnish.serve.inference.completions.router import build_router

__all__ = ["build_router"]
