"""The retention budget is kept: by texts that are replayed while the task is learned, and by a smaller adapter."""

import copy
import json
import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from burnish import keeping
from burnish.data import RenderedExample
from burnish.errors import BurnishError
from burnish.evaluate.bundled import Half, general_text
from burnish.evaluate.retention import measure_drift, text_examples
from burnish.evaluate.statistics import ConfidenceInterval
from burnish.files import read_json, read_jsonl, sha256_of_file
from burnish.keeping import SCALES, Kept, ScalePoint, anchor_of, keep_budget, watch_of, what_is_forgotten
from burnish.model.adapter import adapter_off, adapter_parameters
from burnish.model.loss import token_losses
from burnish.pipeline import run
from burnish.prediction import predict, predict_steps
from burnish.preparation import Prepared, attach, load_weights, prepare, prepare_again, savings_of
from burnish.recipe import build_recipe
from burnish.screen import Advance, Screen, SilentScreen
from burnish.train.checkpoint import Forgotten
from burnish.train.fit import validate
from burnish.train.forecast import StepSettings
from burnish.train.loop import example_losses, start_training, train
from burnish.train.mend import LENGTH, ROUNDS
from burnish.train.pack import batches_for
from burnish.training import choice_of, train_options
from tests.test_pipeline import recipe_values
from tests.tiny import own_cache, save_base

SCREEN = SilentScreen()


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BURNISH_CACHE", own_cache(tmp_path))
    return save_base(tmp_path / "base")


def prepared_with(base: Path, *overrides: str) -> Prepared:
    return prepare(build_recipe(recipe_values("chat", base, base.parent), overrides=list(overrides)), SCREEN)


def adapted(prepared: Prepared, num_harmful_steps: int = 0) -> Any:
    """The base with a new adapter, which so many steps teach to find general text unlikely."""
    model = attach(load_weights(prepared, torch.device("cpu")), prepared.recipe).eval()
    texts = text_examples(prepared.renderer, general_text(Half.TRAINING)[:8])
    parameters = adapter_parameters(model)
    optimizer = torch.optim.Adam(parameters.values(), lr=0.001)
    for _ in range(num_harmful_steps):
        optimizer.zero_grad()
        with batches_for(model, texts, max_tokens=10_000) as batches:
            for batch in batches:
                (-token_losses(model, batch).mean()).backward()
        optimizer.step()
    return model


def keep(model: Any, prepared: Prepared, screen: Screen = SCREEN) -> Kept:
    return keep_budget(model, prepared, screen, watch_of(model, prepared))


def norms(model: Any) -> dict[str, float]:
    return {name: p.detach().norm().item() for name, p in adapter_parameters(model).items()}


def test_an_adapter_inside_the_budget_stays_as_it_is(base: Path) -> None:
    prepared = prepared_with(base)
    model = adapted(prepared)
    kept = keep(model, prepared)
    assert (kept.scale, len(kept.points)) == (1.0, 1)
    assert (kept.points[0].nll_change.value, kept.points[0].nll_change.high) == (0.0, 0.0)


