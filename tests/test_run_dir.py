"""Run folders: made with names that sort by time, found by path, id, beginning or `latest`."""

import re
from pathlib import Path

import pytest

from burnish.errors import RunError, StorageError
from burnish.run_dir import RunDir, create_run_dir, find_run_dir, list_run_dirs


def make(parent: Path, name: str) -> Path:
    (parent / name).mkdir(parents=True)
    (parent / name / "recipe.toml").write_text("")
    return (parent / name).resolve()


class TestCreate:
    def test_each_is_new_and_named_by_time(self, tmp_path: Path) -> None:
        runs = [create_run_dir(tmp_path / "runs") for _ in range(5)]
        assert len({run.path for run in runs}) == 5
        for run in runs:
            assert run.path.is_dir()
            assert run.path.is_absolute()
            assert re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{6}", run.run_id)

    def test_below_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(StorageError, match="A file stands where a folder is needed"):
            create_run_dir(tmp_path / "file")


class TestFind:
    @pytest.fixture
    def runs(self, tmp_path: Path) -> Path:
        for name in ("20260102-000000-bb", "20260101-000000-aa", "20260102-000001-cc"):
            make(tmp_path / "runs", name)
        (tmp_path / "runs" / "20260103-no-recipe").mkdir()
        (tmp_path / "runs" / "registry.sqlite").write_text("")
        return tmp_path / "runs"

    def test_listed_oldest_first(self, runs: Path) -> None:
        names = [run.run_id for run in list_run_dirs(runs)]
        assert names == ["20260101-000000-aa", "20260102-000000-bb", "20260102-000001-cc"]
        assert list_run_dirs(runs / "absent") == []

    def test_by_each_kind_of_name(self, runs: Path, tmp_path: Path) -> None:
        assert find_run_dir("latest", runs).run_id == "20260102-000001-cc"
        assert find_run_dir("20260101", runs).run_id == "20260101-000000-aa"
        assert find_run_dir("20260102-000000-bb", runs).run_id == "20260102-000000-bb"
        elsewhere = make(tmp_path / "elsewhere", "mine")
        assert find_run_dir(elsewhere, runs) == RunDir(elsewhere)

    def test_several_fit(self, runs: Path) -> None:
        message = r"20260102: 2 runs begin so: 20260102-000000-bb, 20260102-000001-cc\. Give more of the name\."
        with pytest.raises(RunError, match=message):
            find_run_dir("20260102", runs)

    def test_none_fits(self, runs: Path, tmp_path: Path) -> None:
        with pytest.raises(RunError, match=r"nope: no such run.*The newest is 20260102-000001-cc"):
            find_run_dir("nope", runs)
        with pytest.raises(RunError, match=r"latest: no such run.*There are no runs yet\."):
            find_run_dir("latest", tmp_path / "empty")
