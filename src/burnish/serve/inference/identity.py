"""Who answered: what replies say of themselves."""

import hashlib
import time
import uuid
from importlib.metadata import version
from typing import Any

from burnish.serve.catalog import ServedModel
from burnish.serve.inference.backend import Backend


def reply_head(prefix: str, kind: str, model: ServedModel, backend: Backend) -> dict[str, Any]:
    """The fields that a reply and all chunks of a stream begin with."""
    return {
        "id": f"{prefix}-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": model.id,
        "system_fingerprint": system_fingerprint(model, backend),
    }


def system_fingerprint(model: ServedModel, backend: Backend) -> str:
    """Changes whenever equal seeds may get other answers: with the weights, the adapter or burnish."""
    # What was trained here knows its base's hash; only a base itself has to be read, and an encoder never is.
    base = model.base_fingerprint or backend.base_fingerprint(model)
    trained = model.adapter.name if model.adapter else str(model.solution or "")
    parts = "\n".join((base, trained, version("burnish")))
    return f"fp_{hashlib.sha256(parts.encode()).hexdigest()[:12]}"


def usage(num_prompt: int, num_new: int, num_cached: int = 0) -> dict[str, Any]:
    """What a reply cost, in tokens."""
    return {
        "prompt_tokens": num_prompt,
        "completion_tokens": num_new,
        "total_tokens": num_prompt + num_new,
        "prompt_tokens_details": {"cached_tokens": num_cached},
    }
