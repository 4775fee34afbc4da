"""Output in encodings that lack its characters, and to readers that are gone: no result is lost to it."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from burnish.cli.screen import TerminalScreen
from tests.report.sample_run import build_sample_run

TEXT = "größe – ≥ 😀"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("streams")
    build_sample_run(folder, task="classification")
    rows = [{"text": f"{TEXT} {n}", "label": ("naïve", "日本")[n % 2]} for n in range(60)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return folder


def burnish(folder: Path, *arguments: str, encoding: str) -> "subprocess.CompletedProcess[bytes]":
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "BURNISH_CACHE": str(folder / "cache"), "COLUMNS": "100"}
    command = [sys.executable, "-m", "burnish", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=120, check=False)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_the_result_of_a_run_is_printed_in_any_encoding(runs: Path, encoding: str) -> None:
    done = burnish(runs, "show", "latest", encoding=encoding)
    assert done.returncode == 0, done.stderr
    assert b"Verdict: " in done.stdout
    whole = burnish(runs, "show", "latest", encoding="utf-8").stdout.decode()
    assert not whole.isascii()  # else nothing was tried
    assert "95% interval" in done.stdout.decode(encoding)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_json_is_json_in_any_encoding(runs: Path, encoding: str) -> None:
    done = burnish(runs, "init", "rows.jsonl", "--json", "--force", encoding=encoding)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.decode(encoding))["task"] == "classification"


def test_characters_that_the_encoding_lacks_become_ascii_or_their_escape(runs: Path) -> None:
    done = burnish(runs, "check", "rows.jsonl", "--quick", encoding="ascii")
    assert done.returncode == 0, done.stderr
    code = f"from burnish.cli.streams import make_streams_tolerant as t; t(); print({TEXT!r}, 'a\\udce9')"
    command = [sys.executable, "-X", "utf8=0", "-c", code]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    printed = subprocess.run(command, env=environment, capture_output=True, check=True).stdout.decode().strip()
    assert printed == r"gr\xf6\xdfe - >= \U0001f600 a\udce9"


def test_a_file_name_that_is_not_utf8_is_refused_with_a_remedy(runs: Path) -> None:
    done = burnish(runs, "init", os.fsdecode(b"caf\xe9.jsonl"), encoding="utf-8")
    assert done.returncode == 1
    message = rb"error: caf\udce9.jsonl: this argument is not UTF-8. Rename the file, or mend the name."
    assert done.stderr.strip() == message


def test_a_run_goes_on_where_nobody_reads_its_news(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with io.TextIOWrapper(io.FileIO(writing, "w"), write_through=True) as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        screen = TerminalScreen()
        screen.say("a line")
        with screen.bar("Work", 2) as advance:
            advance(2, "")
        screen.say("another")
    assert screen.console.quiet
