"""The user's cache: what burnish would otherwise fetch, convert or compute again. No result depends on it."""

import contextlib
import functools
import logging
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from burnish.files import read_json, write_json


def cache_dir() -> Path:
    """The folder of the cache: BURNISH_CACHE, else the platform's usual place.

    A place that cannot be had, as in a container without a home folder, is replaced by a temporary one, with one
    warning for each process. `find_cached` still reads what lies in the place that cannot be written.
    """
    return _writable(_preferred_dir())


def find_cached(name: str) -> Path | None:
    """The file or folder of that name, relative to the cache; None if there is none."""
    places = dict.fromkeys(folder for folder in (_preferred_dir(), cache_dir()) if folder)
    return next((folder / name for folder in places if os.access(folder / name, os.R_OK)), None)


def read_cached_json(path: Path) -> Any | None:
    """The JSON value in a file of the cache; None if it is absent or damaged."""
    try:
        return read_json(path)
    except (OSError, ValueError):
        return None


def write_cached_json(path: Path, value: Any) -> None:
    """Keep a JSON value in the cache if it can be written."""
    with tolerate_unwritable():
        write_json(path, value)


@contextlib.contextmanager
def tolerate_unwritable() -> Iterator[None]:
    """In the block something is written into the cache; a cache that cannot be written is no reason to stop."""
    with contextlib.suppress(OSError):  # StorageError is one
        yield


def _preferred_dir() -> Path | None:
    """Where the cache should be; None for a user without a home folder."""
    if chosen := os.environ.get("BURNISH_CACHE"):
        return Path(os.path.expanduser(chosen))
    if os.name == "nt" and (local := os.environ.get("LOCALAPPDATA")):
        return Path(local) / "burnish" / "cache"
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "burnish"
    with contextlib.suppress(RuntimeError):  # no HOME, and a user that the system does not know
        return Path.home() / ".cache" / "burnish"
    return None


@functools.cache
def _writable(preferred: Path | None) -> Path:
    """The preferred folder if it can be written, else a temporary one."""
    reason = "there is no home folder"
    if preferred:
        try:
            preferred.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=preferred):
                return preferred
        except OSError as error:
            reason = f"{preferred} cannot be written ({error.strerror or error})"
    try:
        folder = _temporary_dir()
    except OSError:
        _warn(f"{reason}, and no temporary folder either: burnish keeps no cache.")
        return preferred or Path(os.devnull) / "burnish"  # each write fails, and is tolerated
    _warn(f"{reason}; burnish keeps its cache in {folder}.")
    return folder


def _temporary_dir() -> Path:
    """A folder that only this user can write; the same one for all processes of the user where that is safe."""
    user = getattr(os, "getuid", lambda: 0)()
    folder = Path(tempfile.gettempdir()) / f"burnish-cache-{user}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == user and not found.st_mode & 0o022:
        return folder
    return Path(tempfile.mkdtemp(prefix="burnish-cache-"))  # somebody else made that name


def _warn(what: str) -> None:
    """On stderr where the program that imports burnish has not set up logging."""
    logging.getLogger("burnish").warning("note: %s Set BURNISH_CACHE to a folder that you can write.", what)
