"""The registry: an index that can be made again, and a count of openings that cannot be lowered."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from burnish.errors import RunError, StorageError
from burnish.registry import RunRecord, RunStatus, index, open_registry, rebuild_registry
from burnish.registry.migrations import MIGRATIONS
from burnish.registry.records import read_record
from burnish.run_dir import RunDir

RECIPE = """
task = "classification"
[data]
train = "tickets.jsonl"
[model]
base = "smollm2-135m-instruct"
"""
EVALUATION = {
    "run_id": "ignored: the folder's name counts",
    "task": "classification",
    "metric": {"name": "accuracy", "label": "Accuracy"},
    "arms": [
        {"name": "zero_shot", "score": {"value": 0.5, "low": 0.4, "high": 0.6}},
        {"name": "few_shot", "score": {"value": 0.625, "low": 0.5, "high": 0.7}},
        {"name": "retrieved", "score": {"value": None, "low": None, "high": None}},
        {"name": "specialist", "score": {"value": 0.875, "low": 0.8, "high": 0.9}},
    ],
    "verdict": {"outcome": "better"},
}


def make_run(parent: Path, run_id: str, evaluation: Any = None, recipe: str = RECIPE) -> RunDir:
    run = RunDir(parent.resolve() / run_id)
    run.path.mkdir(parents=True)
    run.recipe.write_text(recipe)
    run.environment.write_text(json.dumps({"started_at": f"at {run_id}"}))
    if evaluation is not None:
        text = evaluation if isinstance(evaluation, str) else json.dumps(evaluation)
        run.evaluation.write_text(text)
    return run


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "registry.sqlite"


class TestRecord:
    def test_a_finished_run(self, path: Path) -> None:
        run = make_run(path.parent, "20260101-000000-aa", EVALUATION)
        with open_registry(path) as registry:
            recorded = registry.record(run)
            (listed,) = registry.list_runs()
        assert listed == recorded
        assert (listed.run_id, listed.path, listed.status) == (run.run_id, run.path, RunStatus.FINISHED)
        assert (listed.task, listed.base_model) == ("classification", "smollm2-135m-instruct")
        assert (listed.data_train, listed.started_at) == ("tickets.jsonl", "at 20260101-000000-aa")
        assert (listed.metric_name, listed.outcome, listed.note) == ("accuracy", "better", None)
        assert (listed.specialist_score, listed.best_baseline_score) == (0.875, 0.625)

    def test_a_run_is_updated_in_place(self, path: Path) -> None:
        run = make_run(path.parent, "r1")
        run.environment.unlink()
        with open_registry(path) as registry:
            assert registry.record(run).status is RunStatus.UNFINISHED
            assert registry.record(run).started_at is None
            run.evaluation.write_text(json.dumps(EVALUATION))
            registry.record(run)
            (listed,) = registry.list_runs()
        assert listed.status is RunStatus.FINISHED

    def test_oldest_first(self, path: Path) -> None:
        with open_registry(path) as registry:
            for run_id in ("20260301-b", "20260101-c", "20260201-a"):
                registry.record(make_run(path.parent, run_id))
            listed = [record.run_id for record in registry.list_runs()]
        assert listed == ["20260101-c", "20260201-a", "20260301-b"]

    def test_what_is_recorded_outlives_the_process(self, path: Path) -> None:
        with open_registry(path) as registry:
            registry.record(make_run(path.parent, "r1"))
        with open_registry(path) as registry:
            assert [record.run_id for record in registry.list_runs()] == ["r1"]
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)

    @pytest.mark.parametrize(
        ("recipe", "evaluation", "note"),
        [
            ("task = ", None, "recipe.toml: Invalid value"),
            ("task = 3\n[model]\n[data]", None, "recipe.toml: task is not a string"),
            ('task = "chat"', None, "recipe.toml: model is missing or not a table"),
            (RECIPE, '{"arms": [', "evaluation.json: Expecting value"),
            (RECIPE, "[]", "evaluation.json: the file is missing or not a table"),
            (RECIPE, {}, "evaluation.json: arms is missing or not a list"),
            (RECIPE, {**EVALUATION, "arms": [3]}, "evaluation.json: an arm is missing or not a table"),
            (RECIPE, {**EVALUATION, "verdict": None}, "evaluation.json: verdict is missing or not a table"),
            (
                RECIPE,
                {**EVALUATION, "metric": {"name": "\ud800"}},
                "evaluation.json: 'utf-8' codec can't encode",
            ),
            (
                RECIPE,
                {**EVALUATION, "arms": [{"name": "specialist", "score": {"value": "high"}}]},
                "evaluation.json: value is not a number",
            ),
        ],
    )
    def test_a_damaged_folder_is_listed_with_a_note(self, path: Path, recipe: str, evaluation: Any, note: str) -> None:
        run = make_run(path.parent, "r1", evaluation, recipe)
        with open_registry(path) as registry:
            registry.record(run)
            (listed,) = registry.list_runs()
        assert listed.status is RunStatus.DAMAGED
        assert listed.note is not None and listed.note.startswith(note)
        assert listed.outcome is None and listed.specialist_score is None
        if recipe == RECIPE:
            assert listed.task == "classification"  # what could be read is kept

    def test_a_folder_that_is_gone_is_damaged(self, path: Path) -> None:
        with open_registry(path) as registry:
            record = registry.record(RunDir(path.parent / "gone"))
        assert record.status is RunStatus.DAMAGED and "recipe.toml" in str(record.note)


class TestRebuild:
    def test_equals_the_incremental_index(self, path: Path) -> None:
        runs = [
            make_run(path.parent, "r3", EVALUATION),
            make_run(path.parent, "r1"),
            make_run(path.parent, "r2", "{"),
        ]
        with open_registry(path) as registry:
            for run in runs:
                registry.record(run)
            incremental = registry.list_runs()
            assert registry.rebuild(path.parent) == 3
            assert registry.list_runs() == incremental
        path.unlink()
        with open_registry(path) as registry:
            assert registry.list_runs() == []
            registry.rebuild(path.parent)
            assert registry.list_runs() == incremental
        assert [record.status for record in incremental] == ["unfinished", "damaged", "finished"]

    def test_forgets_runs_that_are_gone_and_keeps_openings(self, path: Path) -> None:
        run = make_run(path.parent, "r1")
        with open_registry(path) as registry:
            registry.record(run)
            registry.count_test_opening("r1", "test", "adapter")
            run.recipe.unlink()
            assert registry.rebuild(path.parent) == 0
            assert registry.list_runs() == []
            assert registry.count_test_opening("r1", "test", "adapter") == 2

    def test_is_all_or_nothing(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        run = make_run(path.parent, "r1")
        with open_registry(path) as registry:
            registry.record(run)
            before = registry.list_runs()

            def fail(record: object) -> None:
                raise KeyboardInterrupt

            monkeypatch.setattr(index, "_to_row", fail)  # after the old rows were deleted
            with pytest.raises(KeyboardInterrupt):
                registry.rebuild(path.parent)
            assert registry.list_runs() == before
            monkeypatch.undo()
            registry.record(run)  # the write lock was let go

    def test_reads_the_folders_while_others_wait(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        make_run(path.parent, "r1")
        with open_registry(path) as registry, closing(sqlite3.connect(path, timeout=0)) as other:

            def read_while_another_writes(run: RunDir) -> RunRecord:
                with pytest.raises(sqlite3.OperationalError, match="locked"):
                    other.execute("INSERT INTO run (run_id, path, status) VALUES ('r2', '/r2', 'unfinished')")
                return read_record(run)

            monkeypatch.setattr(index, "read_record", read_while_another_writes)
            assert registry.rebuild(path.parent) == 1

    def test_of_a_sound_file_moves_nothing(self, path: Path) -> None:
        make_run(path.parent, "r1")
        with open_registry(path) as registry:
            registry.count_test_opening("r1", "test", "adapter")
        rebuilt = rebuild_registry(path, path.parent)
        assert (rebuilt.num_runs, rebuilt.num_openings, rebuilt.moved_to) == (1, 1, None)

    def test_of_no_file_makes_one(self, path: Path) -> None:
        assert rebuild_registry(path, path.parent).num_runs == 0
        assert path.is_file()


class TestOpenings:
    def test_are_counted_per_test_split(self, path: Path) -> None:
        with open_registry(path) as registry:
            counts = [registry.count_test_opening("r", test, "a") for test in ("one", "one", "two", "one")]
        assert counts == [1, 2, 1, 3]
        with open_registry(path) as registry:
            assert registry.count_test_opening("other", "one", "b") == 4
            assert [registry.count_adapters(test) for test in ("one", "two", "three")] == [2, 1, 0]
            assert [registry.count_adapters("one", without_run=run) for run in ("r", "other", "new")] == [1, 1, 2]

    @pytest.mark.parametrize("statement", ["DELETE FROM test_opening", "UPDATE test_opening SET test_hash = 'x'"])
    def test_cannot_be_taken_back(self, path: Path, statement: str) -> None:
        with open_registry(path) as registry:
            registry.count_test_opening("r", "test", "a")
        with closing(sqlite3.connect(path)) as connection, pytest.raises(sqlite3.IntegrityError) as caught:
            connection.execute(statement)
        assert str(caught.value) == "test_opening is append-only"


class TestMigration:
    @pytest.mark.parametrize("old", range(len(MIGRATIONS)))
    def test_from_every_older_version_keeps_the_rows(self, path: Path, old: int) -> None:
        path.parent.mkdir()
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for statement in MIGRATIONS[:old]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {old}")
            if old >= 1:
                connection.execute("INSERT INTO run (run_id, path, status) VALUES ('r0', '/r0', 'unfinished')")
            if old >= 2:
                values = "('r0', 'test', 'adapter')"
                connection.execute(f"INSERT INTO test_opening (run_id, test_hash, adapter_hash) VALUES {values}")
        with open_registry(path) as registry:
            assert [record.run_id for record in registry.list_runs()] == (["r0"] if old >= 1 else [])
            assert registry.count_test_opening("r1", "test", "adapter") == (2 if old >= 2 else 1)
            registry.check()
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)

    def test_a_step_that_fails_leaves_the_step_before(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        broken = (*MIGRATIONS[:2], "CREATE TABLE run (again)")
        monkeypatch.setattr("burnish.registry.index.MIGRATIONS", broken)
        with pytest.raises(RunError, match="table run already exists"):
            open_registry(path)
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA user_version").fetchone() == (2,)
        monkeypatch.undo()
        with open_registry(path) as registry:
            registry.check()

    def test_a_newer_database_is_refused_and_left_alone(self, path: Path) -> None:
        open_registry(path).close()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
        with pytest.raises(RunError, match=r"registry\.sqlite: written by a newer burnish .*\. Update burnish"):
            open_registry(path)
        with pytest.raises(RunError, match="Update burnish"):
            rebuild_registry(path, path.parent)
        assert path.is_file() and not list(path.parent.glob("*.damaged-*"))


class TestDamage:
    def test_a_file_that_is_no_database(self, path: Path) -> None:
        make_run(path.parent, "r1", EVALUATION)
        path.write_text("once upon a time, there was a database of runs\n" * 50)
        expected = r"registry\.sqlite: the index of runs is damaged \(.*\)\. Run `burnish runs --rebuild`"
        with pytest.raises(RunError, match=expected):
            open_registry(path)
        rebuilt = rebuild_registry(path, path.parent)
        assert (rebuilt.num_runs, rebuilt.num_openings) == (1, 0)
        assert rebuilt.moved_to is not None and rebuilt.moved_to.read_text().startswith("once upon a time")
        with open_registry(path) as registry:
            assert [record.run_id for record in registry.list_runs()] == ["r1"]

    @pytest.mark.parametrize("part", ["run", "test_opening_by_hash"])
    def test_a_damaged_page_costs_no_openings(self, path: Path, part: str) -> None:
        with open_registry(path) as registry:
            registry.record(make_run(path.parent, "r1"))
            for _ in range(5):
                registry.count_test_opening("r1", "test", "adapter")
        with closing(sqlite3.connect(path)) as connection:
            query = "SELECT rootpage FROM sqlite_schema WHERE name = ?"
            (page,) = connection.execute(query, (part,)).fetchone()
            (size,) = connection.execute("PRAGMA page_size").fetchone()
        with open(path, "r+b") as stream:
            stream.seek((page - 1) * size)
            stream.write(b"\xff" * size)
        with open_registry(path) as registry, pytest.raises(RunError, match="burnish runs --rebuild"):
            registry.check()
        rebuilt = rebuild_registry(path, path.parent)
        assert rebuilt.moved_to is not None and (rebuilt.num_runs, rebuilt.num_openings) == (1, 5)
        with open_registry(path) as registry:
            assert registry.count_test_opening("r1", "test", "adapter") == 6

    def test_missing_tables_are_mended(self, path: Path) -> None:
        open_registry(path).close()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("DROP TABLE run")
        with open_registry(path) as registry, pytest.raises(RunError, match="no such table"):
            registry.list_runs()
        assert rebuild_registry(path, path.parent).moved_to is not None
        with open_registry(path) as registry:
            assert registry.list_runs() == []

    def test_a_place_that_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(StorageError, match=r"registry\.sqlite: cannot be written"):
            open_registry(tmp_path / "file" / "registry.sqlite")
        (tmp_path / "folder.sqlite").mkdir()
        with pytest.raises(StorageError, match=r"folder\.sqlite: unable to open"):
            open_registry(tmp_path / "folder.sqlite")


WRITER = """
import json, sys, time
from pathlib import Path
from burnish.registry import open_registry
from burnish.run_dir import RunDir

