"""The command line as a user meets it: quick help, and for each mistake one message, exit code 1, no traceback."""

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import pytest

from burnish.cli.main import main
from burnish.recipe import load_recipe
from tests.tiny import save_base

MAIN = "from burnish.cli.main import main; main()"
HEAVY = ("torch", "transformers", "peft", "numpy", "scipy", "polars")
LIST_HEAVY = f"""
import sys
from burnish.cli.main import main
try:
    main()
finally:
    print(*(name for name in {HEAVY} if name in sys.modules), file=sys.stderr)
"""


Burnish = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [{"text": f"ticket number {n}", "label": ("refund", "delivery")[n % 2]} for n in range(60)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_recipe(tmp_path)
    return tmp_path


def write_recipe(folder: Path, data: str = "rows.jsonl", more: str = "") -> None:
    text = f'task = "classification"\n[data]\ntrain = "{data}"\n[train]\nprecision = "fp32"\n{more}\n'
    (folder / "recipe.toml").write_text(text)


def burnish(folder: Path, *arguments: str, code: str = MAIN) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "BURNISH_CACHE": str(folder / "cache"),
        "HF_HOME": str(folder / "hub"),
        "HF_HUB_OFFLINE": "1",
        "COLUMNS": "200",
    }
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def burnish_here(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The same in this process, which has its imports behind it: a tenth of the time."""
    stdout, stderr = io.StringIO(), io.StringIO()
    environment = {"BURNISH_CACHE": str(folder / "cache"), "COLUMNS": "200"}
    with (
        chdir(folder),
        patch.dict(os.environ, environment),
        patch.object(sys, "argv", ["burnish", *arguments]),
        redirect_stdout(stdout),
        redirect_stderr(stderr),
        pytest.raises(SystemExit) as stop,
    ):
        main()
    return subprocess.CompletedProcess(list(arguments), int(stop.value.code or 0), stdout.getvalue(), stderr.getvalue())


def fault(folder: Path, *arguments: str, run: Burnish = burnish_here) -> str:
    """The one message of a command that ends with the user's mistake."""
    done = run(folder, *arguments)
    assert "Traceback" not in done.stderr + done.stdout
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("error: ") == 1
    return done.stderr.removeprefix("error: ").removesuffix("\n")


class TestHelp:
    def test_answers_at_once_and_lists_the_verbs(self, tmp_path: Path) -> None:
        times = []
        for _ in range(3):
            start = time.perf_counter()
            done = burnish(tmp_path, "--help")
            times.append(time.perf_counter() - start)
            assert done.returncode == 0
        for verb in ("demo", "init", "check", "explain", "run", "runs", "show", "report", "compare", "chat"):
            assert f"  {verb} " in done.stdout
        assert min(times) < 0.5

    @pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["explain", "--keys"], ["runs"]])
    def test_imports_nothing_heavy(self, tmp_path: Path, arguments: list[str]) -> None:
        done = burnish(tmp_path, *arguments, code=LIST_HEAVY)
        assert done.returncode == 0
        assert done.stderr.split() == []

    def test_a_faulty_recipe_is_told_before_torch_is_imported(self, folder: Path) -> None:
        done = burnish(folder, "run", "recipe.toml", "train.epoch=1", code=LIST_HEAVY)
        assert done.returncode == 1
        assert not {"torch", "transformers", "peft"} & set(done.stderr.splitlines()[-1].split())

    def test_the_keys_and_the_schema(self, tmp_path: Path) -> None:
        keys = burnish(tmp_path, "explain", "--keys").stdout
        assert "train.learning_rate " in keys
        assert json.loads(burnish(tmp_path, "explain", "--schema").stdout)["title"] == "burnish recipe"


