"""Random and mutated files: whatever is in them, nothing but a BurnishError that names the file comes out.

The tests take a seeded share. `python -m tests.data.test_fuzz 100000` takes more, from another seed for each count.
"""

import gzip
import json
import random
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import polars
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.conversation import Task
from burnish.data import (
    Row,
    Severity,
    TaskForm,
    build_examples,
    detect_format,
    fields_of,
    labels_of,
    load_table,
    read_rows,
)
from burnish.data.load import check_row
from burnish.data.stream import check_stream
from burnish.errors import BurnishError, DataError
from tests.data.test_read import workbook

MESSY = Path(__file__).parents[3] / "shared" / "data" / "messy"
SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt", ".md", ".parquet", ".xlsx")
GZIPPED = (".jsonl.gz", ".csv.gz", ".md.gz")
ASKED, BETTER, WORSE = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}, {"content": "b"}
CALL = {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": '{"x": 1}'}}]}
ROWS = [
    {"messages": [ASKED, CALL, {"role": "tool", "content": "7"}, BETTER], "tools": [{"name": "f"}]},
    {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
    {"prompt": [ASKED], "chosen": [ASKED, BETTER], "rejected": [WORSE]},
    {"input": {"messages": [ASKED]}, "preferred_output": [BETTER], "non_preferred_output": [WORSE]},
    {"instruction": "do", "input": "this", "output": "a", "system": "s"},
    {"text": "q", "label": 1},
    {"text": "q", "fields": {"k": [1.5, None, "ü\u2028"]}},
    {"question": "q", "answer": "a"},
]
PIECES = [
    b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\n", b"\r\n", b"\r", b"\x00", b"\xff", b"\xff\xfe",
    b"\xef\xbb\xbf", b"null", b"true", b"NaN", b"1e999", b"-0", b"{}", b"[]", b'""', b'"role"', b'"from"', b'"content"',
    b'"system"', b'"\\ud800"', b"\xed\xa0\x80", b"\xe2\x80\xa8", b"[" * 150, b'{"a":' * 150, b"9" * 5000, b";",
    b"\t", b"# ", b"```",
]  # fmt: skip

ODD = [
    None, True, 3, 1.5, "", " ", "x", "user", "assistant", "[]", "{}", '{"a": 1}', '[{"role": "user"}]',
    [], {}, [1], ["x"], [None], {"a": 1}, {"role": "user"}, [{"role": "user", "content": "q"}], ["x", {"role": "user"}],
]  # fmt: skip


def seeds(folder: Path) -> list[tuple[str, bytes]]:
    """Sound files of every kind, and the messy ones."""
    lines = [json.dumps(row, ensure_ascii=False).encode() for row in ROWS]
    found = [(".jsonl", b"\n".join([line] * 3)) for line in lines] + [(".jsonl", b"\n".join(lines))]
    found += [(".json", b"[" + b",\n".join(lines) + b"]"), (".csv", b'text,label\n"a, ""b""\nc",x\nd,y\n')]
    found += [(".tsv", b"prompt\tcompletion\na\tb\n"), (".md", b"# a\n\nb\n\n```\n# c\n```\n## d\ne\n")]
    found += [(".jsonl", lines[0].decode().encode("utf-16")), (".csv", "text;label\nä;b\n".encode("latin-1"))]
    polars.DataFrame(ROWS[-1:] * 3).write_parquet(folder / "x.parquet")
    workbook(folder / "x.xlsx", [["text", "label"], ["a", 1], ["b", None]])
    found += [(suffix, (folder / f"x{suffix}").read_bytes()) for suffix in (".parquet", ".xlsx")]
    if MESSY.is_dir():
        found += [(path.suffix, path.read_bytes()[:4000]) for path in sorted(MESSY.glob("*.*"))]
    return found


def mutated(rng: random.Random, content: bytes, other: bytes) -> bytes:
    data = bytearray(content)
    for _ in range(rng.choice((0, 1, 1, 2, 4, 16))):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(6):
            case 0:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del data[at : at + rng.choice((1, 2, 10, 200))]
            case 2:
                data[at:at] = rng.choice(PIECES)
            case 3:
                data[at : at + rng.randrange(20)] = rng.choice(PIECES)
            case 4:
                begin = rng.randrange(len(other) + 1)
                data[at:at] = other[begin : begin + rng.randrange(200)]
            case 5:
                data[at:at] = data[at : at + rng.randrange(100)]
    return bytes(data)


def reshaped(rng: random.Random, value: Any) -> Any:
    """The same JSON value with some of its parts left out or replaced."""
    if rng.random() < 0.08:
        return rng.choice(ODD)
    if isinstance(value, dict):
        return {key: reshaped(rng, inner) for key, inner in value.items() if rng.random() > 0.04}
    return [reshaped(rng, inner) for inner in value] if isinstance(value, list) else value


def survive(path: Path) -> int:
    """Take a file the whole way to examples; how many there are."""
    try:
        rows, findings = read_rows(path)
        assert rows or any(finding.severity is Severity.ERROR for finding in findings)
        task = detect_format(rows, name=path.name).task if rows else Task.CHAT
        table = load_table(path, task, columns={})
        examples = build_examples(table, TaskForm(task, "s", labels_of(table), fields_of(table)))
        assert len(examples) == len(table.rows) <= len(rows)
        assert len({example.id for example in examples}) == len(examples)
        json.dumps([example.to_dict() for example in examples], ensure_ascii=False, allow_nan=False).encode()
        for finding in table.findings:
            assert finding.message and (finding.row or finding.message).startswith(path.name)
        if path.suffix != ".parquet":
            assert check_stream(path, task=task).num_rows == len(rows)
        return len(examples)
    except BurnishError as error:
        assert path.name in str(error), str(error)
        return 0


def fuzz(folder: Path, num_inputs: int, seed: int) -> int:
    """How many of the inputs gave an example; a failure names the file that caused it."""
    rng = random.Random(seed)
    originals = seeds(folder)
    num_read = 0
    for _ in range(num_inputs):
        suffix, content = rng.choice(originals)
        suffix = suffix if rng.random() < 0.8 else rng.choice(SUFFIXES + GZIPPED)
        data = mutated(rng, content, rng.choice(originals)[1]) if rng.random() < 0.97 else rng.randbytes(50)
        if rng.random() < 0.5:  # broken bytes seldom leave JSON, so half of the inputs are JSON of broken rows
            suffix, row = ".jsonl", rng.choice(ROWS)
            data = "\n".join(json.dumps(reshaped(rng, row)) for _ in range(4)).encode()
        path = folder / f"fuzzed{suffix}"
        path.write_bytes(gzip.compress(data, 1) if suffix.endswith(".gz") and rng.random() < 0.9 else data)
        num_read += bool(survive(path))
    return num_read


def test_mutated_files(tmp_path: Path) -> None:
    assert fuzz(tmp_path, 1000, seed=0) > 300


def test_a_workbook_with_mutated_sheets(tmp_path: Path) -> None:
    """Inside the archive, where a changed byte of it would only fail its checksum."""
    rng = random.Random(0)
    workbook(tmp_path / "sound.xlsx", [["text", "label"], ["a", 1], ["b", None]])
    for _ in range(150):
        with zipfile.ZipFile(tmp_path / "sound.xlsx") as source, zipfile.ZipFile(tmp_path / "x.xlsx", "w") as archive:
            for name in source.namelist():
                content = source.read(name)
                archive.writestr(name, mutated(rng, content, content) if rng.random() < 0.4 else content)
        survive(tmp_path / "x.xlsx")


KEYS = sorted({key for row in ROWS for key in row})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*KEYS, "role", "from", "value", "function"]), inner)
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), JSON, max_size=6))
def test_any_object_is_drafted_and_checked(values: dict[str, object]) -> None:
    row = Row("x", 1, values)
    for task in Task:
        try:
            detection = detect_format([row], name="x", task=task)
        except DataError:
            continue
        assert all(finding.row == "x:1" for finding in check_row(row, detection))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(max_size=20).filter(lambda text: text.strip()), min_size=1, max_size=5))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    path = tmp_path_factory.mktemp("rows") / "x.jsonl"
    for ascii_only in (True, False):
        lines = [json.dumps({"text": text, "label": "l"}, ensure_ascii=ascii_only) for text in texts]
        path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
        rows, _ = read_rows(path)
        is_sound = [not any("\ud800" <= c <= "\udfff" for c in text) for text in texts]
        if ascii_only:
            assert [row.values["text"] for row in rows] == [t for t, ok in zip(texts, is_sound, strict=True) if ok]


if __name__ == "__main__":
    count = int(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        print(f"{fuzz(Path(folder), count, seed=count):,} of {count:,} inputs gave examples", end="; ")
        print(f"{time.perf_counter() - start:.0f} s")
