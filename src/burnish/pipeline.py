"""The corridor: from a recipe to a judged model, read top to bottom.

Each stage leaves its product in the run folder and is skipped where the product is there already, so that a run
that was stopped at any moment goes on from where it was.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnish.data import RenderedExample
from burnish.errors import RecipeError, RunError
from burnish.files import new_folder, read_json, sha256_of_file
from burnish.journal import (
    begin,
    conclude,
    count_openings,
    expect_openings,
    groups_of,
    peak_memory_bytes,
    registered,
    report,
    tell_data,
    tell_sensitivity,
    write_environment,
)
from burnish.model.base import is_encoder
from burnish.preparation import (
    Prepared,
    attach,
    load_weights,
    prepare,
    prepare_again,
    prepare_rows,
    prepare_rows_again,
)
from burnish.recipe import LoadedRecipe, Precision, load_recipe
from burnish.run_dir import RunDir
from burnish.screen import Screen, SilentScreen

if TYPE_CHECKING:
    from burnish.evaluate.arms import Arm
    from burnish.evaluate.evaluation import ArmRun
    from burnish.keeping import Kept
    from burnish.routing import OnTaskGate
    from burnish.train.fit import FitResult
    from burnish.train.ranks import Ranks


@dataclass(frozen=True)
class Run:
    """A finished run."""

    dir: RunDir
    evaluation: dict[str, Any]

    @property
    def verdict(self) -> dict[str, Any]:
        """Outcome, headline and reasons."""
        return dict(self.evaluation["verdict"])

    @property
    def gate_faults(self) -> list[str]:
        """Why the run does not pass `--gate`; empty where it does."""
        target, retention = self.evaluation.get("target"), self.evaluation.get("retention") or {}
        faults = {
            "the specialist is not shown to be better than every simpler way": self.verdict["outcome"] != "better",
            "it forgot more than retention.budget allows": retention.get("is_within_budget") is False,
            "evaluate.target is not shown to be reached": target is not None and target["reach"] != "reached",
        }
        return [fault for fault, is_so in faults.items() if is_so]

    @property
    def adapter_path(self) -> Path:
        return self.dir.adapter

    @property
    def report_path(self) -> Path:
        return self.dir.report


def run(loaded: LoadedRecipe, screen: Screen | None = None) -> Run:
    """Do the whole job for a recipe: check, split, baselines, training, measurement, verdict, report.

    Under torchrun all ranks train; the first one does the rest, to which others that share the base with it lend their
    parts; each returns the finished run.

    Raises:
        BurnishError: the recipe, the data or the base model is at fault; nothing has been trained.
        Interrupted: the user stopped it; `resume` goes on.
    """
    from burnish.answering import keep_previous, keep_recorded
    from burnish.prediction import predict
    from burnish.train.ranks import join_ranks

    screen = screen or SilentScreen()
    with join_ranks() as ranks:
        if is_encoder(loaded.recipe.model.base):
            return _run_encoder(loaded, screen, ranks)
        if not ranks.is_first:
            return _help(ranks.agree(RunDir(Path())), screen, ranks)
        prepared = prepare(loaded, screen, num_ranks=ranks.count)
        prediction = predict(prepared, may_measure=False)

        def keep(run_dir: RunDir) -> None:
            keep_previous(prepared, run_dir, screen)
            keep_recorded(prepared, run_dir, screen)

        run_dir = begin(
            prepared,
            screen,
            rendered=prepared.rendered,
            estimate=asdict(prediction) if prediction else None,
            keep=keep,
        )
        ranks.agree(run_dir)
        return _go_on(prepared, run_dir, screen, ranks)


def resume(run_dir: RunDir, screen: Screen | None = None) -> Run:
    """Go on with a run that was stopped; a finished one is only read.

    Raises:
        RunError: the folder is damaged, or base model or split are not what they were.
    """
    from burnish.encoding import prove_encoder
    from burnish.train.ranks import join_ranks

    screen = screen or SilentScreen()
    if run_dir.evaluation.is_file():
        if not run_dir.report.is_file():
            report(run_dir)
        return open_run(run_dir)
    if is_encoder(load_recipe(run_dir.recipe).recipe.model.base):
        return Run(run_dir, prove_encoder(prepare_rows_again(run_dir), run_dir, screen))
    with join_ranks() as ranks:
        if not ranks.is_first:
            return _help(run_dir, screen, ranks)
        return _go_on(prepare_again(run_dir, screen, num_ranks=ranks.count), run_dir, screen, ranks)


def open_run(run_dir: RunDir) -> Run:
    """Read a finished run.

    Raises:
        RunError: it is not finished.
    """
    if not run_dir.evaluation.is_file():
        raise RunError(f"{run_dir.path}: this run is not finished. Go on with `burnish run --resume {run_dir.run_id}`.")
    return Run(run_dir, read_json(run_dir.evaluation))


def _run_encoder(loaded: LoadedRecipe, screen: Screen, ranks: "Ranks") -> Run:
    from burnish.answering import keep_recorded
    from burnish.encoding import prove_encoder

    if ranks.count > 1:
        raise RecipeError(f"model.base: {loaded.recipe.model.base} is an encoder, for which one process is enough.")
    prepared = prepare_rows(loaded, screen)
    run_dir = begin(prepared, screen, keep=lambda run_dir: keep_recorded(prepared, run_dir, screen))
    return Run(run_dir, prove_encoder(prepared, run_dir, screen))


def _help(run_dir: RunDir, screen: Screen, ranks: "Ranks") -> Run:
    """Train beside the first rank, follow it where it uses a base that is shared, and wait for its result."""
    from burnish.keeping import keep_budget, watch_of
    from burnish.train.shard import follow
    from burnish.training import train_adapter

    if not run_dir.recipe.is_file():
        raise RunError(f"{run_dir.path}: not to be seen from here. All hosts must share output.folder.")
    prepared = prepare_again(run_dir, screen, num_ranks=ranks.count)
    ranks = ranks.sharing_base(bool(prepared.recipe.train.shard_base))
    model = _load_base(prepared, ranks)
    follow(model, ranks)  # the baselines
    model = attach(model, prepared.recipe)
    watch = watch_of(model, prepared, ranks)
    fitted = train_adapter(model, prepared, run_dir, screen, watch, ranks)
    keep_budget(model, prepared, screen, watch, ranks, judged=fitted.best)
    follow(model, ranks)  # the test and what was forgotten
    ranks.agree(None)  # the first rank has written the result
    return open_run(run_dir)


def _load_base(prepared: Prepared, ranks: "Ranks") -> Any:
    """The base on the device, or this rank's part of it; for that each rank first reads all of it into its host."""
    import torch

    from burnish.model.device import choose_device
    from burnish.train.shard import shard_base

    if not ranks.shards_base:
        return load_weights(prepared, choose_device())
    model = load_weights(prepared, torch.device("cpu"))
    shard_base(model, choose_device(), ranks)
    return model


