"""Files of the hub, from a server of this machine that answers as the hub does."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from burnish.data import locate, sha256_of_data
from burnish.errors import DataError

ROWS = b'{"text": "a", "label": "b"}\n'
COMMIT = "0" * 39 + "1"
REPOS = {
    "example/one": {"README.md": b"# card\n", "data/train.jsonl": ROWS, ".gitattributes": b""},
    "example/two": {"train.jsonl": ROWS, "test.parquet": b""},
    "example/none": {"README.md": b"# card\n"},
}
# The library reads its settings when it is imported, so it is asked in a process of its own.
LOCATE = """
import sys
from burnish.data import locate
from burnish.errors import DataError
for name in sys.argv[1:]:
    try:
        path = locate(name)
        print(path.name, path.read_bytes())
    except DataError as error:
        print(error)
"""


class Hub(BaseHTTPRequestHandler):
    """The list of a dataset's files, and the files."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        is_list = parts[:2] == ["api", "datasets"]
        repo, rest = "/".join(parts[2:4] if is_list else parts[1:3]), parts[4:] if is_list else parts[3:]
        files, revision = REPOS.get(repo, {}), rest[1] if len(rest) > 1 else "main"
        file = "/".join(rest[2:])
        if repo not in REPOS or revision not in ("main", COMMIT, "v1"):
            self.answer(404, b"{}", {"X-Error-Code": "RepoNotFound" if repo not in REPOS else "RevisionNotFound"})
        elif is_list:
            tree = [
                {"type": "file", "path": p, "size": len(c), "oid": hashlib.sha1(c).hexdigest()}
                for p, c in files.items()
            ]
            self.answer(200, json.dumps(tree).encode(), {"Content-Type": "application/json"})
        elif file not in files:
            self.answer(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        else:
            tag = hashlib.sha1(files[file]).hexdigest()
            self.answer(200, files[file], {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT})

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None: ...


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def ask(folder: Path, endpoint: str, *names: str, **settings: str) -> list[str]:
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(folder), "HF_HUB_DISABLE_XET": "1", **settings}
    environment = {key: value for key, value in environment.items() if value}
    done = subprocess.run(
        [sys.executable, "-c", LOCATE, *names], env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout.splitlines()


def test_a_dataset_of_the_hub(hub: str, tmp_path: Path) -> None:
    one = "hf://datasets/example/one"
    names = [one, f"{one}/data/train.jsonl", f"{one}@v1", f"{one}@{COMMIT}/data/train.jsonl"]
    names += ["hf://datasets/example/two/train.jsonl"]
    assert ask(tmp_path, hub, *names, HF_HUB_OFFLINE="") == [f"train.jsonl {ROWS!r}"] * 5
    cached, unknown = ask(tmp_path, hub, names[1], "hf://datasets/example/three/x.csv", HF_HUB_OFFLINE="1")
    assert cached == f"train.jsonl {ROWS!r}"
    assert unknown.startswith("hf://datasets/example/three/x.csv: cannot be had (HF_HUB_OFFLINE is set and it is not")


def test_what_cannot_be_had_is_told(hub: str, tmp_path: Path) -> None:
    names = [f"hf://datasets/example/{rest}" for rest in ("two", "none", "nothing", "one@v2", "one/x.csv")]
    two, none, nothing, revision, file = ask(tmp_path, hub, *names, HF_HUB_OFFLINE="")
    assert two == (
        "hf://datasets/example/two: 2 files: train.jsonl, test.parquet. Name the one you want, as "
        "hf://datasets/example/two/train.jsonl."
    )
    assert none.startswith("hf://datasets/example/none: no file in it is read by burnish. Files may end in .jsonl,")
    for name, told, reason in zip(
        names[2:],
        (nothing, revision, file),
        ("Repository Not Found", "Revision Not Found", "Entry Not Found"),
        strict=True,
    ):
        assert told.startswith(f"{name}: cannot be had (404")
        assert reason in told
        assert told.endswith("HF_TOKEN; or download the file yourself.")


@pytest.mark.parametrize("name", ["hf://datasets/example", "hf://models/a/b", "hf://datasets/a/b@/c", "hf://"])
def test_no_dataset(name: str) -> None:
    with pytest.raises(DataError, match=r"not the name of a dataset\. Write hf://datasets/OWNER/NAME"):
        locate(name)


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    assert locate(str(tmp_path)) == tmp_path


def test_the_hash_of_a_folder_is_that_of_its_texts(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    first = sha256_of_data(tmp_path)
    (tmp_path / "b.csv").write_text("not read")
    assert sha256_of_data(tmp_path) == first
    (tmp_path / "b.txt").write_text("b")
    second = sha256_of_data(tmp_path)
    (tmp_path / "b.txt").rename(tmp_path / "c.txt")
    assert len({first, second, sha256_of_data(tmp_path)}) == 3
    assert sha256_of_data(tmp_path / "a.txt") == hashlib.sha256(b"a").hexdigest()
