"""Files as people have them: odd encodings and line ends are read, what cannot be read is named by its line."""

import gzip
import zipfile
from pathlib import Path
from typing import Any

import polars
import pytest

from burnish.data import Severity, read_rows
from burnish.data.reading.json_files import SHAPE_WANTED
from burnish.errors import DataError


def write(tmp_path: Path, name: str, content: str | bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(tmp_path: Path, name: str, content: str | bytes) -> list[tuple[int, dict[str, Any]]]:
    """The rows of a file in which nothing worse is found than a note."""
    rows, findings = read_rows(write(tmp_path, name, content))
    assert all(finding.severity is Severity.NOTE for finding in findings)
    return [(row.line, row.values) for row in rows]


def found(tmp_path: Path, name: str, content: str | bytes) -> list[tuple[str | None, str, str]]:
    findings = read_rows(write(tmp_path, name, content))[1]
    return [(finding.row, finding.check, finding.message) for finding in findings]


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

    def test_what_is_odd_about_the_file_is_noted(self, tmp_path: Path) -> None:
        text = '{"a": "ü"}\r\n'
        assert found(tmp_path, "x.jsonl", text.encode("utf-8-sig")) == [
            (None, "utf8_bom", "x.jsonl: the file begins with a byte order mark."),
            (None, "crlf", "x.jsonl: lines end in CR LF."),
        ]
        assert found(tmp_path, "y.jsonl", text.encode("utf-16"))[0] == (
            None, "utf16", "y.jsonl: the file is UTF-16.",
        )  # fmt: skip
        assert [check for _, check, _ in found(tmp_path, "z.jsonl", text.encode("utf-16-le"))] == ["utf16", "crlf"]

    def test_a_byte_that_is_not_utf8_costs_nothing_but_a_warning(self, tmp_path: Path) -> None:
        content = '{"a": 1}\n{"a": "£ “ü”"}\n{"a": "ü"}\n'.encode("cp1252").replace(b'\xfc"}', b'\xc3\xbc"}')
        rows, findings = read_rows(write(tmp_path, "x.jsonl", content))
        assert [row.values["a"] for row in rows] == [1, "£ “ü”", "ü"]
        assert [(f.row, f.check, f.severity) for f in findings] == [("x.jsonl:2", "not_utf8", Severity.WARNING)]
        assert findings[0].message == "byte 0xa3 is not UTF-8; the line is read as Windows-1252."

    def test_a_byte_that_even_windows_does_not_know(self, tmp_path: Path) -> None:
        rows, _ = read_rows(write(tmp_path, "x.jsonl", b'{"a": "\x81"}\n'))
        assert rows[0].values == {"a": "\x81"}

    def test_half_a_utf16_file_is_read_as_far_as_it_goes(self, tmp_path: Path) -> None:
        path = write(tmp_path, "x.jsonl", '{"a": 1}\n{"a": 2}'.encode("utf-16")[:-1])
        rows, findings = read_rows(path)
        assert [row.values for row in rows] == [{"a": 1}]
        assert [(f.row, f.check) for f in findings] == [(None, "utf16"), ("x.jsonl:2", "invalid_json")]

    @pytest.mark.parametrize(
        ("line", "check", "message"),
        [
            ('{"a": ', "invalid_json", "not valid JSON (Expecting value at character 8)."),
            ('{"a": NaN}', "invalid_json", "not valid JSON (NaN is not JSON)."),
            ('{"a": -1e999}', "invalid_json", "not valid JSON (-1e999 is too large for a number)."),
            ('{"a": ' + "[" * 200_000, "invalid_json", "not valid JSON (nested more than 100 levels deep)."),
            ("[" * 101 + "]" * 101, "invalid_json", "not valid JSON (nested more than 100 levels deep)."),
            ("[" * 99 + "]" * 99, "not_an_object", "a row is a JSON object {...}, but this is a list."),
            ('"x"', "not_an_object", "a row is a JSON object {...}, but this is text."),
            ("null", "not_an_object", "a row is a JSON object {...}, but this is null."),
            ('{"a": ["cut \\ud83d"]}', "lone_surrogate", "half of a character (\\ud83d)."),
            (" \t", "blank_line", "the line is blank."),
        ],
    )
    def test_a_bad_line_is_named_and_the_others_read(self, tmp_path: Path, line: str, check: str, message: str) -> None:
        rows, findings = read_rows(write(tmp_path, "x.jsonl", f'{{"a": 1}}\n{line}\n{{"a": "\\ud83d\\ude42"}}'))
        assert [(row.id, row.values) for row in rows] == [("x.jsonl:1", {"a": 1}), ("x.jsonl:3", {"a": "🙂"})]
        assert [(f.row, f.check, f.message) for f in findings] == [("x.jsonl:2", check, message)]

    def test_gzip(self, tmp_path: Path) -> None:
        whole = gzip.compress(b'{"a": 1}\n' * 5000)
        assert len(read(tmp_path, "x.jsonl.gz", whole)) == 5000
        assert "x.jsonl.gz: not a whole gzip file" in refusal(write(tmp_path, "x.jsonl.gz", whole[:-20]))
        assert "x.jsonl.gz: not a whole gzip file" in refusal(write(tmp_path, "x.jsonl.gz", b'{"a": 1}\n'))


class TestNothingToRead:
    @pytest.mark.parametrize("name", ["x.jsonl", "x.json", "x.csv"])
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("", "the file is empty."),
            ("\ufeff", "the file holds nothing but white space."),
            (" \n\t\n", "the file holds nothing but white space."),
        ],
    )
    def test_no_rows(self, tmp_path: Path, name: str, content: str, message: str) -> None:
        *_, (row, check, told) = found(tmp_path, name, content)
        assert (row, told) == (None, f"{name}: {message}")
        assert check == ("whitespace_only" if content else "empty_file")

    @pytest.mark.parametrize(("name", "content"), [("x.csv", "a,b\n"), ("x.json", "[]"), ("x.txt", "\n")])
    def test_a_head_without_rows(self, tmp_path: Path, name: str, content: str) -> None:
        assert found(tmp_path, name, content) == [(None, "no_rows", f"{name}: there is no row in it.")]

    @pytest.mark.parametrize("name", ["x.jsonl", "x.json", "x.csv", "x.parquet", "x.xlsx", "x.txt", "x.what"])
    def test_missing_or_a_folder(self, tmp_path: Path, name: str) -> None:
        assert refusal(tmp_path / name).startswith(f"{tmp_path / name}: no such file. Check the path")
        (tmp_path / name).mkdir()
        assert refusal(tmp_path / name).startswith(f"{tmp_path / name}: a folder without a text (.txt, .md).")

    @pytest.mark.parametrize("name", ["x.docx", "x.parquet.gz", "x.gz", "x"])
    def test_an_unknown_suffix(self, tmp_path: Path, name: str) -> None:
        assert "are not read. Use .jsonl, .ndjson, .json, .csv, .tsv" in refusal(write(tmp_path, name, "a"))


