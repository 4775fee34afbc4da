"""Names of models to what answers for them: base models, runs, fine-tuned models, checkpoints, aliases."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.conversation import Task
from burnish.serve.engine.request import AdapterRef


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """One name of `/v1/models`."""

    id: str
    created: int
    owned_by: str
    """"burnish" for base models, "organization" for what was trained here."""
    base: str
    """The base model as a recipe names it."""
    adapter: AdapterRef | None = None
    task: Task | None = None
    """What it was trained for; None for a base model."""
    system: str = ""
    """Put first where a conversation brings no system message."""
    labels: tuple[str, ...] = ()
    """Where there are any, answers are one of them."""
    schema: Mapping[str, Any] | None = None
    """Where there is one, answers are JSON that fits it."""
    max_new_tokens: int = 512
    thinking: bool = False
    solution: Path | None = None
    """The solution of a run that answers otherwise than by the adapter alone: shots, retrieval, a classifier."""
