"""How the results of OpenAI's own tests are told."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[3] / "conformance"
CASES = {
    "passed": "",
    "xfailed": '<skipped type="pytest.xfail" message="base64"/>',
    "skipped": '<skipped type="pytest.skip" message="not offered"/>',
    "failed": '<failure message="[XPASS(strict)] base64"/>',
    "broken": '<error message="the server is gone"/>',
}


@pytest.fixture(scope="module")
def run() -> Any:
    spec = importlib.util.spec_from_file_location("conformance_run", FOLDER / "run.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def results(folder: Path, *names: str) -> Path:
    cases = "".join(f'<testcase classname="T" file="test_a.py" name="{n}">{CASES[n]}</testcase>' for n in names)
    path = folder / "results.xml"
    path.write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    return path


def test_what_is_expected_is_told_with_its_reason(run: Any, tmp_path: Path, capsys: Any) -> None:
    assert run.tell(results(tmp_path, "passed", "passed", "xfailed", "skipped")) == 0
    out = capsys.readouterr().out
    assert "1 expected to fail: base64" in out and "1 skipped: not offered" in out
    assert [line.split() for line in out.splitlines() if line.startswith("test_a.py")] == [
        ["test_a.py", "2", "0", "1", "1"]
    ]


@pytest.mark.parametrize("fault", ["failed", "broken"])
def test_anything_else_is_a_failure(run: Any, tmp_path: Path, capsys: Any, fault: str) -> None:
    assert run.tell(results(tmp_path, "passed", fault)) == 1
    assert f"FAILED T::{fault}: " in capsys.readouterr().out


def test_nothing_run_is_a_failure(run: Any, tmp_path: Path) -> None:
    assert run.tell(results(tmp_path)) == 1 == run.tell(results(tmp_path, "skipped"))


def test_the_version_is_the_pinned_one(run: Any) -> None:
    assert f"openai[aiohttp]=={run.openai_version()}" in (FOLDER / "requirements.txt").read_text()
