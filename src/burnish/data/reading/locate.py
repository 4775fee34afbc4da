"""The name of a data file -> where it lies on this machine; a file of the hub is fetched into the hub's cache."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from burnish.data.reading.documents import texts_in
from burnish.data.reading.rows import TABLE_SUFFIXES
from burnish.errors import DataError
from burnish.files import sha256_of_file, sha256_of_json

HUB_PREFIX = "hf://datasets/"


def locate(name: str) -> Path:
    """The path of a data file, or of hf://datasets/OWNER/NAME[@REVISION][/FILE].

    Raises:
        DataError: the hub cannot be reached, or has no such file, or more than one that it could be.
    """
    if not name.startswith("hf://"):
        return Path(name)
    parts = _HUB_NAME.fullmatch(name)
    if not parts:
        raise DataError(f"{name}: not the name of a dataset. Write {HUB_PREFIX}OWNER/NAME[@REVISION][/FILE].")
    repo, file = parts["repo"], parts["file"]
    revision = unquote(parts["revision"]) if parts["revision"] else None
    return _download(name, repo, file or _only_file(name, _files(name, repo, revision)), revision)


def sha256_of_data(path: Path) -> str:
    """The hash of a file's bytes, or of the names and bytes of all texts in a folder."""
    if not path.is_dir():
        return sha256_of_file(path)
    return sha256_of_json([[name, sha256_of_file(file)] for file, name in texts_in(path)])


def _only_file(name: str, files: list[str]) -> str:
    tables = [file for file in files if file.lower().removesuffix(".gz").endswith(TABLE_SUFFIXES)]
    if len(tables) == 1:
        return tables[0]
    if not tables:
        raise DataError(f"{name}: no file in it is read by burnish. Files may end in {', '.join(TABLE_SUFFIXES)}.")
    shown = ", ".join(tables[:10]) + (", ..." if len(tables) > 10 else "")
    raise DataError(f"{name}: {len(tables)} files: {shown}. Name the one you want, as {name}/{tables[0]}.")


def _files(name: str, repo: str, revision: str | None) -> list[str]:
    from huggingface_hub import HfApi

    with _told(name):
        return list(HfApi().list_repo_files(repo, revision=revision, repo_type="dataset"))


def _download(name: str, repo: str, file: str, revision: str | None) -> Path:
    from huggingface_hub import hf_hub_download

    with _told(name):
        return Path(hf_hub_download(repo, file, revision=revision, repo_type="dataset"))


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Turn the hub's refusals into a DataError."""
    try:
        yield
    except Exception as error:  # the hub's library lets through what its HTTP library raises, now this one, now that
        is_offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
        reason = " ".join(str(error).split()) or type(error).__name__
        reason = "HF_HUB_OFFLINE is set and it is not in the cache" if is_offline else reason
        raise DataError(f"{name}: cannot be had ({reason}). {_REMEDY}") from None


_HUB_NAME = re.compile(re.escape(HUB_PREFIX) + r"(?P<repo>[^/@]+/[^/@]+)(@(?P<revision>[^/]+))?(/(?P<file>.+))?")
_REMEDY = (
    "Check the name, the connection and, for a dataset that is not public, HF_TOKEN; or download the file yourself."
)
