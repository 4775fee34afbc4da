"""The arms of a run answer rows: each is built, kept for use, and asked."""

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from burnish.classify import (
    PROGRESS_UNITS,
    TENSORS_NAME,
    TextClassifier,
    fit_embedding_classifier,
    fit_encoder_classifier,
)
from burnish.conversation import Conversation, Role, Task, build_conversation
from burnish.data import Example, infer_schema
from burnish.errors import BaseModelError
from burnish.evaluate.arms import (
    ADAPTED,
    ARM_TITLES,
    CLASSIFIERS,
    Arm,
    best_shots,
    candidate_shots,
    judge_answers,
    shots_loss,
)
from burnish.evaluate.calibration import CALIBRATION_NAME, load_calibration
from burnish.evaluate.evaluation import ArmRun
from burnish.evaluate.kept import Budget, answer_rows
from burnish.evaluate.metrics import collect_scores, scoring_key
from burnish.evaluate.requests import keep_request_time, summarize_times
from burnish.evaluate.retrieval import Retriever
from burnish.evaluate.statistics import RowScores
from burnish.files import read_jsonl, sha256_of_file, sha256_of_json, write_jsonl
from burnish.generate.answer import Answer
from burnish.model.base import context_length, is_encoder
from burnish.model.device import dtype_of, free_unused
from burnish.model.encoder import DEFAULT_ENCODER, load_encoder
from burnish.preparation import Divided, Prepared, recorded_answers
from burnish.previous import count_seen
from burnish.recipe import Precision, Recipe
from burnish.recorded import RecordedAnswer
from burnish.registry import open_registry
from burnish.run_dir import RunDir
from burnish.screen import Screen
from burnish.solution import (
    ClassifierSolution,
    PromptSolution,
    Solution,
    SolutionCard,
    encoder_if_there,
    load_classifier_solution,
    load_solution,
    save_previous,
)

Row = TypeVar("Row")

NUM_DRAWS = 4
"""Sets of shots that are compared."""
MAX_ROWS_FOR_SHOTS = 24
"""Validation rows that they are compared on."""
SHARE_OF_FIT = 0.5
"""Of the time that is left to the baselines, what fine-tuning an encoder may take."""


def candidate_of(recipe: Recipe) -> Arm:
    """The arm that the run is about."""
    return Arm.ENCODER if is_encoder(recipe.model.base) else Arm.SPECIALIST


def keep_previous(prepared: Prepared, run_dir: RunDir, screen: Screen) -> None:
    """Copy the earlier adapter into the run folder, if the recipe names one, unless it knows test rows."""
    if prepared.previous is None:
        return
    title, num_seen = ARM_TITLES[Arm.PREVIOUS], count_seen(prepared.previous, prepared.split.test)
    if num_seen:
        screen.say(
            f"{title}: left out. {num_seen} of {len(prepared.split.test)} test rows are among those that it was "
            "trained or chosen on, so it would look too good. Name a data.test file that neither run has learned from."
        )
        return
    if num_seen is None:
        screen.say(f"{title}: what it was trained on is not beside it, so test rows may be among that.")
    save_previous(run_dir.solution(Arm.PREVIOUS.value), prepared.previous.adapter)


def run_previous(
    prepared: Prepared, run_dir: RunDir, screen: Screen, budget: Budget, *, is_divided: bool
) -> dict[Arm, ArmRun]:
    """The earlier adapter's answers, from its own base, which is out of memory again afterwards.

    `is_divided`: the run's base is held in parts by several ranks; then there is no room for another.
    """
    folder = run_dir.solution(Arm.PREVIOUS.value)
    if not folder.is_dir():
        return {}
    if is_divided:
        screen.say(f"{ARM_TITLES[Arm.PREVIOUS]}: left out, as the base is divided among the ranks (train.shard_base).")
        return {}
    load = cache(lambda: load_solution(folder, run_dir.adapter, dtype=dtype_of(prepared.recipe.train.precision)))
    answered = _run_in_time(Arm.PREVIOUS, load, prepared, run_dir, screen, budget)
    load.cache_clear()
    free_unused()
    return answered