def _go_on(prepared: Prepared, run_dir: RunDir, screen: Screen, ranks: "Ranks") -> Run:
    """Everything that needs the weights."""
    from burnish.answering import run_adapted, run_baselines, run_previous, run_recorded
    from burnish.calibrating import calibrate
    from burnish.evaluate.evaluation import expected_sensitivity
    from burnish.evaluate.harness import load_tasks
    from burnish.evaluate.kept import Budget
    from burnish.forgetting import general_answers
    from burnish.gating import gate_of
    from burnish.keeping import keep_budget, watch_of
    from burnish.model.attention import can_pack
    from burnish.model.device import choose_device
    from burnish.train.shard import lead
    from burnish.training import train_adapter

    recipe, test = prepared.recipe, prepared.split.test
    ranks = ranks.sharing_base(bool(recipe.train.shard_base))
    device = choose_device()
    base = prepared.base
    write_environment(prepared, run_dir, device, base_name=base.name, base_fingerprint=base.fingerprint)
    place = f"{device.type}, divided among {ranks.count} ranks" if ranks.shards_base else device.type
    tell_data(prepared, f"{base.name} on {place}", screen)
    if prepared.plan:
        screen.say(str(prepared.plan))
    with registered(run_dir):
        gate, harness = (
            gate_of(prepared, screen),
            load_tasks(recipe.retention.lm_eval),
        )  # faults are told before training
        budget = Budget(60 * recipe.evaluate.time_budget)
        previous = run_previous(prepared, run_dir, screen, budget, is_divided=ranks.shards_base)
        model = _load_base(prepared, ranks)
        if not can_pack(model):
            screen.say(
                f"note: models of type {model.config.model_type} do not use transformers' attention interface. "
                "Examples are padded, not packed, and answers come from transformers' generate: slower, but the same."
            )
        with lead(model, ranks):
            is_measured = recipe.retention.measure
            answers = general_answers(model, prepared, screen) if is_measured else []
            baselines = run_baselines(model, prepared, run_dir, screen, budget) | previous  # the cheapest first
        sensitivity = expected_sensitivity(
            prepared.metric,
            baselines,
            confidence=recipe.evaluate.confidence,
            groups=groups_of(test),
            num_openings=expect_openings(run_dir),
        )
        tell_sensitivity(sensitivity, len(test), screen)
        model = attach(model, recipe)
        watch = watch_of(model, prepared, ranks)
        fitted = train_adapter(model, prepared, run_dir, screen, watch, ranks)
        kept = keep_budget(model, prepared, screen, watch, ranks, judged=fitted.best)
        _save_adapter(model, prepared, run_dir, kept, gate)
        with lead(model, ranks):
            calibrate(model, prepared, run_dir, screen)
            arms = {**baselines, **run_recorded(prepared, run_dir), **run_adapted(model, prepared, run_dir, screen)}
            done = _conclude(
                model, prepared, run_dir, arms, answers, fitted, kept, gate, harness, sensitivity, screen, ranks
            )
    ranks.agree(None)  # lets the other ranks go
    return done


