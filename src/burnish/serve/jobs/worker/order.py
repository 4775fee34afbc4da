"""What a job's process is told when it is started, and where its things lie."""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

EXIT_STOPPED = 75
"""The process was asked to stop, or lost its job; nothing went wrong."""


class Phase(StrEnum):
    """What is to be done with a job."""

    VALIDATE = "validate"
    TRAIN = "train"


@dataclass(frozen=True)
class Order:
    """One job, one phase, one token."""

    runs: str
    job_id: str
    token: str
    phase: Phase
    min_examples: int

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        values = json.loads(text)
        return cls(**{**values, "phase": Phase(values["phase"])})

    @property
    def store_folder(self) -> Path:
        return Path(self.runs) / "serve"

    @property
    def folder(self) -> Path:
        return job_folder(self.store_folder, self.job_id)


def job_folder(store_folder: Path, job_id: str) -> Path:
    """Where a job keeps its files: copies of what it learns from, its log, its lock, the adapters of its epochs."""
    return store_folder / "jobs" / job_id


def lock_of(folder: Path) -> Path:
    """Held by the process that works on the job, as long as it lives."""
    return folder / "child.lock"


def pid_of(folder: Path) -> Path:
    """The number of that process."""
    return folder / "child.pid"


def log_of(folder: Path) -> Path:
    """What the job's processes have said to nobody."""
    return folder / "log.txt"