def keep_recorded(prepared: Divided, run_dir: RunDir, screen: Screen) -> None:
    """Put what a hosted model answered to the test rows into the run folder, if the recipe names a recording."""
    recipe = prepared.recipe
    if recipe.evaluate.recorded is None:
        return
    if recipe.data.test is None:
        screen.say(
            f"{ARM_TITLES[Arm.RECORDED]}: the test rows are a part of data.train. If that model has learned from this "
            "file, it knows them and looks too good. Name a data.test file that it has not learned from."
        )
    write_jsonl(run_dir.recorded, [answer.to_dict() for answer in recorded_answers(prepared)])


def run_recorded(prepared: Divided, run_dir: RunDir) -> dict[Arm, ArmRun]:
    """A hosted model's answers to the test rows, scored as those of every arm; times are those of the recording."""
    if not run_dir.recorded.is_file():
        return {}
    recorded = [RecordedAnswer(**row) for row in read_jsonl(run_dir.recorded)]
    test = prepared.split.test
    answers = [Answer(one.answer, one.finish_reason != "length", one.latency_s, 0) for one in recorded]
    prompts = [example.prompt for example in test]
    judged = judge_answers(answers, prompts, test, prepared.metric, ordered=prepared.ordered)
    rows = [row | {"prompt_tokens": one.prompt_tokens} for row, one in zip(judged, recorded, strict=True)]
    write_jsonl(run_dir.predictions(Arm.RECORDED.value), rows)
    seconds = [one.latency_s for one in recorded]
    return {Arm.RECORDED: ArmRun(rows, sum(seconds), summarize_times(seconds))}


def run_baselines(model: Any, prepared: Prepared, run_dir: RunDir, screen: Screen, budget: Budget) -> dict[Arm, ArmRun]:
    """The baselines that can be answered in the time that the recipe gives them; the others are told."""
    answered = dict[Arm, ArmRun]()
    for arm in map(Arm, prepared.recipe.evaluate.arms):
        try:
            solution = build_baseline(arm, model, prepared, run_dir, screen, budget)
        except BaseModelError as error:  # no way to the encoder
            screen.say(f"{ARM_TITLES[arm]}: left out. {error}")
            continue
        answered |= _run_in_time(arm, _ready(solution), prepared, run_dir, screen, budget)
    return {arm: answered[arm] for arm in Arm if arm in answered}  # the cheapest first


def _ready(solution: Solution) -> Callable[[], Solution]:
    return lambda: solution


def _run_in_time(
    arm: Arm, load: Callable[[], Solution], prepared: Prepared, run_dir: RunDir, screen: Screen, budget: Budget
) -> dict[Arm, ArmRun]:
    """The arm's answers; nothing, and a word, where the budget does not reach."""
    if rows := run_arm(arm, load, prepared, run_dir, screen, budget=budget):
        return {arm: rows}
    remedy = f"Raise evaluate.time_budget, which is {prepared.recipe.evaluate.time_budget:g} minutes for all baselines."
    screen.say(f"{ARM_TITLES[arm]}: left out, as it would not be done in time. {remedy}")
    return {}


def run_adapted(model: Any, prepared: Prepared, run_dir: RunDir, screen: Screen) -> dict[Arm, ArmRun]:
    """The specialist's answers; where it extracts, also those that it gives when it can write valid objects only."""
    forms = [False, True] if prepared.recipe.task is Task.EXTRACTION else [False]
    answered = {}
    for is_constrained in forms:
        solution = build_specialist(model, prepared, run_dir, is_constrained=is_constrained)
        arm = solution.card.arm
        rows = run_arm(arm, _ready(solution), prepared, run_dir, screen)
        assert rows is not None, "no budget was given"
        answered[arm] = rows
    return answered


def build_baseline(
    arm: Arm, model: Any, prepared: Prepared, run_dir: RunDir, screen: Screen, budget: Budget
) -> Solution:
    """What `arm` does, settled without a look at the test, and kept in the run folder.

    Raises:
        BurnishError: the arm needs what is not there, such as the encoder.
    """
    recipe, split = prepared.recipe, prepared.split
    if arm in CLASSIFIERS:
        return build_classifier(arm, prepared, run_dir, screen, budget_s=SHARE_OF_FIT * budget.left)
    shots: Sequence[Example] = ()
    num_shots = int(recipe.evaluate.num_shots)
    retriever = None
    if arm is Arm.FEW_SHOT:
        shots = _choose_shots(model, prepared, num_shots)
    elif arm is Arm.RETRIEVED:
        retriever, shots = Retriever(split.train, encoder_if_there(screen.say)), split.train
    solution = PromptSolution(
        model,
        prepared.renderer,
        card_of(arm, prepared, num_retrieved=num_shots if arm is Arm.RETRIEVED else 0),
        tuple(shots),
        retriever,
        context_length(prepared.base) - int(recipe.evaluate.max_new_tokens),
    )
    solution.save(run_dir.solution(arm.value))
    return solution


