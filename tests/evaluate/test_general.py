"""The team's own general rows: read in any format, and left out where they would spoil the task or the measurement."""

import json
from pathlib import Path

import pytest

from burnish.conversation import Role, build_conversation
from burnish.data import Example, Renderer
from burnish.errors import DataError
from burnish.evaluate.bundled import Half, general_prompts, general_text, instructions, openings, refusal_prompts
from burnish.evaluate.general import fit_general, freeze_general, leave_copies_out, read_general, thaw_general
from burnish.evaluate.replay import MAX_OWN_TOKENS, expect_replay, replay_of
from tests.tiny import build_tokenizer

RENDERER = Renderer(build_tokenizer(), frozenset({256}))
TASK = [
    Example("t:1", build_conversation("Be brief.", (Role.USER, "Where is my red parcel now?"), (Role.ASSISTANT, "x")))
]


def read(tmp_path: Path, text: str, name: str = "mine.jsonl") -> list[tuple[list[str], str]]:
    """Of each row the messages and the text."""
    (tmp_path / name).write_text(text)
    return [([message.content for message in row.prompt], row.text) for row in read_general(tmp_path / name)]


@pytest.mark.parametrize(
    ("row", "messages", "text"),
    [
        ('{"prompt": " Who are you? "}', ["Who are you?"], ""),
        ('{"prompt": "Who?", "completion": "I."}', ["Who?"], ""),
        ('{"question": "Who?", "system": "Be kind."}', ["Be kind.", "Who?"], ""),
        ('{"instruction": "Add.", "input": "1 2", "output": "3"}', ["Add.\n\n1 2"], ""),
        ('{"instruction": "Add.", "input": "1 2"}', ["Add.\n\n1 2"], ""),
        ('{"text": "Once upon a time."}', [], "Once upon a time."),
        ('{"text": "Buy now", "label": "spam"}', ["Buy now"], ""),
        ('{"messages": [{"role": "user", "content": "A?"}, {"role": "assistant", "content": "B."}]}', ["A?"], ""),
        ('{"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "A?"}]}', ["S", "A?"], ""),
        ('{"conversations": [{"from": "human", "value": "A?"}, {"from": "gpt", "value": "B."}]}', ["A?"], ""),
        ('{"prompt": "A?", "chosen": "B.", "rejected": "C."}', ["A?"], ""),
    ],
)
def test_rows_of_every_format_are_read_and_answers_left_out(
    tmp_path: Path, row: str, messages: list[str], text: str
) -> None:
    assert read(tmp_path, row + "\n") == [(messages, text)]


def test_rows_of_different_formats_may_stand_in_one_file_and_texts_in_a_text_file(tmp_path: Path) -> None:
    assert read(tmp_path, '{"prompt": "A?"}\n{"text": "B."}\n') == [(["A?"], ""), ([], "B.")]
    assert read(tmp_path, "One.\n\nTwo.\n", "mine.txt") == [([], "One.\n\nTwo.")]
    assert read(tmp_path, "prompt\nA?\nB?\n", "mine.csv") == [(["A?"], ""), (["B?"], "")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        ('{"prompt": ""}\n{"prompt": "x"}\n', "mine.jsonl:1: neither prompt nor text"),
        ('{"prompt": "x"}\n{"messages": [{"role": "pilot", "content": "x"}]}\n', "mine.jsonl:2: neither"),
        ('{"prompt": "x"}\n{"messages": [{"role": "assistant", "content": "x"}]}\n', "mine.jsonl:2: neither"),
        ('{"text": "  "}\n', "mine.jsonl:1: neither"),
        ('{"prompt": [3]}\n{"prompt": "x"}\n', "mine.jsonl:1: neither"),
        ('{"prompt": "x"}\n{"prompt": 3\n', "mine.jsonl:2"),
        ('{"a": 1}\n' * 5, "and 2 more"),
    ],
)
def test_a_bad_file_is_told_with_its_lines(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DataError, match=r"retention\.general") as caught:
        read(tmp_path, text)
    assert said in str(caught.value)


def test_what_is_only_told_of_a_file_refuses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(b"Our prompts,\r\n,\r\nprompt,who\r\nHow do clocks work?,me\r\n")
    assert [row.said for row in read_general(path)] == ["How do clocks work?"]


def test_near_copies_of_the_task_and_of_the_measurement_are_left_out_and_counted(tmp_path: Path) -> None:
    half = Half.MEASUREMENT
    measuring = [load(half)[3]["prompt"] for load in (general_prompts, refusal_prompts, instructions)]
    passages = [" ".join(general_text(h)[5]["text"].split()[4:40]) for h in Half]  # a part of it is enough
    prompts = ["where is my  RED parcel now", "Where is my red parcel right now?", *measuring, "How do clocks work?"]
    path = tmp_path / "mine.jsonl"
    rows = [{"prompt": line} for line in prompts] + [{"text": text} for text in [*passages, "Clocks have two hands."]]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    general = leave_copies_out(path.name, read_general(path), TASK)
    assert [row.said for row in general.rows] == ["How do clocks work?", "Clocks have two hands."]
    assert (general.num_rows, general.num_of_task, general.num_of_measurement) == (9, 2, 5)
    assert "2 of 9 rows may be replayed; left out: 2 like rows of the task, 5 like texts that measure" in str(general)
    # prompts of the training half may be replayed: they are
    path.write_text(json.dumps({"prompt": general_prompts(Half.TRAINING)[0]["prompt"]}) + "\n")
    assert len(leave_copies_out(path.name, read_general(path), TASK).rows) == 1


def test_what_does_not_fit_is_left_out_and_what_is_left_is_frozen(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"prompt": "A short one?"}\n{"prompt": "' + "long " * 100 + '"}\n{"text": "' + "b " * 600 + '"}\n')
    found = leave_copies_out(path.name, read_general(path), TASK)
    general = fit_general(found, RENDERER, max_tokens=100, max_rows=10)
    assert ([row.id for row in general.rows], general.num_unfit) == (["mine.jsonl:1", "mine.jsonl:3"], 1)
    freeze_general(general, tmp_path)
    assert thaw_general(tmp_path) == general
    assert thaw_general(tmp_path / "elsewhere") is None
    fewer = fit_general(found, RENDERER, max_tokens=100, max_rows=1)
    assert (len(fewer.rows), fewer.num_unneeded, fewer.counts["num_used"]) == (1, 1, 1)
    with pytest.raises(
        DataError, match=r"0 of 1 rows may be replayed.*too long.*Name other texts in retention\.general"
    ):
        path.write_text('{"prompt": "' + "long " * 100 + '"}\n')
        fit_general(leave_copies_out("f", read_general(path), TASK), RENDERER, max_tokens=9, max_rows=1)


def test_own_rows_stand_behind_the_bundled_ones(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"prompt": "A short one?"}\n{"text": "' + "b " * 600 + '"}\n')
    general = leave_copies_out(path.name, read_general(path), TASK)
    without, replay = (replay_of(RENDERER, rows, answer_tokens=4) for rows in (None, general))
    assert len(without.writings) == 2 and without.num_written == 80 + len(openings())
    assert replay.writings[:2] == without.writings and replay.num_written == without.num_written + 1
    texts, to_write = expect_replay(replay, cache=tmp_path, fingerprint="f")
    assert texts[:-1] == to_write and len(texts) == replay.num_written + 1
    assert [text.id for text in texts[-2:]] == ["mine.jsonl:1", "mine.jsonl:2"]
    assert (texts[-2].num_supervised, texts[-1].num_supervised) == (4, MAX_OWN_TOKENS - 1)
