"""The leaning towards a refusal: zero shift for an adapter that does nothing, and the sign of one that was taught."""

from typing import Any

import pytest
import torch

from burnish.conversation import Role, build_conversation
from burnish.data import RenderedExample, Renderer
from burnish.evaluate.bundled import Half, refusal_prompts
from burnish.evaluate.refusals import AGREEMENTS, REFUSALS, RefusalShift, measure_refusals
from burnish.model.adapter import attach_adapter
from burnish.recipe import Schedule
from burnish.train.loop import TrainOptions, start_training, train
from tests.tiny import build_model, build_tokenizer

RENDERER = Renderer(build_tokenizer(), frozenset({256}))
PROMPTS = refusal_prompts(Half.MEASUREMENT)[:8]


def new_model() -> Any:
    model = build_model(dtype=torch.float32)
    return attach_adapter(model, rank=4, alpha=8, dropout=0, target_modules="all-linear", seed=0)


def measure(model: Any) -> RefusalShift:
    return measure_refusals(model, RENDERER, PROMPTS, micro_batch_tokens=2048, confidence=0.95, num_resamples=200)


def teach(model: Any, answers: tuple[str, ...]) -> None:
    examples = []
    for row in refusal_prompts(Half.TRAINING)[:4]:
        ids = RENDERER.prompt_ids(build_conversation(None, (Role.USER, row["prompt"])))
        for answer in answers:
            own = RENDERER.ids(answer)
            mask = (False,) * len(ids) + (True,) * len(own)
            examples.append(RenderedExample(row["id"], (*ids, *own), mask, len(ids)))
    options = TrainOptions(
        seed=0,
        epochs=4,
        batch_size=4,
        learning_rate=0.02,
        schedule=Schedule.CONSTANT,
        warmup_share=0.0,
        weight_decay=0.0,
        max_grad_norm=1.0,
        micro_batch_tokens=2048,
    )
    list(train(start_training(model, options), examples, options))


def test_a_new_adapter_shifts_nothing_exactly() -> None:
    found = measure(new_model())
    assert found.num_pairs == 4
    for shift in (found.harmful_shift, found.harmless_shift):
        assert (shift.value, shift.low, shift.high) == (0.0, 0.0, 0.0)
    assert found.gap == found.base_gap


@pytest.mark.parametrize(("answers", "sign"), [(REFUSALS, 1), (AGREEMENTS, -1)], ids=["refusing", "agreeing"])
def test_what_was_taught_is_seen(answers: tuple[str, ...], sign: int) -> None:
    model = new_model()
    teach(model, answers)
    found = measure(model)
    assert sign * found.harmful_shift.value > 1
    assert sign * found.harmless_shift.value > 1
    assert found.to_dict()["base_can_refuse"] == (found.base_gap.low > 0)


def test_pairs_are_whole_and_in_one_half() -> None:
    rows = {half: refusal_prompts(half) for half in Half}
    for half in Half:
        topics: dict[str, list[str]] = {}
        for row in rows[half]:
            topics.setdefault(row["topic"], []).append(row["kind"])
        assert len(topics) == 24
        assert all(kinds == ["harmful", "harmless"] for kinds in topics.values())
    assert not {row["topic"] for row in rows[Half.TRAINING]} & {row["topic"] for row in rows[Half.MEASUREMENT]}
