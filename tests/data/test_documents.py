"""Texts and Markdown: pieces that are cut where a reader would cut them, each with its line, all of a file together."""

import gzip
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.conversation import Role, Task
from burnish.data import TaskForm, build_examples, load_table, read_rows
from burnish.data.reading.documents import MAX_PIECE_CHARS


def pieces(tmp_path: Path, name: str, text: str) -> list[tuple[str, str]]:
    (tmp_path / name).write_text(text, encoding="utf-8")
    rows, findings = read_rows(tmp_path / name)
    assert findings == []
    return [(row.id, row.values["text"]) for row in rows]


def test_markdown_is_cut_at_headings(tmp_path: Path) -> None:
    text = "intro\n\n# One\n## Two\nbody\n\n```sh\n# no heading\n```\nmore\n\n# Three\n"
    assert pieces(tmp_path, "x.md", text) == [
        ("x.md:1", "intro"),
        ("x.md:3", "# One\n## Two\nbody\n\n```sh\n# no heading\n```\nmore"),
        ("x.md:12", "# Three"),
    ]


def test_a_hash_in_a_text_is_no_heading(tmp_path: Path) -> None:
    assert pieces(tmp_path, "x.txt", "\n\na\n\n# b\n") == [("x.txt:3", "a\n\n# b")]


def test_long_texts_are_cut_at_blank_lines_and_long_paragraphs_at_line_ends(tmp_path: Path) -> None:
    paragraph = "\n".join(["x" * 99] * 15)
    text = "\n\n".join([paragraph, paragraph, paragraph, "\n".join(["y" * 99] * 90)])
    found = pieces(tmp_path, "x.txt", text)
    assert [place for place, _ in found][:3] == ["x.txt:1", "x.txt:33", "x.txt:49"]
    assert all(len(piece) <= MAX_PIECE_CHARS + 100 for _, piece in found)
    assert "".join("".join(piece.split()) for _, piece in found) == "".join(text.split())


def test_a_folder_is_read_by_name_and_hidden_files_are_not(tmp_path: Path) -> None:
    (tmp_path / "sub" / ".git").mkdir(parents=True)
    (tmp_path / "b.txt").write_text("b")
    (tmp_path / "sub" / "a.md").write_text("# a\nx\n# c\ny")
    (tmp_path / "sub" / ".git" / "c.md").write_text("c")
    (tmp_path / "table.csv").write_text("a,b\n")
    (tmp_path / "z.txt.gz").write_bytes(gzip.compress(b"z"))
    table = load_table(tmp_path, Task.COMPLETION, columns={})
    found = build_examples(table, TaskForm(Task.COMPLETION, "ignored: nothing is asked"))
    assert [(e.id, e.target, e.group) for e in found] == [
        ("b.txt:1", "b", "b.txt"),
        ("sub/a.md:1", "# a\nx", "sub/a.md"),
        ("sub/a.md:3", "# c\ny", "sub/a.md"),
        ("z.txt.gz:1", "z", "z.txt.gz"),
    ]
    assert all([m.role for m in e.messages] == [Role.ASSISTANT] for e in found)


def test_the_pieces_of_one_file_may_be_divided(tmp_path: Path) -> None:
    (tmp_path / "x.md").write_text("# a\nx\n# b\ny")
    table = load_table(tmp_path / "x.md", Task.COMPLETION, columns={})
    assert [e.group for e in build_examples(table, TaskForm(Task.COMPLETION, ""))] == [None, None]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["", " ", "# a", "a b", "```", "~~~~ x", "x" * 1500, "\t#"]), max_size=40))
def test_no_word_is_lost_and_no_line_is_named_twice(tmp_path_factory: object, lines: list[str]) -> None:
    folder = tmp_path_factory.mktemp("texts")  # type: ignore[attr-defined]
    for name in ("x.md", "x.txt"):
        (folder / name).write_text("\n".join(lines), encoding="utf-8")
        rows, _ = read_rows(folder / name)
        assert " ".join(row.values["text"] for row in rows).split() == " ".join(lines).split()
        assert len({row.line for row in rows}) == len(rows)
        for row in rows:
            assert row.values["text"].strip()
            assert row.values["text"].split("\n")[0] == lines[row.line - 1].rstrip()