path, name = Path(sys.argv[1]), sys.argv[2]
(path.parent / f"ready-{name}").touch()
while not (path.parent / "go").exists():
    time.sleep(0.001)
counts = []
for i in range(25):
    with open_registry(path) as registry:
        registry.record(RunDir(path.parent / f"run-{name}-{i}"))
        counts.append(registry.count_test_opening("r", "test", name))
        if i % 10 == 0:
            registry.rebuild(path.parent / "nothing")
            registry.record(RunDir(path.parent / f"run-{name}-{i}"))
print(json.dumps(counts))
"""


def test_two_processes_write_at_once(path: Path) -> None:
    path.parent.mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", WRITER, str(path)]
    writers = [subprocess.Popen([*command, name], stdout=subprocess.PIPE, env=environment, text=True) for name in "ab"]
    while len(list(path.parent.glob("ready-*"))) < 2:
        assert all(writer.poll() is None for writer in writers)
    (path.parent / "go").touch()  # both now make the file and its tables at the same time
    counts = [json.loads(writer.communicate(timeout=60)[0]) for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0]
    assert sorted(counts[0] + counts[1]) == list(range(1, 51))
    with open_registry(path) as registry:
        registry.check()
        assert registry.count_test_opening("r", "test", "c") == 51


def test_a_writer_that_never_ends_is_reported(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "_BUSY_TIMEOUT_S", 0.05)
    run = make_run(path.parent, "r1")
    with open_registry(path) as registry, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert registry.list_runs() == []  # readers do not wait
        with pytest.raises(StorageError, match="another process has been writing for"):
            registry.record(run)
        other.execute("ROLLBACK")
        registry.record(run)
