"""Few-shot examples: drawn, put in front of a question, and chosen by their loss on validation."""

import math

import pytest
import torch

from burnish.conversation import Role, build_conversation
from burnish.data import Example, Renderer
from burnish.evaluate.arms import best_shots, candidate_shots, choose_shots, shots_loss, with_shots
from tests.data.datasets import question, questions
from tests.tiny import build_model, build_tokenizer

ROWS = questions(*((f"question {n}", f"answer {n % 7}") for n in range(40)))


def test_candidates_differ_and_begin_with_the_draw_of_the_seed() -> None:
    candidates = candidate_shots(ROWS, 3, seed=5, num_candidates=4)
    assert len(candidates) == 4
    assert candidates[0] == choose_shots(ROWS, 3, 5)
    assert len({tuple(row.id for row in shots) for shots in candidates}) == 4
    assert candidates == candidate_shots(ROWS, 3, seed=5, num_candidates=4)


def test_few_rows_give_few_candidates() -> None:
    assert candidate_shots(ROWS[:1], 3, seed=0, num_candidates=4) == [ROWS[:1]]


def test_a_text_without_a_question_is_no_shot() -> None:
    text = Example("f:99", build_conversation(None, (Role.ASSISTANT, "a text")))
    assert choose_shots([text, *ROWS[:2]], 3, 0) == choose_shots(ROWS[:2], 3, 0)


def test_the_least_loss_wins_and_the_first_of_equals() -> None:
    candidates = [[ROWS[n]] for n in (0, 1, 2, 3)]
    losses = {"f:1": 2.0, "f:2": 1.0, "f:3": 1.0, "f:4": 3.0}
    assert best_shots(candidates, lambda shots: losses[shots[0].id]) == (candidates[1], [2.0, 1.0, 1.0, 3.0])


def test_shots_stand_between_the_instruction_and_the_question() -> None:
    shots = [question("a", "b", system="another instruction"), question("c", "d")]
    asked = build_conversation("s", (Role.USER, "e"))
    turns = [(Role.USER, "a"), (Role.ASSISTANT, "b"), (Role.USER, "c"), (Role.ASSISTANT, "d"), (Role.USER, "e")]
    assert with_shots(asked, shots) == build_conversation("s", *turns)
    assert with_shots(asked[1:], shots) == build_conversation(None, *turns)
    assert with_shots(asked, []) == asked


def test_the_loss_is_that_of_the_rows_own_answers() -> None:
    """Against the log-probabilities of each answer behind the whole prompt; those of the shots do not count."""
    model, renderer = build_model(), Renderer(build_tokenizer(), frozenset({256}))
    shots, rows = ROWS[:2], [question("what", "this", system="s"), question("who", "them and us")]
    total, count = 0.0, 0
    for row in rows:
        prompt = renderer.prompt_ids(with_shots(row.prompt, shots))
        answer = renderer.answer_ids(row.prompt, row.target)
        assert renderer.decode(answer) == row.target
        logits = model(input_ids=torch.tensor([prompt + answer])).logits[0]
        for i, token in enumerate(answer):
            total -= float(logits[len(prompt) - 1 + i].log_softmax(-1)[token])
        count += len(answer)
    loss = shots_loss(model, renderer, shots, rows, micro_batch_tokens=300)
    assert loss == pytest.approx(total / count, rel=1e-6)
    assert not math.isclose(loss, shots_loss(model, renderer, ROWS[2:4], rows, micro_batch_tokens=300), rel_tol=1e-6)