def build_specialist(model: Any, prepared: Prepared, run_dir: RunDir, *, is_constrained: bool = False) -> Solution:
    """The model with its adapter and the calibration beside that; for extraction also one held to valid objects."""
    schema = infer_schema([example.target for example in prepared.split.train]) if is_constrained else None
    card = card_of(Arm.CONSTRAINED if is_constrained else Arm.SPECIALIST, prepared, schema=schema)
    solution = PromptSolution(model, prepared.renderer, card, calibration=load_calibration(run_dir.adapter))
    solution.save(run_dir.solution(card.arm.value))
    return solution


def run_arm(
    arm: Arm,
    load: Callable[[], Solution],
    prepared: Divided,
    run_dir: RunDir,
    screen: Screen,
    *,
    budget: Budget | None = None,
) -> ArmRun | None:
    """The arm's answers to the test rows, read from predictions/ARM.jsonl as far as they are there.

    `load` gives its solution, which is saved in the run folder, if it is needed. Behind the answers some requests are
    timed one by one. None if the budget does not reach for all rows.
    """
    test = prepared.split.test
    judged, calibration = _judged_weights(arm, prepared, run_dir), run_dir.adapter / CALIBRATION_NAME
    key = {
        "solution": _digest(run_dir, arm),
        "adapter": sha256_of_file(judged) if judged else None,
        "calibration": sha256_of_file(calibration) if arm in ADAPTED and calibration.is_file() else None,
        "test": sha256_of_json([example.to_dict() for example in test]),
        "metric": scoring_key(prepared.metric, prepared.ordered),
    }
    with ExitStack() as stack:
        title = f"{ARM_TITLES[arm]}: answering {len(test)} test rows"
        bar = cache(lambda: stack.enter_context(screen.bar(title, len(test))))

        def answer(rows: range) -> list[dict[str, Any]]:
            if judged:
                _count_opening(run_dir, judged)
            advance, some = bar(), test[rows.start : rows.stop]
            return ask(load(), prepared, some, on_done=lambda count: advance(count, ""))

        path = run_dir.predictions(arm.value)
        answered = answer_rows(path, key, len(test), answer, begin=load, budget=budget)
    if answered is None:
        return None
    request = keep_request_time(
        path.with_suffix(".request.json"),
        key,
        lambda n: ask(load(), prepared, [test[n]]),
        len(test),
        is_warm=bar.cache_info().currsize > 0,
    )
    return replace(answered, request=request)


def ask(
    solution: Solution,
    prepared: Divided,
    examples: Sequence[Example],
    *,
    on_done: Callable[[int], None] = lambda count: None,
) -> list[dict[str, Any]]:
    """The prediction row of each example: the answer to its prompt, with its score."""
    recipe = prepared.recipe
    given, own = prepared.form.system, solution.card.system
    shown = solution.shown([_with_system(example.prompt, given, own) for example in examples])
    answers = solution.answer(
        shown,
        tools=[example.tools for example in examples],
        batch_size=recipe.evaluate.batch_size,
        on_done=on_done,
    )
    return judge_answers(answers, shown, examples, prepared.metric, ordered=prepared.ordered)


def _with_system(prompt: Conversation, given: str, own: str) -> Conversation:
    """The prompt with a solution's own instruction where the recipe's stands; one that the row brings stays."""
    has_system = bool(prompt) and prompt[0].role is Role.SYSTEM
    if own == given or not prompt or (has_system and prompt[0].content != given):
        return prompt
    return (*build_conversation(own), *prompt[has_system:])


