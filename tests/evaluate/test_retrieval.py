"""Similar training rows: what BM25 and the encoder find, how they are fused, and what fits in a prompt."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest

from burnish.conversation import Conversation, Message, Role, build_conversation
from burnish.data import Example
from burnish.evaluate.retrieval import Retriever
from burnish.model.encoder import Encoder
from tests.data.datasets import questions

ROWS = questions(
    ("where is my parcel", "delivery"),
    ("the kettle leaks", "repair"),
    ("my parcel is late", "delivery"),
    ("i want my money back", "refund"),
    ("the kettle does not heat", "repair"),
)


class EncoderOf:
    """An encoder that knows a few texts."""

    def __init__(self, vectors: dict[str, Sequence[float]]) -> None:
        self._vectors = vectors

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        return np.array([self._vectors[text] for text in texts], dtype=np.float32)


def retriever(rows: Sequence[Example], vectors: dict[str, Sequence[float]] | None = None) -> Retriever:
    return Retriever(rows, cast(Encoder, EncoderOf(vectors)) if vectors else None)


def ask(text: str) -> Conversation:
    return build_conversation("Name the label.", (Role.USER, text))


def found(rows: Sequence[Example], text: str, num_rows: int = 2) -> list[int]:
    (order,) = retriever(rows).ranked([ask(text)], num_rows)
    return order


def characters(prompt: Conversation) -> int:
    return sum(len(message.content) for message in prompt)


def test_rows_with_rare_common_words_come_first() -> None:
    assert found(ROWS, "The KETTLE?") == [1, 4]
    assert found(ROWS, "late parcel", 1) == [2]


@pytest.mark.parametrize(
    ("texts", "question"),
    [
        (["退款什么时候到账", "水壶漏水了怎么办", "包裹在哪里"], "我的水壶一直漏水"),
        (["返金はいつですか", "やかんが水漏れします", "荷物はどこですか"], "やかんから水漏れ"),
        (["ขอเงินคืนเมื่อไหร่", "กาน้ำรั่วทำอย่างไร", "พัสดุอยู่ที่ไหน"], "กาน้ำของฉันรั่ว"),
        (["ប្រាក់វិញពេលណា", "កំសៀវលេចទឹក", "កញ្ចប់នៅឯណា"], "កំសៀវខ្ញុំលេចទឹក"),
    ],
)
def test_scripts_without_spaces_are_searched(texts: list[str], question: str) -> None:
    assert found(questions(*((text, "x") for text in texts)), question, 1) == [1]


def test_rankings_are_fused_by_reciprocal_rank() -> None:
    """By words: 1, then the rest, which share the last rank; by meaning: 3, 2, 1, 0."""
    rows = questions(("alpha", "x"), ("beta gamma", "x"), ("delta", "x"), ("epsilon", "x"))
    vectors = {"alpha": [0, 1], "beta gamma": [0.6, 0.8], "delta": [0.8, 0.6], "epsilon": [1, 0], "gamma": [1, 0]}
    (order,) = retriever(rows, vectors).ranked([ask("gamma")], 4)
    worth = [1 / 64 + 1 / 64, 1 / 61 + 1 / 63, 1 / 64 + 1 / 62, 1 / 64 + 1 / 61]
    assert order == sorted(range(4), key=lambda i: -worth[i]) == [1, 3, 2, 0]


def test_equals_stand_in_the_order_of_the_rows() -> None:
    rows = questions(*((text, "x") for text in ["b", "a same", "c", "a same", "a same"] * 5))
    (order,) = retriever(rows).ranked([ask("same")], 25)
    assert order == [i for i in range(25) if i % 5 in (1, 3, 4)] + [i for i in range(25) if i % 5 in (0, 2)]


@pytest.mark.parametrize("text", ["", "?", "zebra"])
def test_a_question_without_a_known_word_is_answered_too(text: str) -> None:
    assert found(ROWS, text) == [0, 1]


def test_the_most_similar_row_stands_last() -> None:
    (shots,) = retriever(ROWS).shots([ask("the kettle is here")], num_shots=3, count_tokens=characters, limit=10_000)
    assert [shot.id for shot in shots] == ["f:1", "f:5", "f:2"]


def test_rows_that_do_not_fit_give_way_to_the_next() -> None:
    long = "parcel late " * 20
    rows = questions((long, "delivery"), *((row.prompt[0].content, row.target) for row in ROWS))
    prompt = ask("parcel late")
    for limit, texts in (
        (10_000, ["my parcel is late", long.strip()]),
        (150, ["where is my parcel", "my parcel is late"]),
        (characters(prompt) + 25, ["my parcel is late"]),
        (10, []),
    ):
        (shots,) = retriever(rows).shots([prompt], num_shots=2, count_tokens=characters, limit=limit)
        assert [shot.prompt[-1].content.strip() for shot in shots] == texts


def test_only_rows_of_a_single_turn_are_shown() -> None:
    many = Example("f:9", build_conversation("s", *[(Role.USER, "kettle"), (Role.ASSISTANT, "what of it")] * 2))
    text = Example("f:10", (Message(Role.ASSISTANT, "kettle"),))
    assert retriever([many, text]).shots([ask("kettle")], num_shots=2, count_tokens=characters, limit=99) == [[]]
    assert retriever([many, text, *ROWS]).rows == ROWS


def test_it_finds_rows_of_the_same_label(capsys: Any) -> None:
    """Chance would be one in four; nothing is printed on the way."""
    things, verbs = ("kettle", "lamp", "iron", "fan"), ("find", "pay", "mend", "lose", "see")
    train = questions(*((f"{verb} my {thing}", thing) for verb in verbs for thing in things))
    asked = [ask(f"please help with the {thing}") for thing in ("fan", "lamp")]
    shots = retriever(train).shots(asked, num_shots=3, count_tokens=characters, limit=10_000)
    assert [[shot.target for shot in one] for one in shots] == [["fan"] * 3, ["lamp"] * 3]
    assert capsys.readouterr().err == ""
