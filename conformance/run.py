"""OpenAI's own tests of its Python client against a live `burnish serve`.

    python -m conformance.run --suite-python .venv-conformance/bin/python

They come with the client's source distribution, which pip fetches; none of them is kept here. Exit code 1 where
anything happens that is not expected.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter, defaultdict
from pathlib import Path

from scripts.live_server import live_server

from burnish.cache import cache_dir

HERE = Path(__file__).resolve().parent
SHA256 = "2e393e63f8a38be6452806f9ef0b6534fecd6d41ab3b2165180dfce3599249cd"
"""Of the source distribution of the version in requirements.txt."""
FILES = (
    "tests/api_resources/fine_tuning/test_jobs.py",
    "tests/api_resources/fine_tuning/jobs/test_checkpoints.py",
    "tests/lib/test_fine_tuning_positional_arguments.py",
    "tests/api_resources/test_files.py",
    "tests/api_resources/test_models.py",
    "tests/api_resources/chat/test_completions.py",
    "tests/api_resources/test_completions.py",
    "tests/api_resources/test_embeddings.py",
    "tests/api_resources/fine_tuning/alpha/test_graders.py",
    "tests/api_resources/test_uploads.py",
    "tests/api_resources/uploads/test_parts.py",
)
OUTCOMES = ("passed", "failed", "expected to fail", "skipped")


def main() -> int:
    """Fetch, serve, test, tell."""
    arguments = _arguments()
    suite = fetch_suite(openai_version())
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.xml"
        if arguments.base_url:
            is_done = run_suite(suite, arguments.suite_python, arguments.base_url, arguments.files, results)
        else:
            with live_server(Path(folder), environment={"BURNISH_TEST_HOOKS": "1"}) as server:
                is_done = run_suite(suite, arguments.suite_python, server.base_url, arguments.files, results)
        if not is_done or not results.is_file():
            print("The tests could not be run; see above.", file=sys.stderr)
            return 1
        return tell(results)


def openai_version() -> str:
    """The one that is pinned."""
    lines = (HERE / "requirements.txt").read_text().splitlines()
    return next(line.partition("==")[2].strip() for line in lines if line.startswith("openai"))


def fetch_suite(version: str) -> Path:
    """The unpacked source distribution; fetched once."""
    cache = cache_dir() / "conformance"
    suite = cache / f"openai-{version}"
    if suite.is_dir():
        return suite
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", "openai"]
        subprocess.run([*command, "-d", folder, f"openai=={version}"], check=True)
        (archive,) = Path(folder).glob("*.tar.gz")
        found = hashlib.sha256(archive.read_bytes()).hexdigest()
        if found != SHA256:
            sys.exit(f"{archive.name} has SHA-256 {found}, not {SHA256}. Pin the new one if the version has changed.")
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as draft:
            with tarfile.open(archive) as packed:
                packed.extractall(draft, filter="data")
            os.replace(Path(draft) / suite.name, suite)
    return suite


def run_suite(suite: Path, python: str, base_url: str, files: list[str], results: Path) -> bool:
    """One after another, because the tests delete and cancel the same things; whether pytest came to its end."""
    command = [os.path.abspath(python), "-m", "pytest", "-o", "addopts=", "-q", "--tb=no", "-p", "no:cacheprovider"]
    command += ["-p", "openai_conformance", "-o", "junit_family=xunit1", f"--junitxml={results}", *files]
    environment = {**os.environ, "PYTHONPATH": str(HERE), "TEST_API_BASE_URL": base_url}
    # Its code is 1 where tests fail, which the results tell better, and more where it could not do its work.
    return subprocess.run(command, cwd=suite, env=environment, check=False).returncode <= 1


def tell(results: Path) -> int:
    """A row for each file, the reasons of what was expected, the message of what was not."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    reasons, faults = Counter[str](), list[str]()
    for case in ElementTree.parse(results).getroot().iter("testcase"):
        outcome, message = _outcome(case)
        counts[case.get("file") or case.get("classname") or ""][outcome] += 1
        if outcome == "failed":
            faults.append(f"{case.get('classname')}::{case.get('name')}: {message.splitlines()[0][:160]}")
        elif outcome != "passed":
            reasons[f"{outcome}: {message}"] += 1
    width = max(map(len, counts), default=0)
    print(f"{'file':{width}}", *(f"{outcome:>16}" for outcome in OUTCOMES))
    for file, count in sorted(counts.items()):
        print(f"{file:{width}}", *(f"{count[outcome]:16}" for outcome in OUTCOMES))
    total = sum(counts.values(), Counter[str]())
    print(f"{'all':{width}}", *(f"{total[outcome]:16}" for outcome in OUTCOMES))
    for reason, number in sorted(reasons.items()):
        print(f"{number:4} {reason}")
    for fault in faults:
        print(f"FAILED {fault}")
    return 0 if total["passed"] and not faults else 1


def _outcome(case: ElementTree.Element) -> tuple[str, str]:
    for child in case:
        message = child.get("message") or child.text or "no message"
        if child.tag in ("failure", "error"):
            return "failed", message
        if child.tag == "skipped":
            return ("expected to fail" if child.get("type") == "pytest.xfail" else "skipped"), message
    return "passed", ""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="OpenAI's own tests against a live server.")
    parser.add_argument("--suite-python", default=sys.executable, help="a Python that has requirements.txt")
    parser.add_argument("--base-url", help="of a server that runs already with BURNISH_TEST_HOOKS=1, with /v1")
    parser.add_argument("files", nargs="*", default=list(FILES), help="some of the suite's files; all that apply")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
