"""The on-task gate of a run (`retention.gate`): fitted before the training, and tried on rows that it has not seen.

On its side stand the training inputs, the validation inputs and the training half of the bundled texts; what is
reported comes from the test rows and the measurement half.
"""

from collections.abc import Sequence
from typing import Any

from burnish.answering import ask, card_of
from burnish.data import Example
from burnish.errors import RecipeError
from burnish.evaluate.arms import Arm
from burnish.evaluate.bundled import Half, general_prompts, general_text, off_task_texts
from burnish.evaluate.metrics import collect_scores
from burnish.evaluate.statistics import wilson_interval
from burnish.model.adapter import adapter_off
from burnish.preparation import Prepared
from burnish.routing import OnTaskGate, fit_gate
from burnish.screen import Screen
from burnish.solution import PromptSolution


def gate_of(prepared: Prepared, screen: Screen) -> OnTaskGate | None:
    """The gate that the recipe asks for.

    Raises:
        RecipeError: the task's rows have no prompts to tell from others.
        BaseModelError: the encoder cannot be had.
    """
    if not prepared.recipe.retention.gate:
        return None
    train, validation = prepared.split.train, prepared.split.validation
    if not all(example.prompt for example in train):
        raise RecipeError("retention.gate: rows without a prompt cannot be told from other prompts. Leave it out.")
    gate = fit_gate(_inputs(train), _inputs(validation), off_task_texts(Half.TRAINING), screen.say)
    screen.say("On-task gate: prompts that are not like the training inputs are answered by the untouched base.")
    return gate


def measure_gate(
    gate: OnTaskGate, model: Any, prepared: Prepared, rows: Sequence[dict[str, Any]], screen: Screen
) -> dict[str, Any]:
    """For evaluation.json: how often the gate errs, and what that leaves of the score; `rows` are the specialist's."""
    screen.say("Trying the on-task gate ...")
    test, confidence = prepared.split.test, prepared.recipe.evaluate.confidence
    is_kept = gate.is_on_task(_inputs(test))
    half = Half.MEASUREMENT
    through = {
        "prompts_let_through": gate.is_on_task([row["prompt"] for row in general_prompts(half)]),
        "passages_let_through": gate.is_on_task([row["text"] for row in general_text(half)]),
    }
    sent = [example for example, kept in zip(test, is_kept, strict=True) if not kept]
    by_base = iter(_base_rows(model, prepared, sent))
    routed = [row if kept else next(by_base) for row, kept in zip(rows, is_kept, strict=True)]
    return {
        "threshold": gate.threshold,
        "test_sent_away": _share([not kept for kept in is_kept], confidence),
        **{name: _share(found, confidence) for name, found in through.items()},
        "score": collect_scores(rows).value,
        "score_with_gate": collect_scores(routed).value,
        "rows_sent_away": [example.id for example in sent],
    }


def _base_rows(model: Any, prepared: Prepared, examples: Sequence[Example]) -> list[dict[str, Any]]:
    """How the base answers these rows, and what that scores."""
    if not examples:
        return []
    with adapter_off(model):
        return ask(PromptSolution(model, prepared.renderer, card_of(Arm.SPECIALIST, prepared)), prepared, examples)


def _share(found: Sequence[bool], confidence: float) -> dict[str, Any]:
    interval = wilson_interval(sum(found), len(found), confidence)
    return {"count": sum(found), "num": len(found), **interval.to_dict()}


def _inputs(examples: Sequence[Example]) -> list[str]:
    return [example.asked for example in examples]
