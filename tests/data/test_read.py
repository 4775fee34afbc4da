"""Files as people have them: odd encodings and line ends are read, what cannot be read is named by its line."""

import json
from pathlib import Path
from typing import Any

import polars
import pytest

from burnish.data import read_rows
from burnish.errors import DataError

MESSY = Path(__file__).parents[3] / "shared" / "data" / "messy"


def write(tmp_path: Path, name: str, content: str | bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(tmp_path: Path, name: str, content: str | bytes) -> list[tuple[int, dict[str, Any]]]:
    rows, problems = read_rows(write(tmp_path, name, content))
    assert problems == []
    return [(row.line, row.values) for row in rows]


def problems(tmp_path: Path, name: str, content: str | bytes) -> list[str]:
    path = write(tmp_path, name, content)
    return [problem.at(path) for problem in read_rows(path)[1]]


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_rows(path)
    return str(caught.value)


class TestJsonLines:
    def test_only_a_line_feed_ends_a_line(self, tmp_path: Path) -> None:
        rows = read(tmp_path, "x.jsonl", '{"a": "x\u2028y\x85z"}\n\n{"a": 2}')
        assert rows == [(1, {"a": "x\u2028y\x85z"}), (3, {"a": 2})]

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    def test_encodings_and_line_ends(self, tmp_path: Path, encoding: str, end: str) -> None:
        text = f'{{"a": "ü🙂"}}{end}{{"a": 2}}{end}'
        mark = "\ufeff" if encoding in ("utf-16-le", "utf-16-be") else ""
        assert read(tmp_path, "x.jsonl", (mark + text).encode(encoding)) == [(1, {"a": "ü🙂"}), (2, {"a": 2})]

    def test_latin1_is_refused_with_its_line(self, tmp_path: Path) -> None:
        path = write(tmp_path, "x.jsonl", '{"a": 1}\n{"a": "ü"}\n'.encode("latin-1"))
        assert refusal(path) == "x.jsonl:2: a byte that is not UTF-8. Save the file as UTF-8."

    def test_half_a_utf16_file_is_refused(self, tmp_path: Path) -> None:
        path = write(tmp_path, "x.jsonl", '{"a": 1}\n'.encode("utf-16")[:-1])
        assert refusal(path).startswith("x.jsonl: ")
        assert "UTF-16" in refusal(path)

    def test_bad_rows_are_named_and_the_others_read(self, tmp_path: Path) -> None:
        text = '{"a": 1}\n{"a": \n[1]\n"x"\nnull\n{"a": NaN}\n{"a": 2}\n'
        path = write(tmp_path, "x.jsonl", text)
        rows, found = read_rows(path)
        assert [row.line for row in rows] == [1, 7]
        messages = [problem.at(path) for problem in found]
        assert messages[0].startswith("x.jsonl:2: not valid JSON (Expecting value")
        assert messages[0].endswith("Mend the line or remove it.")
        assert messages[1] == "x.jsonl:3: a row must be a JSON object {...}, found a list. Mend it."
        assert "x.jsonl:4: " in messages[2] and "found a text" in messages[2]
        assert "x.jsonl:5: " in messages[3] and "found a null" in messages[3]
        assert "x.jsonl:6: " in messages[4] and "NaN is not JSON" in messages[4]

    @pytest.mark.parametrize("name", ["x.jsonl", "x.json"])
    def test_half_a_surrogate_pair_is_named(self, tmp_path: Path, name: str) -> None:
        """It is JSON but not text: neither a tokenizer nor a UTF-8 file takes it."""
        text = '{"a": "\\ud83d\\ude42"}\n{"a": ["cut \\ud83d"]}\n'
        text = f"[{text.strip().replace(chr(10), ',')}]" if name == "x.json" else text
        path = write(tmp_path, name, text)
        rows, found = read_rows(path)
        assert [row.values for row in rows] == [{"a": "🙂"}]
        assert [p.at(path) for p in found] == [f"{name}:2: half of a character (\\ud83d). Mend the text."]

    def test_very_deep_nesting_is_named(self, tmp_path: Path) -> None:
        (message,) = problems(tmp_path, "x.jsonl", '{"a": ' + "[" * 200_000 + "\n")
        assert message.startswith("x.jsonl:1: not valid JSON")


class TestNothingToRead:
    @pytest.mark.parametrize("content", ["", "\n\n", " \n\t\n", "\ufeff"])
    @pytest.mark.parametrize("name", ["x.jsonl", "x.csv"])
    def test_no_rows(self, tmp_path: Path, content: str, name: str) -> None:
        path = write(tmp_path, name, content)
        assert refusal(path) == f"{path}: the file holds no rows. Each row is one example."

    @pytest.mark.parametrize(("name", "content"), [("x.csv", "a,b\n"), ("x.json", "[]")])
    def test_a_head_without_rows(self, tmp_path: Path, name: str, content: str) -> None:
        assert "the file holds no rows" in refusal(write(tmp_path, name, content))

    @pytest.mark.parametrize("name", ["x.jsonl", "x.json", "x.csv", "x.parquet", "x.txt"])
    def test_missing_or_a_folder(self, tmp_path: Path, name: str) -> None:
        assert refusal(tmp_path / name).startswith(f"{tmp_path / name}: no such file. Check the path")
        (tmp_path / name).mkdir()
        assert refusal(tmp_path / name) == f"{tmp_path / name}: this is a folder. Name a file in it."

    def test_an_unknown_suffix(self, tmp_path: Path) -> None:
        message = refusal(write(tmp_path, "x.xlsx", "a"))
        assert 'files that end in ".xlsx" are not read. Use .jsonl, .json, .csv, .tsv or .parquet.' in message


class TestJsonArray:
    def test_rows_are_counted(self, tmp_path: Path) -> None:
        assert read(tmp_path, "x.json", '[{"a": 1},\n\n {"a": 2}]') == [(1, {"a": 1}), (2, {"a": 2})]

    def test_json_lines_by_another_name(self, tmp_path: Path) -> None:
        assert read(tmp_path, "x.json", '{"a": 1}\n{"a": 2}\n') == [(1, {"a": 1}), (2, {"a": 2})]

    def test_faults(self, tmp_path: Path) -> None:
        assert problems(tmp_path, "x.json", '[{"a": 1},\n3]') == [
            "x.json:2: a row must be a JSON object {...}, found a number. Mend it."
        ]
        assert problems(tmp_path, "x.json", '{"a": 1}') == [
            "x.json: expected a list of objects, found a object. Put [ ] around the rows."
        ]
        (message,) = problems(tmp_path, "x.json", '[{"a": 1},\n{"a" 2}]')
        assert message.startswith("x.json:2: not valid JSON: ")


class TestCsv:
    def test_quoted_line_ends_count_as_lines(self, tmp_path: Path) -> None:
        text = 'text,label\r\n"one\r\ntwo, ""three""",a\r\n\r\nfour,b\r\n'
        assert read(tmp_path, "x.csv", text) == [
            (2, {"text": 'one\r\ntwo, "three"', "label": "a"}),
            (5, {"text": "four", "label": "b"}),
        ]

    def test_tabs(self, tmp_path: Path) -> None:
        assert read(tmp_path, "x.tsv", "\ufefftext\tlabel\na, b\tc\n") == [(2, {"text": "a, b", "label": "c"})]

    def test_blank_lines_before_the_head(self, tmp_path: Path) -> None:
        assert read(tmp_path, "x.csv", "\n\ntext,label\na,b\n") == [(4, {"text": "a", "label": "b"})]

    def test_ragged_rows_are_named(self, tmp_path: Path) -> None:
        text = 'a,b\n"1\n1",2\n1,2,3\n1\n'
        assert problems(tmp_path, "x.csv", text) == [
            "x.csv:4: 3 cells where the header has 2. Quote cells that contain ','.",
            "x.csv:5: 1 cells where the header has 2. Quote cells that contain ','.",
        ]

    def test_an_open_quote_is_told_where_it_begins(self, tmp_path: Path) -> None:
        message = refusal(write(tmp_path, "x.csv", 'a,b\n1,2\n"3,4\n5,6\n'))
        assert message.startswith("x.csv:3: not valid CSV from here on")
        assert message.endswith("Is a quote left open?")

    @pytest.mark.parametrize("head", ["a,a", "a, a", "a,", "a,  "])
    def test_a_column_has_one_name_of_its_own(self, tmp_path: Path, head: str) -> None:
        message = refusal(write(tmp_path, "x.csv", f"{head}\n1,2\n"))
        assert message == "x.csv:1: the header has an empty or repeated column name. Name each column once."

    def test_a_very_long_cell(self, tmp_path: Path) -> None:
        assert read(tmp_path, "x.csv", "a,b\n" + "y" * 200_000 + ",z\n")[0][1]["a"] == "y" * 200_000


class TestParquet:
    def test_rows_with_lists_and_objects(self, tmp_path: Path) -> None:
        rows = [{"text": "a", "fields": {"n": 1}, "m": [{"role": "user"}]}, {"text": "b", "fields": {"n": 2}, "m": []}]
        polars.DataFrame(rows).write_parquet(tmp_path / "x.parquet")
        assert read(tmp_path, "x.parquet", (tmp_path / "x.parquet").read_bytes()) == [(1, rows[0]), (2, rows[1])]

    def test_not_parquet(self, tmp_path: Path) -> None:
        assert refusal(write(tmp_path, "x.parquet", "text,label\n")).startswith(
            "x.parquet: not a readable Parquet file"
        )

    def test_no_rows(self, tmp_path: Path) -> None:
        polars.DataFrame({"a": []}).write_parquet(tmp_path / "x.parquet")
        assert "the file holds no rows" in refusal(tmp_path / "x.parquet")


@pytest.mark.skipif(not MESSY.is_dir(), reason="the public data is not here")
def test_every_messy_file_is_read_or_refused_in_words() -> None:
    num_read = 0
    for path in sorted(MESSY.glob("*.*")):
        try:
            rows, _ = read_rows(path)
        except DataError as error:
            assert path.name in str(error)
            continue
        num_read += bool(rows)
        json.dumps([row.values for row in rows], ensure_ascii=False).encode()
    assert num_read > 30
