"""Whom to ask, at which pace, and how patiently."""

import asyncio
import random
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from burnish.errors import EndpointError


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Whom to ask, and how."""

    base_url: str
    """With the version: https://api.openai.com/v1."""
    model: str
    key: str | None = field(default=None, repr=False)
    key_env: str = "OPENAI_API_KEY"
    """Where the key is from, for messages."""
    max_tokens: int = 1024
    temperature: float = 0.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise EndpointError(
                f"{self.base_url!r}: no address of an endpoint. Write it like https://api.openai.com/v1."
            )

    @property
    def host(self) -> str:
        """Without user, password and path."""
        parts = urlsplit(self.base_url)
        return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)

    @property
    def address(self) -> str:
        """As it may be shown: the URL without user and password."""
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{self.host}{parts.path}"


@dataclass(frozen=True)
class Patience:
    """How often a question is asked, and the waits in between: doubled each time, with a little chance in them."""

    num_attempts: int = 6
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0

    def wait_s(self, attempt: int) -> float:
        """After the `attempt`-th time, from 0."""
        return float(min(self.longest_wait_s, self.first_wait_s * 2**attempt) * random.uniform(0.75, 1.0))


class Pace:
    """When the next request may go out: so many a minute, and none while the endpoint has asked for a pause."""

    def __init__(self, per_minute: float | None = None) -> None:
        self._interval = 60 / per_minute if per_minute else 0.0
        self._free_at = 0.0

    async def turn(self) -> None:
        """Wait for it."""
        now = time.monotonic()
        start = max(now, self._free_at)
        self._free_at = start + self._interval
        await asyncio.sleep(start - now)

    def pause(self, seconds: float) -> None:
        """Let nobody begin before that."""
        self._free_at = max(self._free_at, time.monotonic() + seconds)
