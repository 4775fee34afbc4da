"""Where a value of the recipe came from."""

from dataclasses import dataclass
from enum import StrEnum


class OriginKind(StrEnum):
    """Who decided."""

    DEFAULT = "default"
    AUTO = "auto"
    FILE = "file"
    COMMAND_LINE = "command line"


@dataclass(frozen=True)
class Origin:
    """Who decided a value, and for `auto` the reason, for `file` the file."""

    kind: OriginKind
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}" if self.detail else str(self.kind)