class TestJsonArray:
    def test_rows_are_counted(self, tmp_path: Path) -> None:
        assert read(tmp_path, "x.json", '[{"a": 1},\n\n {"a": 2}]') == [(1, {"a": 1}), (2, {"a": 2})]

    def test_json_lines_by_another_name(self, tmp_path: Path) -> None:
        assert read(tmp_path, "x.json", '{"a": 1}\n{"a": 2}\n') == [(1, {"a": 1}), (2, {"a": 2})]

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ('[{"a": 1},\n3]', ("x.json:2", "not_an_object", "a row is a JSON object {...}, but this is a number.")),
            ('[{"a": 1},\n{"a": "\\ud83d"}]', ("x.json:2", "lone_surrogate", "half of a character (\\ud83d).")),
            ("3", (None, "not_an_object", f"x.json: rows are expected, but this is a number. {SHAPE_WANTED}")),
            (
                '[{"a": 1},\n{"a" 2}]',
                ("x.json:2", "invalid_json", "not valid JSON (Expecting ':' delimiter), so the file is not read."),
            ),
            (
                '[{"a": Infinity}]',
                ("x.json:1", "invalid_json", "not valid JSON (Infinity is not JSON), so the file is not read."),
            ),
        ],
    )
    def test_faults(self, tmp_path: Path, text: str, expected: tuple[str | None, str, str]) -> None:
        assert found(tmp_path, "x.json", text) == [expected]


