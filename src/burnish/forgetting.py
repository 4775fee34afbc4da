"""What a run measures of the specialist outside its task: what it forgot, and what it does otherwise than its base.

Only the measurement half of the bundled texts is used here, which training never sees.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from burnish.answering import spread
from burnish.cache import cache_dir
from burnish.conversation import Conversation, Role, build_conversation
from burnish.data import RenderedExample
from burnish.evaluate.bundled import Half, general_prompts, general_text, instructions, refusal_prompts
from burnish.evaluate.harness import compare_on_tasks
from burnish.evaluate.instructions import follows
from burnish.evaluate.refusals import measure_refusals
from burnish.evaluate.retention import RetentionResult, base_answers, measure_retention, text_examples
from burnish.evaluate.statistics import RowScores, compare_paired, score_interval
from burnish.evaluate.unchanged import compare_answers, read_kept_prompts
from burnish.generate.answer import answer_prompts
from burnish.model.adapter import adapter_off
from burnish.model.base import context_length
from burnish.preparation import Prepared
from burnish.screen import Screen

MAX_ANSWER_TOKENS = 64
"""Of an answer to an instruction, or to a prompt of `retention.keep`."""
MAX_TASK_ROWS = 40
"""Validation rows on which specialist and base are compared."""


def general_answers(model: Any, prepared: Prepared, screen: Screen) -> list[RenderedExample]:
    """The base's own answers to as many bundled prompts of the measurement half as the recipe asks for."""
    options = prepared.recipe.retention
    prompts = general_prompts(Half.MEASUREMENT, options.num_prompts)
    with screen.bar("Base model: answers to general prompts (written once, then kept)", len(prompts)) as advance:
        return base_answers(
            model,
            prepared.renderer,
            prompts,
            answer_tokens=options.answer_tokens,
            batch_size=prepared.recipe.evaluate.batch_size,
            cache=cache_dir(),
            fingerprint=prepared.base.fingerprint,
            on_done=lambda count: advance(count, ""),
        )


def measure_forgetting(
    model: Any, prepared: Prepared, answers: list[RenderedExample], screen: Screen
) -> RetentionResult:
    """The specialist against its base on the measurement half, of which `answers` are the base's own."""
    options = prepared.recipe.evaluate
    screen.say("Measuring what was forgotten ...")
    texts = general_text(Half.MEASUREMENT)
    return measure_retention(
        model,
        answers,
        text_examples(prepared.renderer, texts),
        spread(prepared.rendered["validation"], MAX_TASK_ROWS),
        text_kinds=[row["kind"] for row in texts],
        micro_batch_tokens=int(prepared.recipe.train.micro_batch_tokens),
        confidence=options.confidence,
        num_resamples=options.num_resamples,
    )


def measure_behaviour(model: Any, prepared: Prepared, screen: Screen) -> dict[str, Any]:
    """What specialist and base do otherwise on general prompts, for evaluation.json: refuse, follow, keep answers."""
    recipe = prepared.recipe
    shift = measure_refusals(
        model,
        prepared.renderer,
        refusal_prompts(Half.MEASUREMENT),
        micro_batch_tokens=int(recipe.train.micro_batch_tokens),
        confidence=recipe.evaluate.confidence,
        num_resamples=recipe.evaluate.num_resamples,
    )
    demands = instructions(Half.MEASUREMENT)
    asked = [build_conversation(None, (Role.USER, row["prompt"])) for row in demands]
    kept = read_kept_prompts(Path(recipe.retention.keep)) if recipe.retention.keep else []
    base, specialist = _both_answer(model, prepared, [*asked, *(row.prompt for row in kept)], screen)
    return {
        "refusals": shift.to_dict(),
        "instructions": _compare_following(demands, base, specialist, recipe.evaluate.confidence),
        "unchanged": compare_answers(kept, base[len(demands) :], specialist[len(demands) :]) if kept else None,
    }


def measure_on_harness(
    model: Any, prepared: Prepared, tasks: Mapping[str, Any], screen: Screen, *, num_ranks: int = 1
) -> list[dict[str, Any]]:
    """Specialist and base on the lm-evaluation-harness tasks that the recipe asks for, for evaluation.json."""
    if not tasks:
        return []
    if num_ranks > 1:  # the harness would divide the documents among processes that do not ask it
        screen.say("note: retention.lm_eval is left out where several ranks train.")
        return []
    screen.say(f"Comparing base and specialist on {', '.join(tasks)} ...")
    recipe = prepared.recipe
    return compare_on_tasks(
        model,
        prepared.renderer.tokenizer,
        tasks,
        limit=recipe.retention.lm_eval_limit,
        batch_size=recipe.evaluate.batch_size,
        max_length=context_length(prepared.base),
        confidence=recipe.evaluate.confidence,
        num_resamples=recipe.evaluate.num_resamples,
    )


def _compare_following(
    demands: list[dict[str, Any]], base: list[str], specialist: list[str], confidence: float
) -> dict[str, Any]:
    """How many demands each meets; `base` and `specialist` begin with the answers to them."""

    def scores(answers: list[str]) -> RowScores:
        met = [follows(answer, row["check"]) for row, answer in zip(demands, answers, strict=False)]
        return RowScores(np.array(met, dtype=float), np.ones(len(demands)))

    before, after = scores(base), scores(specialist)
    gain = compare_paired(after, before, confidence=confidence)
    return {
        "num_prompts": len(demands),
        "base": score_interval(before, confidence=confidence).to_dict(),
        "specialist": score_interval(after, confidence=confidence).to_dict(),
        "difference": gain.difference.to_dict(),
        "p_value": gain.p_value,
    }


def _both_answer(
    model: Any, prepared: Prepared, prompts: list[Conversation], screen: Screen
) -> tuple[list[str], list[str]]:
    """The base's answers, and the specialist's."""
    with adapter_off(model):
        base = _answer(model, prepared, prompts, "Base model: following instructions", screen)
    return base, _answer(model, prepared, prompts, "Specialist: following instructions", screen)


def _answer(model: Any, prepared: Prepared, prompts: list[Conversation], title: str, screen: Screen) -> list[str]:
    with screen.bar(title, len(prompts)) as advance:
        answers = answer_prompts(
            model,
            prepared.renderer,
            prompts,
            labels=(),
            max_new_tokens=MAX_ANSWER_TOKENS,
            batch_size=prepared.recipe.evaluate.batch_size,
            on_done=lambda count: advance(count, ""),
        )
    return [answer.text for answer in answers]