class TestMistakes:
    def test_no_such_recipe(self, folder: Path) -> None:
        assert fault(folder, "run", "none.toml") == "none.toml: no such recipe. Make one with `burnish init DATA`."

    def test_unknown_key(self, folder: Path) -> None:
        write_recipe(folder, more="epoch = 3")
        message = fault(folder, "check", "recipe.toml")
        assert message == "recipe.toml: `train.epoch` is not a key of a recipe. Did you mean `train.epochs`?"

    def test_no_such_data_file(self, folder: Path) -> None:
        write_recipe(folder, "none.jsonl")
        message = fault(folder, "run", "recipe.toml")
        assert message.startswith(f"{folder / 'none.jsonl'}: no such file. Check the path")

    def test_an_empty_data_file(self, folder: Path) -> None:
        (folder / "rows.jsonl").write_text("")
        message = fault(folder, "run", "recipe.toml")
        assert message == "rows.jsonl: the file is empty. Each row is one example; name the file that has them."

    def test_a_missing_column(self, folder: Path) -> None:
        (folder / "rows.jsonl").write_text('{"body": "a", "queue": "b"}\n')
        message = fault(folder, "run", "recipe.toml")
        assert "needs text + label; the columns are 'body', 'queue'" in message

    @pytest.mark.parametrize("base", ["smollm3", "nobody/nothing", "./nowhere"])
    def test_unknown_base_model(self, folder: Path, base: str) -> None:
        message = fault(folder, "check", "recipe.toml", f"model.base={base}", run=burnish)
        assert f"{base}: no such base model. Tried the catalog (" in message
        assert "\n" not in message

    def test_a_folder_that_cannot_be_written(self, folder: Path) -> None:
        """Below a file, since not even root can write there; told before the weights are touched."""
        save_base(folder / "base")
        (folder / "file").write_text("")
        message = fault(folder, "run", "recipe.toml", "model.base=base", "output.folder=file/runs")
        assert "file/runs" in message
        assert "A file stands where a folder is needed" in message

    @pytest.mark.parametrize("verb", ["show", "report"])
    def test_no_such_run(self, folder: Path, verb: str) -> None:
        message = fault(folder, verb, "latest")
        assert message == "latest: no such run, neither as a folder nor under runs. There are no runs yet."


class TestInit:
    def test_writes_a_recipe_that_loads(self, folder: Path) -> None:
        done = burnish_here(folder, "init", "rows.jsonl", "--output", "sub/mine.toml")
        assert done.returncode == 0, done.stderr
        assert (
            "Detected: text_label for task classification, because 60 of 60 rows hold a text and a label, and 'label' "
            "has 2 different values; columns text = 'text', label = 'label'; 60 rows."
        ) in " ".join(done.stdout.split())
        recipe = load_recipe(folder / "sub" / "mine.toml").recipe
        assert recipe.task == "classification"
        assert recipe.data.train == str(folder / "rows.jsonl")

    def test_does_not_replace_a_file_unless_told(self, folder: Path) -> None:
        before = (folder / "recipe.toml").read_text()
        message = fault(folder, "init", "rows.jsonl")
        assert message.startswith("recipe.toml: there is a file already. Use --force to replace it")
        assert (folder / "recipe.toml").read_text() == before
        done = burnish_here(folder, "init", "rows.jsonl", "--force", "--json")
        told = json.loads(done.stdout)
        assert told["columns"] == {"text": "text", "label": "label"}
        assert (told["format"], told["task"]) == ("text_label", "classification")
        assert (folder / "recipe.toml").read_text() != before

    @pytest.mark.parametrize(
        ("name", "content", "told", "task"),
        [
            ("pairs.csv", "question,answer\nq,a\n", "question_answer for task completion", "completion"),
            (
                "pref.jsonl",
                '{"prompt": "q", "chosen": "a", "rejected": "b"}\n',
                "the better answers are learned",
                "chat",
            ),
            (
                "notes/one.md",
                "# a\nb\n",
                "text for task completion, because 1 of 1 rows hold nothing but",
                "completion",
            ),
        ],
    )
    def test_every_format(self, folder: Path, name: str, content: str, told: str, task: str) -> None:
        (folder / "notes").mkdir()
        (folder / name).write_text(content)
        data = name.split("/")[0]
        done = burnish_here(folder, "init", data, "--force")
        assert done.returncode == 0, done.stderr
        assert told in " ".join(done.stdout.split())
        loaded = load_recipe(folder / "recipe.toml")
        assert (loaded.recipe.task, loaded.recipe.data.train) == (task, str(folder / data))
        assert told in " ".join((folder / "recipe.toml").read_text().split())

    def test_a_file_that_cannot_be_read(self, folder: Path) -> None:
        (folder / "bad.jsonl").write_text("{\n")
        assert fault(folder, "init", "bad.jsonl", "-o", "x.toml").startswith("bad.jsonl:1: not valid JSON")


