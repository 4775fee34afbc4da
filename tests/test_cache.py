"""The cache folder: chosen, usual, or a temporary one where neither can be written; none of it stops the work."""

import errno
import json
import logging
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from burnish import cache
from tests.test_cli import burnish, write_recipe
from tests.tiny import save_base

NO_HOME = """
import os, pwd

def getpwuid(user):
    raise KeyError("getpwuid(): uid not found")

pwd.getpwuid = getpwuid  # as for a user that only the container's host knows
for name in ("HOME", "BURNISH_CACHE", "XDG_CACHE_HOME"):
    os.environ.pop(name, None)
from burnish.cli.main import main; main()
"""


def test_the_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BURNISH_CACHE", str(tmp_path / "mine"))
    assert cache.cache_dir() == tmp_path / "mine"
    monkeypatch.delenv("BURNISH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.cache_dir() == tmp_path / "burnish"


def test_what_cannot_be_written_is_replaced_by_a_temporary_folder_and_told_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("BURNISH_CACHE", str(tmp_path / "file" / "cache"))
    with caplog.at_level(logging.WARNING, "burnish"):
        folder = cache.cache_dir()
        assert cache.cache_dir() == folder
    assert folder.parent == tmp_path / "tmp"
    assert folder.stat().st_mode & 0o777 == 0o700
    [told] = [record.getMessage() for record in caplog.records]
    assert told == (
        f"note: {tmp_path}/file/cache cannot be written ({os.strerror(errno.ENOTDIR)}); burnish keeps its cache in "
        f"{folder}. Set BURNISH_CACHE to a folder that you can write."
    )


def test_a_temporary_folder_that_others_can_write_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    foreign = tmp_path / f"burnish-cache-{os.getuid()}"
    foreign.mkdir()
    foreign.chmod(0o777)
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("BURNISH_CACHE", str(tmp_path / "file" / "other"))
    folder = cache.cache_dir()
    assert folder != foreign and folder.parent == tmp_path


def test_a_base_in_a_place_that_can_only_be_read_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    image = tmp_path / "image"
    (image / "bases" / "one").mkdir(parents=True)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("BURNISH_CACHE", str(image))
    make = tempfile.TemporaryFile

    def refuse(*, dir: Path) -> Any:  # as a read-only file system does; root may write anywhere else
        raise OSError(errno.EROFS, os.strerror(errno.EROFS)) if dir == image else make(dir=dir)

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    assert cache.cache_dir() != image
    assert cache.find_cached("bases/one") == image / "bases" / "one"
    assert cache.find_cached("bases/two") is None


def test_damaged_and_unwritable_values_are_done_without(tmp_path: Path) -> None:
    (tmp_path / "half.json").write_text('{"a": ')
    assert cache.read_cached_json(tmp_path / "half.json") is None
    assert cache.read_cached_json(tmp_path / "none.json") is None
    cache.write_cached_json(tmp_path / "half.json" / "x.json", 1)
    cache.write_cached_json(tmp_path / "whole.json", [1])
    assert cache.read_cached_json(tmp_path / "whole.json") == [1]


def test_a_user_without_a_home_folder_checks_and_is_told_the_remedy_once(tmp_path: Path) -> None:
    rows = [{"text": f"ticket number {n}", "label": ("refund", "delivery")[n % 2]} for n in range(60)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_recipe(tmp_path)
    save_base(tmp_path / "base")
    done = burnish(tmp_path, "check", "recipe.toml", "model.base=base", code=NO_HOME)
    assert done.returncode == 0, done.stderr
    assert "0 errors" in done.stdout
    assert done.stderr.count("there is no home folder; burnish keeps its cache in") == 1
    assert done.stderr.count("Set BURNISH_CACHE to a folder that you can write.") == 1
