"""Prompts whose answers must not change: read with their lines, and compared."""

from pathlib import Path

import pytest

from burnish.conversation import Role
from burnish.errors import DataError
from burnish.evaluate.unchanged import compare_answers, read_kept_prompts


def test_prompts_and_conversations_are_read(tmp_path: Path) -> None:
    path = tmp_path / "keep.jsonl"
    path.write_text(
        '{"prompt": " Who are you? "}\n'
        '{"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]}\n'
        '{"messages": [{"role": "user", "content": "A?"}, {"role": "assistant", "content": "B."}]}\n'
    )
    rows = read_kept_prompts(path)
    assert [row.id for row in rows] == [f"keep.jsonl:{line}" for line in (1, 2, 3)]
    assert [row.prompt[-1].content for row in rows] == ["Who are you?", "Hi", "A?"]
    assert rows[1].prompt[0].role is Role.SYSTEM


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        ("[]", "keep.jsonl"),
        ('{"prompt": ""}\n{"prompt": "x"}\n', "keep.jsonl:1: no prompt"),
        ('{"prompt": "x"}\n{"messages": [{"role": "pilot", "content": "x"}]}\n', "keep.jsonl:2: no prompt"),
        ('{"prompt": "x"}\n{"messages": [{"role": "assistant", "content": "x"}]}\n', "keep.jsonl:2: no prompt"),
        ('{"prompt": "x"}\n{"prompt": 3\n', "keep.jsonl:2"),
        ('{"a": 1}\n' * 5, "and 2 more"),
    ],
)
def test_a_bad_file_is_told_with_its_lines(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "keep.jsonl"
    path.write_text(text)
    with pytest.raises(DataError, match=r"retention\.keep") as caught:
        read_kept_prompts(path)
    assert said in str(caught.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"keep\.jsonl"):
        read_kept_prompts(tmp_path / "keep.jsonl")


def test_answers_are_compared_word_for_word(tmp_path: Path) -> None:
    path = tmp_path / "keep.jsonl"
    path.write_text('{"prompt": "a"}\n{"prompt": "b"}\n')
    found = compare_answers(read_kept_prompts(path), ["x", "y"], ["x", "Y"])
    assert (found["num_kept"], found["num_rows"]) == (1, 2)
    assert [row["is_kept"] for row in found["rows"]] == [True, False]