class TestCsv:
    def test_quoted_line_ends_count_as_lines(self, tmp_path: Path) -> None:
        text = 'text,label\r\n"one\r\ntwo, ""three""",a\r\n\r\nfour,b\r\n'
        assert read(tmp_path, "x.csv", text) == [
            (2, {"text": 'one\r\ntwo, "three"', "label": "a"}),
            (5, {"text": "four", "label": "b"}),
        ]

    def test_tabs(self, tmp_path: Path) -> None:
        assert read(tmp_path, "x.tsv", "\ufefftext\tlabel\na, b\tc\n") == [(2, {"text": "a, b", "label": "c"})]

    @pytest.mark.parametrize("delimiter", [";", "\t"])
    def test_other_delimiters_of_spreadsheets(self, tmp_path: Path, delimiter: str) -> None:
        text = f'text{delimiter}label\n"a{delimiter} b"{delimiter}c\n'
        assert read(tmp_path, "x.csv", text) == [(2, {"text": f"a{delimiter} b", "label": "c"})]

    def test_blank_rows_are_passed_over(self, tmp_path: Path) -> None:
        text = "\n\ntext,label\na,b\n\n,\nc,d\n"
        assert read(tmp_path, "x.csv", text) == [(4, {"text": "a", "label": "b"}), (7, {"text": "c", "label": "d"})]
        assert [(row, check) for row, check, _ in found(tmp_path, "x.csv", text)] == [
            (f"x.csv:{line}", "blank_line") for line in (1, 2, 5, 6)
        ]

    def test_ragged_rows_are_named(self, tmp_path: Path) -> None:
        assert found(tmp_path, "x.csv", 'a,b\n"1\n1",2\n1,2,3\n1\n') == [
            ("x.csv:4", "ragged_row", "3 cells where the header has 2."),
            ("x.csv:5", "ragged_row", "1 cells where the header has 2."),
        ]

    def test_an_open_quote_is_told_where_it_begins(self, tmp_path: Path) -> None:
        rows, findings = read_rows(write(tmp_path, "x.csv", 'a,b\n1,2\n"3,4\n5,6\n'))
        assert [row.line for row in rows] == [2]
        assert [(f.row, f.check) for f in findings] == [("x.csv:3", "unclosed_quote")]
        assert "not valid CSV from here on (unexpected end of data)" in findings[0].message

    def test_a_byte_that_is_not_utf8(self, tmp_path: Path) -> None:
        rows, findings = read_rows(write(tmp_path, "x.csv", 'a,b\nä,1\n"x\nü",2\n'.encode("latin-1")))
        assert [row.values["a"] for row in rows] == ["ä", "x\nü"]
        assert [finding.row for finding in findings] == ["x.csv:2", "x.csv:4"]

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
        assert [f.check for f in read_rows(tmp_path / "x.parquet")[1]] == ["no_rows"]


def workbook(path: Path, *sheets: list[list[str | float | None]]) -> Path:
    """A workbook of the parts that the format cannot do without."""
    names = [f"s{n}" for n in range(1, len(sheets) + 1)]
    schema = "http://schemas.openxmlformats.org"
    office = f"{schema}/officeDocument/2006/relationships"
    files = {
        "[Content_Types].xml": f'<Types xmlns="{schema}/package/2006/content-types"/>',
        "_rels/.rels": f'<Relationships xmlns="{schema}/package/2006/relationships">'
        f'<Relationship Id="r" Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{schema}/spreadsheetml/2006/main" xmlns:r="{office}"><sheets>'
        + "".join(f'<sheet name="{name}" sheetId="{n}" r:id="r{n}"/>' for n, name in enumerate(names, start=1))
        + "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{schema}/package/2006/relationships">'
        + "".join(
            f'<Relationship Id="r{n}" Type="{office}/worksheet" Target="worksheets/{name}.xml"/>'
            for n, name in enumerate(names, start=1)
        )
        + "</Relationships>",
    }
    for name, rows in zip(names, sheets, strict=True):
        body = ""
        for n, row in enumerate(rows, start=1):
            body += f'<row r="{n}">' + "".join(_cell(n, m, value) for m, value in enumerate(row)) + "</row>"
        files[f"xl/worksheets/{name}.xml"] = (
            f'<worksheet xmlns="{schema}/spreadsheetml/2006/main"><sheetData>{body}</sheetData></worksheet>'
        )
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def _cell(row: int, column: int, value: str | float | None) -> str:
    place = f"{'ABC'[column]}{row}"
    if value is None:
        return ""
    if isinstance(value, str):
        return f'<c r="{place}" t="inlineStr"><is><t xml:space="preserve">{value}</t></is></c>'
    return f'<c r="{place}"><v>{value}</v></c>'


class TestExcel:
    def test_the_rows_of_the_first_sheet_as_text(self, tmp_path: Path) -> None:
        path = workbook(
            tmp_path / "x.xlsx", [["text", "label"], ["a, b", 1], [None, None], ["x\ny", 2.5], ["c", None]], [["z"]]
        )
        rows, findings = read_rows(path)
        assert [(row.id, row.values) for row in rows] == [
            ("x.xlsx:2", {"text": "a, b", "label": "1"}),
            ("x.xlsx:4", {"text": "x\ny", "label": "2.5"}),
            ("x.xlsx:5", {"text": "c", "label": ""}),
        ]
        assert [(f.row, f.check) for f in findings] == [(None, "more_sheets"), ("x.xlsx:3", "blank_line")]

    def test_a_row_has_the_number_that_excel_shows(self, tmp_path: Path) -> None:
        path = workbook(tmp_path / "x.xlsx", [[None], [None], ["text", "label"], ["a", "b"], [" ", None], [None]])
        rows, findings = read_rows(path)
        assert [row.id for row in rows] == ["x.xlsx:4"]
        assert {(f.row, f.check) for f in findings} >= {("x.xlsx:1", "blank_line"), ("x.xlsx:2", "blank_line")}

    def test_not_excel(self, tmp_path: Path) -> None:
        assert refusal(write(tmp_path, "x.xlsx", "text,label\n")).startswith("x.xlsx: not a readable Excel file")
