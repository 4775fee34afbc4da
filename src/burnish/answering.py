"""The arms of a run answer rows: which prompts each gets, and what is kept of its answers."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import cache
from typing import Any

from burnish.conversation import Conversation
from burnish.data import Example
from burnish.evaluate.arms import ARM_TITLES, Arm, arm_prompt, choose_shots, judge_answers
from burnish.evaluate.evaluation import ArmRun
from burnish.evaluate.kept import Budget, answer_rows
from burnish.files import sha256_of_file, sha256_of_json
from burnish.generate.answer import answer_prompts
from burnish.preparation import Prepared
from burnish.recipe import Metric
from burnish.registry import open_registry
from burnish.run_dir import RunDir
from burnish.screen import Screen


def run_arm(
    arm: Arm, model: Any, prepared: Prepared, run_dir: RunDir, screen: Screen, budget: Budget | None = None
) -> ArmRun | None:
    """The arm's answers to the test rows, read from predictions/ARM.jsonl as far as they are there.

    None if the budget does not reach for all of them.
    """
    recipe, test = prepared.recipe, prepared.split.test
    num_shots = int(recipe.evaluate.num_shots) if arm is Arm.FEW_SHOT else 0
    shots = choose_shots(prepared.split.train, num_shots, recipe.train.seed) if num_shots else []
    prompts: list[Conversation] = [arm_prompt(arm, example.prompt, shots) for example in test]
    adapter, prompt_ids = run_dir.adapter / "adapter_model.safetensors", prepared.renderer.prompt_ids
    key = {
        "base": prepared.base.fingerprint,
        "adapter": sha256_of_file(adapter) if arm is Arm.SPECIALIST else None,
        "prompts": sha256_of_json([list(prompt_ids(p, e.tools)) for p, e in zip(prompts, test, strict=True)]),
        "max_new_tokens": recipe.evaluate.max_new_tokens,
        "metric": str(recipe.evaluate.metric),
    }

    with ExitStack() as stack:
        bar = cache(
            lambda: stack.enter_context(screen.bar(f"{ARM_TITLES[arm]}: answering {len(test)} rows", len(test)))
        )

        def answer(rows: range) -> list[dict[str, Any]]:
            if arm is Arm.SPECIALIST:
                _count_opening(run_dir)
            some = slice(rows.start, rows.stop)
            return ask(model, prepared, test[some], prompts[some], on_done=lambda count: bar()(count, ""))

        return answer_rows(run_dir.predictions(arm.value), key, len(test), answer, budget=budget)


def ask(
    model: Any,
    prepared: Prepared,
    examples: Sequence[Example],
    prompts: Sequence[Conversation],
    *,
    on_done: Callable[[int], None] = lambda count: None,
) -> list[dict[str, Any]]:
    """The prediction row of each example: the model's answer to its prompt, with its score."""
    recipe = prepared.recipe
    answers = answer_prompts(
        model,
        prepared.renderer,
        prompts,
        labels=prepared.form.labels,
        max_new_tokens=int(recipe.evaluate.max_new_tokens),
        batch_size=recipe.evaluate.batch_size,
        tools=[example.tools for example in examples],
        on_done=on_done,
    )
    return judge_answers(answers, prompts, examples, Metric(recipe.evaluate.metric))


def _count_opening(run_dir: RunDir) -> None:
    """Note that this adapter is about to see the test rows."""
    test, adapter = run_dir.data / "test.jsonl", run_dir.adapter / "adapter_model.safetensors"
    with open_registry(run_dir.registry) as registry:
        registry.count_test_opening(run_dir.run_id, sha256_of_file(test), sha256_of_file(adapter))