def _save_adapter(model: Any, prepared: Prepared, run_dir: RunDir, kept: "Kept", gate: "OnTaskGate | None") -> None:
    from burnish.model.adapter import AdapterCard, save_adapter

    card = AdapterCard(
        run_id=run_dir.run_id,
        base_model=prepared.base.name,
        base_fingerprint=prepared.base.fingerprint,
        template_sha256=prepared.base.template_sha256,
        train_sha256=sha256_of_file(run_dir.data / "train.jsonl"),
        scale=kept.scale,
        task=prepared.recipe.task.value,
        system=prepared.form.system,
        labels=prepared.form.labels,
        fields=prepared.form.fields,
        max_new_tokens=int(prepared.recipe.evaluate.max_new_tokens),
        thinking=prepared.renderer.thinking,
        precision=Precision(prepared.recipe.train.precision),
    )
    with new_folder(run_dir.adapter) as draft:
        save_adapter(model, draft, card)
        if gate:
            gate.save(draft)


def _conclude(
    model: Any,
    prepared: Prepared,
    run_dir: RunDir,
    arms: "dict[Arm, ArmRun]",
    answers: list[RenderedExample],
    fitted: "FitResult",
    kept: "Kept",
    gate: "OnTaskGate | None",
    harness: Mapping[str, Any],
    sensitivity: tuple[float | None, str],
    screen: Screen,
    ranks: "Ranks",
) -> Run:
    """Measure retention, judge, and write evaluation.json and the report."""
    from burnish.calibrating import describe_calibration
    from burnish.evaluate.arms import Arm
    from burnish.evaluate.evaluation import Intervals, evaluate
    from burnish.evaluate.recommendation import Forgetting
    from burnish.evidence import gather_evidence
    from burnish.forgetting import measure_behaviour, measure_forgetting, measure_on_harness
    from burnish.gating import measure_gate

    recipe = prepared.recipe
    intervals = Intervals(recipe.evaluate.confidence, recipe.evaluate.num_resamples)
    retention = measure_forgetting(model, prepared, answers, screen) if answers else None
    budget = None if recipe.retention.budget == "off" else float(recipe.retention.budget)
    measured = evaluate(
        arms,
        metric=prepared.metric,
        intervals=intervals,
        retention=retention,
        forgetting=Forgetting(budget=budget, scale=kept.scale, task_kept=kept.task_kept),
        sensitivity=sensitivity,
        groups=groups_of(prepared.split.test),
        num_openings=count_openings(run_dir),
        evidence=gather_evidence(model, prepared, run_dir, screen),
        margin=recipe.evaluate.margin,
        target=recipe.evaluate.target,
    )
    if measured["retention"]:
        measured["retention"] |= kept.to_dict() | measure_behaviour(model, prepared, screen)
        measured["retention"]["general"] = prepared.general.counts if prepared.general else None
    parts = {
        **measured,
        "lm_eval": measure_on_harness(model, prepared, harness, screen, num_ranks=ranks.count),
        "gate": measure_gate(gate, model, prepared, arms[Arm.SPECIALIST].rows, screen) if gate else None,
        "calibration": describe_calibration(run_dir),
        **_more_runs(model, prepared, run_dir, screen, ranks),
        "training": _training(prepared, run_dir, fitted),
    }
    return Run(run_dir, conclude(prepared, run_dir, prepared.base.name, parts))


