"""Graders: an answer of a model, scored."""

from burnish.serve.jobs.graders.routes import build_router

__all__ = ["build_router"]
