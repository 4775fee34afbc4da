"""Files that are whole or absent: atomic writes, hashes, JSON lines, and a lock between processes."""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from burnish.errors import StorageError


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` in one step: a reader sees the old file or the new one, never a part."""
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            os.chmod(name, 0o666 & ~_umask())  # mkstemp makes it private
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def copy_file(path: Path, folder: Path) -> None:
    """Copy the file at `path` into an existing folder, under its name."""
    with storage_errors(folder / path.name):
        shutil.copyfile(path, folder / path.name)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON; NaN is refused, since it is not JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object a line."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows))


def read_json(path: Path) -> Any:
    """The JSON value in `path`."""
    return json.loads(path.read_text(encoding="utf-8"))


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON Lines file that burnish wrote; lines end at LF only."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a folder to fill; it takes the place of `path` in one step when the block ends well.

    Raises:
        StorageError: the folder cannot be written; `path` is left as it was.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        try:
            yield draft
            os.chmod(draft, 0o777 & ~_umask())  # mkdtemp makes it private
            _sync_tree(draft)
            if path.exists():
                old = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.old."))
                os.replace(path, old)
                os.replace(draft, path)
                shutil.rmtree(old, ignore_errors=True)
            else:
                os.replace(draft, path)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise


@contextlib.contextmanager
def storage_errors(path: Path, *, setting: str = "") -> Iterator[None]:
    """Turn the operating system's refusal to write `path` into a StorageError with a remedy.

    `setting` is an example of what chooses another folder.
    """
    try:
        yield
    except StorageError:
        raise
    except Exception as error:
        other = f"Choose another folder{f', e.g. {setting}' if setting else ''}"
        number = error.errno if isinstance(error, OSError) else _errno_in(str(error))
        if number is None:
            raise
        if number in (errno.ENOSPC, errno.EDQUOT):
            remedy = "The disk is full. Free some space and go on with --resume; what was saved before is intact."
        elif number in (errno.EACCES, errno.EPERM, errno.EROFS):
            remedy = f"You may not write there. {other}."
        elif number in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
            remedy = f"A file stands where a folder is needed, or the reverse. {other}."
        else:
            remedy = f"{os.strerror(number)}. {other}, or mend the disk."
        raise StorageError(f"{path}: cannot be written. {remedy}") from error


@contextlib.contextmanager
def lock(path: Path, timeout_s: float = 600.0) -> Iterator[None]:
    """Hold `path` as a lock between processes; one that dies holding it lets it go."""
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = open(path, "a+b")  # noqa: SIM115  (closed below, after the lock)
    deadline = time.monotonic() + timeout_s
    try:
        while not _try_lock(stream.fileno()):
            if time.monotonic() > deadline:
                raise StorageError(f"{path}: another process has held this lock for {timeout_s:.0f} s. Is it stuck?")
            time.sleep(0.1)
        yield
    finally:
        stream.close()


def sha256_of_file(path: Path) -> str:
    """The hex SHA-256 of a file's bytes."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_of_json(value: Any) -> str:
    """The hex SHA-256 of a value's canonical JSON: sorted keys, no spaces."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def keep_newest(folder: Path, count: int) -> None:
    """Leave the `count` files or folders in a cache that were used last; what cannot be removed stays."""
    paths = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in paths[count:]:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _errno_in(text: str) -> int | None:
    """safetensors tells of the system's refusals in words only: "... (os error 28)"."""
    found = re.search(r"\(os error (\d+)\)", text)
    return int(found.group(1)) if found else None


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def _sync_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb") as stream:
                os.fsync(stream.fileno())


if os.name == "nt":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except OSError:
            return False
        return True
else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