def build_classifier(
    arm: Arm,
    prepared: Divided,
    run_dir: RunDir,
    screen: Screen,
    *,
    encoder_name: str = DEFAULT_ENCODER,
    epochs: int | None = None,
    budget_s: float = math.inf,
) -> ClassifierSolution:
    """Fitted to train and validation, as they make their choices by cross-validation; read where it is there.

    Raises:
        BaseModelError: the encoder cannot be had.
    """
    folder = run_dir.solution(arm.value)
    if folder.is_dir():
        return load_classifier_solution(folder)
    rows = [*prepared.split.train, *prepared.split.validation]
    texts, labels, groups = [row.asked for row in rows], [row.target for row in rows], [row.group for row in rows]
    encoder, seed = load_encoder(encoder_name, screen.say), prepared.recipe.train.seed
    classifier: TextClassifier
    if arm is Arm.EMBEDDING:
        classifier = fit_embedding_classifier(texts, labels, encoder=encoder, seed=seed, groups=groups)
    else:
        with screen.bar(f"{ARM_TITLES[arm]}: learning from {len(rows)} rows", PROGRESS_UNITS) as advance:
            classifier = fit_encoder_classifier(
                texts,
                labels,
                encoder=encoder,
                seed=seed,
                groups=groups,
                epochs=epochs,
                budget_s=budget_s,
                advance=advance,
            )
    card = SolutionCard(
        arm=arm,
        task=prepared.form.task,
        base_model=encoder.name,
        base_fingerprint=encoder.fingerprint,
        system=prepared.form.system,
        labels=classifier.card.labels,
    )
    solution = ClassifierSolution(classifier, card)
    solution.save(folder)
    return solution


def _choose_shots(model: Any, prepared: Prepared, num_shots: int) -> Sequence[Example]:
    """Of some draws the one behind which the answers to validation rows are likeliest."""
    draws = candidate_shots(prepared.split.train, num_shots, prepared.recipe.train.seed, num_candidates=NUM_DRAWS)
    rows = spread(prepared.split.validation, MAX_ROWS_FOR_SHOTS)
    limit = int(prepared.recipe.train.micro_batch_tokens)
    chosen, _ = best_shots(
        draws, lambda shots: shots_loss(model, prepared.renderer, shots, rows, micro_batch_tokens=limit)
    )
    return chosen


def score_specialist(model: Any, prepared: Prepared, examples: Sequence[Example]) -> RowScores:
    """Of the answers that the model gives with its adapter as it is now; they are not kept."""
    solution = PromptSolution(model, prepared.renderer, card_of(Arm.SPECIALIST, prepared))
    return collect_scores(ask(solution, prepared, examples))


def spread(rows: Sequence[Row], count: int) -> list[Row]:
    """`count` of the rows at equal distances, or all."""
    count = min(count, len(rows))
    return [rows[n * len(rows) // count] for n in range(count)]


def card_of(
    arm: Arm, prepared: Prepared, *, num_retrieved: int = 0, schema: dict[str, Any] | None = None
) -> SolutionCard:
    """What a solution by the recipe's language model says of itself."""
    form = prepared.form
    return SolutionCard(
        arm=arm,
        task=form.task,
        base_model=prepared.base.name,
        base_fingerprint=prepared.base.fingerprint,
        system=form.system,
        labels=tuple(form.labels),
        fields=form.fields,
        max_new_tokens=int(prepared.recipe.evaluate.max_new_tokens),
        thinking=prepared.renderer.thinking,
        precision=Precision(prepared.recipe.train.precision),
        num_retrieved=num_retrieved,
        schema=schema,
    )


def _digest(run_dir: RunDir, arm: Arm) -> str:
    """Of all files that the solution is made of."""
    folder = run_dir.solution(arm.value)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return sha256_of_json({path.relative_to(folder).as_posix(): sha256_of_file(path) for path in files})


def _judged_weights(arm: Arm, prepared: Divided, run_dir: RunDir) -> Path | None:
    """What the run has trained and `arm` answers with: the adapter, or the encoder that is the base; else None."""
    if arm in ADAPTED:
        return run_dir.adapter / "adapter_model.safetensors"
    return run_dir.solution(arm.value) / TENSORS_NAME if arm is candidate_of(prepared.recipe) else None


def _count_opening(run_dir: RunDir, weights: Path) -> None:
    """Note that these weights are about to see the test rows."""
    test = sha256_of_file(run_dir.data / "test.jsonl")
    with open_registry(run_dir.registry) as registry:
        registry.count_test_opening(run_dir.run_id, test, sha256_of_file(weights))