def _more_runs(model: Any, prepared: Prepared, run_dir: RunDir, screen: Screen, ranks: "Ranks") -> dict[str, Any]:
    """What more rows would bring, and how much of the score is luck of the seed, as far as the recipe asks."""
    from burnish.evidence import describe_curve, forecast_more_data
    from burnish.side_runs import measure_learning_curve, score_seeds

    recipe = prepared.recipe
    wants_curve, wants_seeds = recipe.evaluate.learning_curve, recipe.train.seeds > 1
    if ranks.count > 1 and (wants_curve or wants_seeds):
        screen.say("note: train.seeds and evaluate.learning_curve are left out where several ranks train.")
        wants_curve = wants_seeds = False
    seeds = score_seeds(model, prepared, run_dir, screen) if wants_seeds else None
    if not wants_curve:
        return {"seeds": seeds, "more_data": forecast_more_data(prepared, screen)}
    curve = measure_learning_curve(model, prepared, run_dir, screen)
    forecast = describe_curve(curve, len(prepared.split.train), stands_for="the specialist, on validation rows")
    return {"seeds": seeds, "more_data": forecast}


def _mending(fitted: "FitResult") -> dict[str, Any] | None:
    """The steps that were to bring the adapter inside the retention budget, and whether theirs was chosen."""
    if (mending := fitted.mending) is None:
        return None
    is_chosen = fitted.best.step > fitted.num_steps
    return {"num_steps": mending.num_steps, "elapsed_s": round(mending.elapsed_s, 1), "is_chosen": is_chosen}


def _training(prepared: Prepared, run_dir: RunDir, fitted: "FitResult") -> dict[str, Any]:
    rows = [json.loads(line) for line in run_dir.metrics.read_text(encoding="utf-8").split("\n") if line]
    return {
        "num_train_rows": len(prepared.split.train),
        "num_validation_rows": len(prepared.split.validation),
        "num_steps": fitted.num_steps,
        "best_step": fitted.best.step,
        "stopped_early": fitted.stopped_early,
        "num_tokens": sum(row["tokens"] for row in rows),
        "elapsed_s": round(fitted.elapsed_s, 1),
        "mending": _mending(fitted),
        "validation": [
            {
                "step": each.step,
                "loss_per_token": each.loss,
                "score": each.score,
                "forgotten": asdict(each.forgotten) if each.forgotten else None,
            }
            for each in fitted.validations
        ],
        "peak_memory_bytes": peak_memory_bytes(),
    }