def test_the_passages_are_read_once_for_an_adapter_and_anew_for_another(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, read_losses = list[int](), keeping.example_losses

    def counted(model: Any, examples: list[RenderedExample], **options: Any) -> torch.Tensor:
        read.append(len(examples))
        return read_losses(model, examples, **options)

    prepared = prepared_with(base, "retention.budget=0.15")
    model = adapted(prepared, num_harmful_steps=2)
    with adapter_off(model):
        passages = text_examples(prepared.renderer, general_text(Half.TRAINING))
        base_losses = example_losses(model, passages, micro_batch_tokens=int(prepared.recipe.train.micro_batch_tokens))
    fresh = keep_budget(copy.deepcopy(model), prepared, SCREEN, watch_of(model, prepared))
    monkeypatch.setattr(keeping, "example_losses", counted)
    watch = watch_of(model, prepared)
    assert watch is not None
    forgotten = what_is_forgotten(model, prepared, watch)
    assert len(read) == 1  # what the base makes of them is kept
    assert torch.equal(watch.base_losses, base_losses)
    kept = keep_budget(model, prepared, SCREEN, watch)
    assert len(read) == len(kept.points)  # the whole adapter is known
    assert (kept.points, kept.points[0].nll_change.value) == (fresh.points, forgotten.nll_change)
    what_is_forgotten(model, prepared, watch)  # it has become smaller: another adapter
    assert len(read) == len(kept.points) + 1


@pytest.mark.parametrize("budget", ["off", "0.15"])
def test_an_adapter_over_the_budget_is_made_smaller(base: Path, budget: str) -> None:
    prepared = prepared_with(base, f"retention.budget={budget}")
    model = adapted(prepared, num_harmful_steps=2)
    before = norms(model)
    kept = keep(model, prepared)
    after = norms(model)
    if budget == "off":
        assert (kept.scale, kept.points, after) == (1.0, (), before)
        return
    highs = {point.scale: point.nll_change.high for point in kept.points}
    assert 0.25 < kept.scale < 1 and 1.0 in highs
    assert highs[kept.scale] <= 0.15 < highs[SCALES[SCALES.index(kept.scale) - 1]]
    drifts = [point.nll_change.value for point in kept.points]
    assert drifts == sorted(drifts, reverse=True)
    for name, norm in before.items():
        assert after[name] == pytest.approx(norm * (kept.scale if ".lora_B." in name else 1.0))
    rows = general_text(Half.MEASUREMENT)
    unseen, kinds = text_examples(prepared.renderer, rows), [row["kind"] for row in rows]
    assert measure_drift(model, unseen, micro_batch_tokens=2048, kinds=kinds).nll_change.value <= 0.15


def test_a_budget_that_no_scale_keeps_is_told(base: Path) -> None:
    said = list[str]()

    class Ear(SilentScreen):
        def say(self, text: str) -> None:
            said.append(text)

    prepared = prepared_with(base, "retention.budget=1e-6")
    kept = keep(adapted(prepared, num_harmful_steps=10), prepared, Ear())
    assert (kept.scale, [point.scale for point in kept.points]) == (SCALES[-1], [1.0, SCALES[-1]])
    assert any("is not kept" in line for line in said)


@pytest.mark.parametrize(
    ("highs", "measured", "chosen"),
    [
        ({1.0: 0.02}, [1.0], 1.0),
        ({1.0: 0.022, 0.95: 0.019}, [1.0, 0.95], 0.95),  # as expected
        ({1.0: 0.026, 0.95: 0.022, 0.9: 0.02}, [1.0, 0.95, 0.9], 0.9),
        ({1.0: 0.026, 0.9: 0.022, 0.8: 0.019}, [1.0, 0.9, 0.8], 0.8),  # it falls slower than expected,
        ({1.0: 0.06, 0.9: 0.03, 0.8: 0.02, 0.7: 0.01, 0.55: 0.005}, [1.0, 0.9, 0.8, 0.7, 0.55], 0.8),  # or faster
        ({1.0: 0.03, 0.8: 0.03, 0.7: 0.03, 0.55: 0.03, 0.4: 0.03, 0.25: 0.03}, [1.0, 0.8, 0.7, 0.55, 0.4, 0.25], 0.25),
        ({1.0: 9.0, 0.25: 8.0}, [1.0, 0.25], 0.25),
    ],
)
def test_the_scale_is_the_largest_that_keeps_the_budget(
    base: Path, monkeypatch: pytest.MonkeyPatch, highs: dict[float, float], measured: list[float], chosen: float
) -> None:
    prepared = prepared_with(base)
    watch = watch_of(adapted(prepared), prepared)

    def rise_at(scale: float, *_: Any) -> ScalePoint:
        high = highs[scale]
        return ScalePoint(scale, ConfidenceInterval(value=high, low=high, high=high, confidence=0.95, method=""))

    monkeypatch.setattr(keeping, "_rise_at", rise_at)
    kept = keep_budget(adapted(prepared), prepared, SCREEN, watch)
    assert ([point.scale for point in kept.points], kept.scale) == (measured, chosen)


@pytest.mark.parametrize("choose_by", ["score", "loss"])
def test_the_validation_of_the_adapter_is_not_made_again(
    base: Path, choose_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "FALL", 1.0)  # of an adapter of two steps
    prepared = prepared_with(base, "retention.budget=0.15", f"train.choose_by={choose_by}", "train.epochs=2")
    model, options = adapted(prepared, num_harmful_steps=2), train_options(prepared)
    watch = watch_of(model, prepared)
    judged = validate(model, prepared.rendered["validation"], 1, choice_of(model, prepared, watch), options)
    anew = keep_budget(copy.deepcopy(model), prepared, SCREEN, watch)
    asked, find_loss = list[int](), keeping.loss_per_token

    def counted(model: Any, examples: list[RenderedExample], **options: Any) -> float:
        asked.append(len(examples))
        return find_loss(model, examples, **options)

    monkeypatch.setattr(keeping, "loss_per_token", counted)
    kept = keep_budget(model, prepared, SCREEN, watch, judged=judged)
    assert kept == anew and kept.scale < 1
    assert len(asked) == (1 if choose_by == "score" else 2)  # of the whole adapter; by the loss, of the base too


@pytest.mark.parametrize("choose_by", ["score", "loss"])
def test_what_has_drifted_is_judged_as_it_is_kept_in_the_end(
    base: Path, choose_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "FALL", 1.0)  # of an adapter of two steps
    settings = ["retention.budget=0.15", f"train.choose_by={choose_by}", "train.epochs=2"]
    prepared = prepared_with(base, *settings)
    model, options = adapted(prepared, num_harmful_steps=2), train_options(prepared)
    examples = prepared.rendered["validation"]
    choice = choice_of(model, prepared, watch_of(model, prepared))
    before = norms(model)
    found = validate(model, examples, 1, choice, options)
    assert norms(model) == before
    kept = keep(model, prepared)
    assert found.forgotten == Forgotten(kept.points[0].nll_change.value, kept.scale, True) and kept.scale < 1
    at = {point.scale: point for point in kept.points}[kept.scale]
    assert (found.loss, found.score) == (at.loss, at.score)
    assert validate(model, examples, 1, choice, options).forgotten == Forgotten(
        pytest.approx(at.nll_change.value, abs=1e-6), 1.0, True
    )


def test_a_budget_that_nothing_breaks_changes_no_choice(base: Path) -> None:
    """Bit for bit the adapter of a run without a budget, which does not look at general text."""
    found = []
    for budget in ("off", "20"):
        done = run(
            build_recipe(
                recipe_values("chat", base, base.parent),
                overrides=[f"retention.budget={budget}", "retention.replay=0", "train.epochs=4", "evaluate.arms=[]"],
            )
        )
        rows = read_jsonl(done.dir.metrics)
        drifts = [row["forgotten"]["nll_change"] for row in rows if "forgotten" in row]
        told = done.evaluation["training"]["validation"]
        assert drifts == [each["forgotten"]["nll_change"] for each in told if each["forgotten"]]
        assert len(drifts) == (0 if budget == "off" else len(told))
        found.append((sha256_of_file(done.adapter_path / "adapter_model.safetensors"), len(rows)))
    assert found[0] == found[1]


def test_what_a_run_reports_on_general_text_is_for_its_kinds_and_for_new_ones(base: Path) -> None:
    overrides = ["retention.replay=0", "train.epochs=4", "evaluate.arms=[]"]
    retention = run(build_recipe(recipe_values("chat", base, base.parent), overrides=overrides)).evaluation["retention"]
    rises, told = retention["general_text_nll_change_by_kind"], retention["general_text_nll_change"]
    assert set(rises) == {row["kind"] for row in general_text(Half.MEASUREMENT)}
    lengths = dict.fromkeys(rises, 0)
    for row in general_text(Half.MEASUREMENT):
        lengths[row["kind"]] += len(row["text"].encode())  # a token a byte; the first is not predicted
    weights = np.array([lengths[kind] for kind in rises])
    assert told["value"] == pytest.approx(np.average(list(rises.values()), weights=weights), rel=0.05)
    new = retention["general_text_new_kinds"]
    assert new["value"] == told["value"] != 0
    assert new["high"] - new["low"] == pytest.approx(2**0.5 * (told["high"] - told["low"]))
    assert told["method"] == f"t over {len(rises)} kinds"
    assert all(point["nll_change"]["method"] == told["method"] for point in retention["scales"])


def test_a_run_over_its_budget_is_mended_and_says_so(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Always found over it, so that all rounds come (this small base has in truth nothing to mend)."""
    found = list[Forgotten]()

    def is_over(*_: Any) -> Forgotten:
        found.append(Forgotten(0.5, 0.25, True))
        return found[-1]

    monkeypatch.setattr("burnish.training.what_is_forgotten", is_over)
    monkeypatch.setattr("burnish.side_runs.what_is_forgotten", is_over)
    said, bars = list[str](), list[int]()

    class Ear(SilentScreen):
        def say(self, text: str) -> None:
            said.append(text)

        def bar(self, title: str, total: int) -> AbstractContextManager[Advance]:
            return nullcontext(lambda units, note="": bars.append(units) if title.startswith("Training:") else None)

    more = ["evaluate.learning_curve=true", "evaluate.arms=[]"]
    done = run(build_recipe(recipe_values("chat", base, base.parent), overrides=more), Ear())
    training = done.evaluation["training"]
    round_ = math.ceil(LENGTH * training["num_steps"])
    mending = training["mending"]
    assert mending["num_steps"] == ROUNDS * round_ and mending["elapsed_s"] >= 0
    assert mending["is_chosen"] == (training["best_step"] > training["num_steps"])
    assert len(read_jsonl(done.dir.metrics)) == training["num_steps"] + mending["num_steps"]
    assert training["validation"][-1]["step"] == training["num_steps"] + mending["num_steps"]
    assert sum(bars) == training["num_steps"]
    told = [line for line in said if f"over the retention budget: {round_} steps more" in line]
    assert len(told) == ROUNDS
    num_points = len(read_json(done.dir.side_runs / "learning_curve.json"))
    # Asked at each validation, after all rounds but the last, and before each round of the points on fewer rows.
    assert num_points == 4 and len(found) == len(training["validation"]) + ROUNDS - 1 + 3 * ROUNDS


@pytest.mark.parametrize(
    ("override", "wanted"),
    [("retention.budget=0.15", [1 / 3, 1]), ("retention.budget=off", [1 / 3, 1, 3])],
)
def test_no_rate_above_the_recipe_is_tried_where_a_budget_is_kept(
    base: Path, override: str, wanted: list[float]
) -> None:
    settings = ["train.trials=3", "train.batch_size=1", "train.epochs=14", "train.patience=1", "train.choose_by=loss"]
    loaded = build_recipe(
        recipe_values("chat", base, base.parent),
        overrides=[override, *settings, "retention.replay=0", "evaluate.arms=[]"],
    )
    done = run(loaded)
    tried = read_json(done.dir.trials)
    assert [trial["learning_rate"] for trial in tried["trials"]] == pytest.approx([0.01 * ratio for ratio in wanted])
    assert [trial["validation"]["forgotten"] for trial in tried["trials"]] == [None] * len(wanted)
    best = min(tried["trials"], key=lambda trial: trial["validation"]["loss"])
    rates = [row["learning_rate"] for row in read_jsonl(done.dir.metrics)]
    assert max(rates) == pytest.approx(best["learning_rate"]) == pytest.approx(tried["chosen"])


@pytest.mark.parametrize("override", ["retention.budget=off", "retention.measure=false"])
def test_nothing_is_watched_without_a_budget_or_a_measurement(base: Path, override: str) -> None:
    prepared = prepared_with(base, override, "retention.sweep=true")
    model = adapted(prepared)
    watch = watch_of(model, prepared)
    assert (watch is None) == ("measure" in override)
    assert choice_of(model, prepared, watch).forgotten() is None


def test_replay_keeps_general_text_and_leaves_the_measurement_half_alone(base: Path) -> None:
    changes = []
    for share in (0.0, 0.5):
        prepared = prepared_with(base, f"retention.replay={share}", "retention.replay_weight=8", "train.epochs=4")
        model = adapted(prepared)
        anchor = anchor_of(model, prepared, SCREEN)
        assert (anchor is None) == (share == 0.0)
        if anchor and anchor.replay:
            measured = {row["id"] for row in general_text(Half.MEASUREMENT)}
            assert not {text.id for text in anchor.replay.examples} & measured
        options = train_options(prepared)
        metrics = list(train(start_training(model, options), prepared.rendered["train"], options, anchor=anchor))
        assert (metrics[-1].divergence is None) == (share == 0.0)
        unseen = text_examples(prepared.renderer, general_text(Half.MEASUREMENT))
        changes.append(measure_drift(model, unseen, micro_batch_tokens=2048).kl.value)
    assert 0 < changes[1] < 0.7 * changes[0]


def test_without_a_budget_nothing_is_replayed(base: Path) -> None:
    assert prepared_with(base).recipe.retention.replay > 0
    assert prepared_with(base, "retention.budget=off").recipe.retention.replay == 0


@pytest.mark.parametrize("budget", ["off", "0.15"])
def test_a_sweep_measures_every_scale_and_chooses_as_without(base: Path, budget: str) -> None:
    kept = []
    for sweep in ("true", "false"):
        prepared = prepared_with(base, f"retention.budget={budget}", f"retention.sweep={sweep}")
        model = adapted(prepared, num_harmful_steps=2)
        kept.append(keep(model, prepared))
    assert [point.scale for point in kept[0].points] == list(SCALES)
    assert all(point.loss is not None and point.score is not None for point in kept[0].points)
    assert kept[0].scale == kept[1].scale
    assert kept[0].to_dict()["task_kept"] == kept[1].to_dict()["task_kept"] or budget == "off"


def test_own_general_rows_are_replayed_and_frozen_with_the_run(base: Path) -> None:
    own = base.parent / "ours.jsonl"
    measured = general_text(Half.MEASUREMENT)[0]["text"]
    rows = [{"prompt": "How do clocks work?"}, {"text": "Clocks have two hands."}, {"text": measured}]
    own.write_text("".join(json.dumps(row) + "\n" for row in rows))
    loaded = build_recipe(recipe_values("chat", base, base.parent), overrides=[f"retention.general={own}"])
    prepared = prepare(loaded, SCREEN)
    anchor = anchor_of(adapted(prepared), prepared, SCREEN)
    assert anchor is not None and anchor.replay is not None
    assert [text.id for text in anchor.replay.examples[-2:]] == ["ours.jsonl:1", "ours.jsonl:2"]
    done = run(loaded)
    counts = done.evaluation["retention"]["general"]
    assert (counts["num_rows"], counts["num_used"], counts["num_of_measurement"]) == (3, 2, 1)
    own.write_text('{"prompt": "Another one?"}\n')
    assert prepare_again(done.dir, SCREEN).general == prepared.general


@pytest.mark.parametrize(
    ("text", "more", "said"),
    [
        ('{"prompt": "x"}\n{"prompt": [3]}\n', [], "ours.jsonl:2: neither prompt nor text"),
        ('{"prompt": "How do clocks work?"}\n', ["retention.budget=off"], "nothing is replayed"),
        (json.dumps({"text": general_text(Half.MEASUREMENT)[0]["text"]}), [], "0 of 1 rows may be replayed"),
    ],
)
def test_general_rows_that_cannot_be_replayed_are_refused_before_training(
    base: Path, text: str, more: list[str], said: str
) -> None:
    (base.parent / "ours.jsonl").write_text(text)
    with pytest.raises(BurnishError, match=said):
        prepared_with(base, f"retention.general={base.parent / 'ours.jsonl'}", *more)


def test_the_predicted_tokens_of_each_step_are_those_that_a_run_with_replay_feeds(base: Path) -> None:
    prepared = prepared_with(base, "retention.replay=0.2", "train.epochs=3", "train.batch_size=7")
    before = predict(prepared, may_measure=False)
    assert before is not None and before.seconds is None
    done = run(build_recipe(prepared.recipe.model_dump(), base_folder=base.parent))
    fed = [row["tokens"] for row in read_jsonl(done.dir.metrics)]
    assert prepared.rehearsal is not None and prepared.plan is not None
    settings = StepSettings(prepared.plan.max_tokens, savings=savings_of(prepared.recipe))

    def tokens(examples: list[RenderedExample]) -> int:
        assert prepared.rehearsal is not None
        return sum(batch.num_tokens for batch in prepared.rehearsal.batches(examples, settings))

    steps = predict_steps(prepared)  # what the base wrote is known by now
    assert [tokens(step.examples) for step in steps] == fed
    assert [tokens(list(step.own)) for step in steps] != fed
    after = predict(prepared)
    assert after is not None and after.num_tokens == sum(fed)
    assert sum(fed) <= before.num_tokens <= 1.2 * sum(fed)
    assert after.replay_share == pytest.approx(1 - sum(tokens(list(step.own)) for step in steps) / sum(fed), rel=0.05)


def test_the_time_for_replay_is_told_in_the_same_line(base: Path) -> None:
    found = [predict(prepared_with(base, f"retention.replay={share}")) for share in (0.5, 0.0)]
    with_replay, without = found
    assert with_replay is not None and without is not None
    assert with_replay.seconds and without.seconds and with_replay.asking_s
    assert (without.asking_s, without.replay_share) == (0.0, 0.0)
    assert with_replay.seconds - with_replay.asking_s > without.seconds
    assert "replayed" not in str(without) and "first" not in str(without)
    told = str(replace(with_replay, seconds=85.2, asking_s=34.4, replay_share=0.071, peak_bytes=1_240_000_000))
    assert told == (
        "Training: 2 steps in about 1 min 25 s (the first 34 s for the base's own texts and opinions), "
        "with about 1.2 GB of memory, 7% of their tokens replayed."
    )