def test_check_shows_the_rows(folder: Path) -> None:
    save_base(folder / "base")
    done = burnish_here(folder, "check", "recipe.toml", "model.base=base", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert sum(found["rows"].values()) == 60
    assert [finding["check"] for finding in found["findings"]] == ["few_rows"]


class TestCheck:
    BROKEN = '{"text": "no label", "label": ""}\n'
    PRIVATE = '{"text": "write to jane@example.com", "label": "refund"}\n'

    def test_a_data_file_is_checked_as_its_starter_recipe_would_be(self, folder: Path) -> None:
        save_base(folder / "base")
        done = burnish_here(folder, "check", "rows.jsonl", "model.base=base", "--example", "2")
        assert done.returncode == 0, done.stderr
        first, second = done.stdout.split("\n")[:2]
        assert first.startswith(
            "Read as text_label for task classification, because 60 of 60 rows hold a text and a label"
        )
        assert second == "15 train, 15 validation, 30 test rows to use"
        assert done.stdout.count("learned: ") == 1 and "\x1b" not in done.stdout
        assert done.stdout.endswith("0 errors, 1 warning, 0 notes\n")

    def test_an_example_that_there_is_not(self, folder: Path) -> None:
        save_base(folder / "base")
        done = burnish_here(folder, "check", "rows.jsonl", "model.base=base", "--example", "99")
        assert done.returncode == 2 and "there are 15 examples to learn from" in done.stderr

    def test_errors_are_told_with_the_other_findings_and_exit_with_1(self, folder: Path) -> None:
        save_base(folder / "base")
        with open(folder / "rows.jsonl", "a") as file:
            file.write(self.BROKEN + self.PRIVATE)
        done = burnish_here(folder, "check", "recipe.toml", "model.base=base")
        assert done.returncode == 1 and done.stderr == ""
        assert "rows.jsonl:61  Column 'label' is empty." in done.stdout
        assert "[pii_email]" in done.stdout and "jane@" not in done.stdout
        assert "1 error, 2 warnings, 0 notes\n\nNext:\n" in done.stdout
        found = json.loads(burnish_here(folder, "check", "recipe.toml", "model.base=base", "--json").stdout)
        assert found["counts"] == {"error": 1, "warning": 2, "note": 0}
        assert found["findings"][0]["row"] == "rows.jsonl:61" and found["mended"] == {}

    def test_fix_and_redact_write_a_copy_that_is_sound(self, folder: Path) -> None:
        save_base(folder / "base")
        with open(folder / "rows.jsonl", "a") as file:
            file.write(self.BROKEN + self.PRIVATE)
        before = (folder / "rows.jsonl").read_bytes()
        done = burnish_here(folder, "check", "recipe.toml", "model.base=base", "--fix", "--redact")
        assert "Wrote rows.clean.jsonl: 1 row removed, 1 row redacted.\nrows.clean.log.jsonl tells" in done.stdout
        assert (folder / "rows.jsonl").read_bytes() == before
        again = burnish_here(folder, "check", "rows.clean.jsonl", "model.base=base", "--fix", "--redact")
        assert again.returncode == 0, again.stderr
        assert again.stdout.endswith("Nothing to mend, so no copy was written.\n")
        assert not (folder / "rows.clean.clean.jsonl").exists()

    def test_no_file_is_written_over(self, folder: Path) -> None:
        with open(folder / "rows.jsonl", "a") as file:
            file.write(self.BROKEN)
        message = fault(folder, "check", "rows.jsonl", "--fix", "--output", "rows.jsonl")
        assert message == "rows.jsonl: there is a file already. Choose another --output."
        done = burnish_here(folder, "check", "rows.jsonl", "--output", "x.jsonl")
        assert done.returncode == 2 and "--output names the copy" in done.stderr

    def test_files_of_one_name_are_not_mended(self, folder: Path) -> None:
        save_base(folder / "base")
        (folder / "held").mkdir()
        (folder / "held" / "rows.jsonl").write_text(self.BROKEN + self.PRIVATE)
        message = fault(folder, "check", "recipe.toml", "model.base=base", "data.test=held/rows.jsonl", "--fix")
        assert message.startswith("rows.jsonl: more than one file has this name")


@pytest.mark.parametrize("is_on_path", [True, False])
def test_what_to_type_next_is_found_by_the_shell(folder: Path, is_on_path: bool) -> None:
    scripts = Path(sys.executable).parent
    path = f"{scripts}{os.pathsep}{os.defpath}" if is_on_path else os.defpath
    environment = {**os.environ, "PATH": path, "COLUMNS": "200"}
    first = [str(scripts / "burnish"), "init", "rows.jsonl", "--force"]
    done = subprocess.run(first, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=True)
    hint = next(line for line in done.stdout.split("\n") if " check " in line)
    command = hint.split("    ")[0]
    assert command.strip().startswith("burnish " if is_on_path else os.pardir)
    told = subprocess.run(
        f"{command} --help",
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        shell=True,
        check=True,
    )
    assert "Check the data" in told.stdout


def test_a_bar_that_has_nothing_to_tell_yet_is_silent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from burnish.cli import screen

    monkeypatch.setattr(screen, "PLAIN_INTERVAL_S", 0.0)
    with screen.TerminalScreen().bar("Learning", 4) as advance:
        for units in (0, 2, 0, 2):
            advance(units, "")
    told = capsys.readouterr().err
    assert told.startswith("Learning ...\n  2/4") and "0/4" not in told and "4 done" in told
