"""What `burnish serve` was told."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

MIB = 2**20


class EngineKind(StrEnum):
    """What answers requests."""

    BURNISH = "burnish"
    VLLM = "vllm"


@dataclass(frozen=True, kw_only=True)
class VllmSettings:
    """What vLLM has to know when it starts; of no meaning to burnish's own engine."""

    memory_share: float = 0.5
    """Of the device's memory, for the weights of one base with its keys and values; jobs train in what is left."""
    max_adapters: int = 4
    """That may answer together; requests for another one wait until a place is free."""
    max_rank: int = 64
    """Of an adapter; wider ones are refused."""


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """Where a server listens, what it keeps, and its limits."""

    runs: Path
    """The run folders; jobs put theirs there, too."""
    base: str = "smollm2-135m-instruct"
    """The base model that is served even where no run has used it."""
    host: str = "127.0.0.1"
    port: int = 8000
    allowed_hosts: tuple[str, ...] = ()
    """Names under which a proxy serves this server, with a port where it is not the usual one."""
    api_key_sha256: str | None = None
    """Of the key that clients must send; None where none is asked for."""
    max_batch: int = 16
    """Sequences that are extended together."""
    max_waiting: int = 256
    """Requests that may wait for a place; more are told to come back."""
    adapter_bytes: int = 512 * MIB
    prefix_bytes: int = 512 * MIB
    """Keys and values of prompts that are kept for later ones with the same beginning."""
    engine: EngineKind = EngineKind.BURNISH
    vllm: VllmSettings = VllmSettings()
    max_body_bytes: int = 8 * MIB
    """Of a request that is no file."""
    max_file_bytes: int = 512 * MIB
    requests_per_minute: int = 0
    """Of one key or address; 0 where there is no limit."""
    trains: bool = True
    """Whether fine-tuning jobs are worked on."""
    min_examples: int = 10
    """Of a training file."""
    says_paused: bool = True
    """Whether a paused job says "paused", as OpenAI documents, or "queued", as its client's types expect."""
    encodes_results: bool = True
    """Whether result files go to OpenAI's clients in base64, as OpenAI sends them."""

    @property
    def folder(self) -> Path:
        """Uploaded files and the database of jobs."""
        return self.runs / "serve"
