"""Files are whole or absent, and the disk's refusals become advice."""

import errno
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from burnish import files
from burnish.errors import BurnishError, StorageError

HOLD_LOCK = """
import sys
from pathlib import Path
from burnish.files import lock
with lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


class TestWriteText:
    def test_makes_folders_and_replaces_the_old_text(self, tmp_path: Path) -> None:
        path = tmp_path / "a" / "b.txt"
        files.write_text(path, "one\r\n")
        files.write_text(path, "zwei ü\u2028\n")
        assert path.read_bytes() == "zwei ü\u2028\n".encode()
        assert os.listdir(path.parent) == ["b.txt"]

    def test_is_as_readable_as_any_new_file(self, tmp_path: Path) -> None:
        files.write_text(tmp_path / "ours", "x")
        (tmp_path / "plain").write_text("x")
        assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode

    @pytest.mark.parametrize("step", ["fsync", "replace"])
    def test_a_failure_keeps_the_old_file_and_leaves_no_other(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
    ) -> None:
        path = tmp_path / "kept.json"
        files.write_text(path, "old")

        def fail(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, step, fail)
        with pytest.raises(StorageError, match="The disk is full"):
            files.write_text(path, "new")
        assert path.read_text() == "old"
        assert os.listdir(tmp_path) == ["kept.json"]

    def test_an_interrupt_keeps_the_old_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "kept.json"
        files.write_text(path, "old")

        def press_ctrl_c(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(os, "fsync", press_ctrl_c)
        with pytest.raises(KeyboardInterrupt):
            files.write_text(path, "new")
        assert (path.read_text(), os.listdir(tmp_path)) == ("old", ["kept.json"])

    def test_a_file_in_place_of_a_folder(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(StorageError, match=r"file/x\.json: cannot be written\. A file stands where a folder"):
            files.write_text(tmp_path / "file" / "x.json", "{}")


class TestJson:
    def test_roundtrip_keeps_line_separators_inside_strings(self, tmp_path: Path) -> None:
        rows = [{"text": "a\u2028b\x85c\nd"}, {"text": "ß", "none": None}]
        files.write_jsonl(tmp_path / "rows.jsonl", rows)
        assert files.read_jsonl(tmp_path / "rows.jsonl") == rows
        files.write_json(tmp_path / "value.json", rows)
        assert files.read_json(tmp_path / "value.json") == rows

    def test_nan_is_refused_and_nothing_is_written(self, tmp_path: Path) -> None:
        for write, value in ((files.write_json, {"x": float("nan")}), (files.write_jsonl, [{"x": float("nan")}])):
            with pytest.raises(ValueError, match="JSON compliant"):
                write(tmp_path / "x.json", value)  # type: ignore[operator]
        assert os.listdir(tmp_path) == []


class TestNewFolder:
    def test_takes_the_place_of_the_old_one(self, tmp_path: Path) -> None:
        for text in ("one", "two"):
            with files.new_folder(tmp_path / "adapter") as draft:
                (draft / f"{text}.txt").write_text(text)
                assert not (tmp_path / "adapter" / f"{text}.txt").exists()
        assert os.listdir(tmp_path) == ["adapter"]
        assert os.listdir(tmp_path / "adapter") == ["two.txt"]

    @pytest.mark.parametrize("fault", [RuntimeError("mine"), KeyboardInterrupt()])
    def test_an_exception_leaves_nothing_behind(self, tmp_path: Path, fault: BaseException) -> None:
        with files.new_folder(tmp_path / "adapter") as draft:
            (draft / "old.txt").write_text("old")
        with pytest.raises(type(fault)) as caught, files.new_folder(tmp_path / "adapter") as draft:
            (draft / "half.txt").write_text("half")
            raise fault
        assert caught.value is fault
        assert os.listdir(tmp_path) == ["adapter"]
        assert os.listdir(tmp_path / "adapter") == ["old.txt"]

    def test_a_full_disk_told_in_words_only(self, tmp_path: Path) -> None:
        words = "Error while serializing: I/O error: No space left on device (os error 28)"
        with pytest.raises(StorageError, match="The disk is full"), files.new_folder(tmp_path / "adapter"):
            raise RuntimeError(words)  # as safetensors does
        assert os.listdir(tmp_path) == []


class TestStorageErrors:
    @pytest.mark.parametrize(
        ("number", "remedy"),
        [
            (errno.ENOSPC, "Free some space and go on with --resume"),
            (errno.EDQUOT, "Free some space"),
            (errno.EACCES, "You may not write there. Choose another folder."),
            (errno.EROFS, "You may not write there"),
            (errno.ENOTDIR, "A file stands where a folder is needed"),
            (errno.EIO, os.strerror(errno.EIO)),
        ],
    )
    def test_each_refusal_has_a_remedy(self, number: int, remedy: str) -> None:
        with pytest.raises(StorageError) as caught, files.storage_errors(Path("runs/x")):
            raise OSError(number, os.strerror(number))
        assert str(caught.value).startswith("runs/x: cannot be written. ")
        assert remedy in str(caught.value)
        assert isinstance(caught.value, BurnishError)
        assert isinstance(caught.value, OSError)

    def test_the_remedy_names_the_setting_that_chooses_the_folder(self) -> None:
        with pytest.raises(StorageError, match=r"another folder, e\.g\. output\.folder=/x"):  # noqa: SIM117
            with files.storage_errors(Path("runs/x"), setting="output.folder=/x"):
                raise PermissionError(errno.EACCES, "no")

    def test_other_faults_pass(self) -> None:
        for fault in (ValueError("no number"), StorageError("said already")):
            with pytest.raises(type(fault)) as caught, files.storage_errors(Path("x")):
                raise fault
            assert caught.value is fault


class TestLock:
    def test_held_by_another_process_until_it_dies(self, tmp_path: Path) -> None:
        path = tmp_path / "bases" / "x.lock"
        command = [sys.executable, "-c", HOLD_LOCK, str(path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            with pytest.raises(StorageError, match="another process has held this lock for 0 s"):
                files.lock(path, timeout_s=0.15).__enter__()
            holder.kill()
            holder.wait()
            with files.lock(path, timeout_s=5):
                pass

    def test_let_go_at_the_end_of_the_block(self, tmp_path: Path) -> None:
        for _ in range(2):
            with pytest.raises(KeyError), files.lock(tmp_path / "x.lock", timeout_s=0):
                raise KeyError


class TestHashes:
    def test_sha256_of_file(self, tmp_path: Path) -> None:
        (tmp_path / "x").write_bytes(b"abc\r\n" * 100_000)
        assert files.sha256_of_file(tmp_path / "x") == hashlib.sha256(b"abc\r\n" * 100_000).hexdigest()

    def test_sha256_of_json_is_that_of_the_value_not_of_its_spelling(self) -> None:
        assert files.sha256_of_json({"b": 1, "a": "ü"}) == hashlib.sha256('{"a":"ü","b":1}'.encode()).hexdigest()
        assert files.sha256_of_json({"a": 1, "b": 2}) == files.sha256_of_json({"b": 2, "a": 1})
        assert files.sha256_of_json([1, 2]) != files.sha256_of_json([2, 1])
