"""Training as a whole: normalization, stopping, checkpoints, resuming bit for bit."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.data import RenderedExample
from burnish.errors import Interrupted, RunError, StorageError, TrainingError
from burnish.model.adapter import adapter_parameters, attach_adapter, scale_adapter
from burnish.recipe import Schedule
from burnish.train import checkpoint, pack
from burnish.train.checkpoint import Forgotten, Validation, has_lower_loss, is_better, list_checkpoints
from burnish.train.fit import Choice, FitEvents, FitOptions, FitResult, fit, validate
from burnish.train.loop import TrainOptions, loss_per_token, start_training, train
from burnish.train.schedule import examples_of_step, learning_rate_at
from burnish.train.step import StepMetrics
from tests.tiny import adapt, build_exact_model, build_model, random_examples

OPTIONS = TrainOptions(
    seed=3,
    epochs=3,
    batch_size=4,
    learning_rate=0.02,
    schedule=Schedule.LINEAR,
    warmup_share=0.1,
    weight_decay=0.01,
    max_grad_norm=1.0,
    micro_batch_tokens=64,
)
EXAMPLES = random_examples(18, 13, seed=1)
GOLDEN = [6.0705, 5.9382, 5.9085, 5.9202, 5.8723, 5.468]
VALIDATION = random_examples(5, 13, seed=2)


def new_model(dropout: float = 0.0) -> Any:
    model = build_model(dtype=torch.float32)
    return attach_adapter(model, rank=4, alpha=8, dropout=dropout, target_modules="all-linear", seed=5)


def run_fit(
    folder: Path,
    model: Any,
    events: FitEvents | None = None,
    options: TrainOptions = OPTIONS,
    patience: int = 9,
    examples: Sequence[RenderedExample] = EXAMPLES,
    choice: Choice | None = None,
) -> FitResult:
    return fit(
        model,
        examples,
        VALIDATION,
        options=options,
        fit_options=FitOptions(validations_per_epoch=2, patience=patience, checkpoint_s=0.0),
        checkpoints=folder / "checkpoints",
        metrics_path=folder / "metrics.jsonl",
        events=events or FitEvents(),
        choice=choice or Choice(),
    )


def same_tensors(a: Any, b: Any) -> bool:
    left, right = adapter_parameters(a), adapter_parameters(b)
    return all(torch.equal(left[name], right[name]) for name in left)


def logged(folder: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize("stop_after", [1, 5, 11])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(tmp_path: Path, dropout: float, stop_after: int) -> None:
    whole, parts = new_model(dropout), new_model(dropout)
    wanted = run_fit(tmp_path / "whole", whole)
    done = 0

    def count(metrics: StepMetrics, num_steps: int) -> None:
        nonlocal done
        done += 1

    with pytest.raises(Interrupted):
        run_fit(tmp_path / "parts", parts, FitEvents(on_step=count, should_stop=lambda: done == stop_after))
    fresh = new_model(dropout)
    got = run_fit(tmp_path / "parts", fresh)
    assert same_tensors(fresh, whole)
    assert not same_tensors(fresh, new_model(dropout))
    assert got.validations == wanted.validations
    assert logged(tmp_path / "parts") == logged(tmp_path / "whole")


def test_the_best_adapter_by_validation_is_left_in_the_model(tmp_path: Path) -> None:
    model = new_model()
    result = run_fit(tmp_path, model, options=replace(OPTIONS, learning_rate=0.5, epochs=6))
    assert result.best.loss == min(validation.loss for validation in result.validations)
    assert loss_per_token(model, VALIDATION, micro_batch_tokens=64) == pytest.approx(result.best.loss, rel=1e-6)


def test_the_task_score_decides_where_it_is_asked_for(tmp_path: Path) -> None:
    """Scores fall after the first validation while the loss falls on: the first adapter is kept, on a resume too."""
    answers = iter([[(1.0, 1.0), (1.0, 1.0)], *[[(0.0, 1.0), (float(n % 2), 1.0)] for n in range(9)]])
    choice = Choice(lambda: next(answers), lambda new, best: (new.score or 0) > (best.score or 0))
    calls = iter(range(1, 99))
    events = FitEvents(should_stop=lambda: next(calls) == 5)
    with pytest.raises(Interrupted):
        run_fit(tmp_path, new_model(), events, choice=choice)
    model = new_model()
    result = run_fit(tmp_path, model, choice=choice)
    first = result.validations[0]
    assert result.best == first and first.score == 1.0 and {v.score for v in result.validations[1:]} == {0.0, 0.5}
    assert min(v.loss for v in result.validations) < first.loss
    assert loss_per_token(model, VALIDATION, micro_batch_tokens=64) == pytest.approx(first.loss, rel=1e-6)


def test_an_adapter_is_judged_at_the_scale_that_keeps_the_budget(tmp_path: Path) -> None:
    """On these random rows it is worth the more the smaller it is, and the first has to be small. Also on a resume."""
    drifts = iter([Forgotten(0.5, 0.25, True), *[Forgotten(0.01, 1.0, True)] * 9])
    choice = Choice(forgotten=lambda: next(drifts))
    calls = iter(range(1, 99))
    events = FitEvents(should_stop=lambda: next(calls) == 5)
    with pytest.raises(Interrupted):
        run_fit(tmp_path, new_model(), events, choice=choice, patience=2)
    model = new_model()
    result = run_fit(tmp_path, model, choice=choice, patience=2)
    plain = run_fit(tmp_path / "plain", new_model(), patience=2)
    assert [row.get("forgotten", {}).get("scale") for row in logged(tmp_path)] == [None, 0.25, None, 1.0, None, 1.0]
    assert (result.best.step, result.num_steps, result.stopped_early) == (2, 6, True)
    assert (plain.best.step, plain.num_steps) == (4, 8)
    assert result.best.loss < plain.best.loss and result.validations[1:] == [
        replace(each, forgotten=Forgotten(0.01, 1.0, True)) for each in plain.validations[1:3]
    ]
    assert not any("forgotten" in row for row in logged(tmp_path / "plain"))
    whole = loss_per_token(model, VALIDATION, micro_batch_tokens=64)
    assert whole == pytest.approx(plain.validations[0].loss, rel=1e-6)


def test_a_loss_at_a_scale_is_that_of_the_adapter_made_smaller() -> None:
    model = adapt(build_exact_model())
    choice = Choice(forgotten=lambda: Forgotten(0.5, 0.4, True))
    before = {name: p.clone() for name, p in adapter_parameters(model).items()}
    found = validate(model, VALIDATION, 7, choice, OPTIONS)
    assert all(torch.equal(before[name], p) for name, p in adapter_parameters(model).items())
    scale_adapter(model, 0.4)
    assert found == Validation(7, loss_per_token(model, VALIDATION, micro_batch_tokens=64), (), choice.forgotten())


@pytest.mark.parametrize(
    ("new", "best", "wanted"),
    [
        ((1.0, True), (2.0, True), True),
        ((1.0, True), (0.5, True), False),
        ((9.0, True), (0.5, False), True),
        ((0.5, False), (9.0, True), False),
        ((0.5, False), (9.0, False), True),
        ((9.0, None), (0.5, False), True),
    ],
)
def test_no_gain_makes_up_for_a_budget_that_no_scale_keeps(
    new: tuple[float, bool | None], best: tuple[float, bool | None], wanted: bool
) -> None:
    validations = [
        Validation(1, loss, (), None if kept is None else Forgotten(0.1, 0.25, kept)) for loss, kept in (new, best)
    ]
    assert is_better(validations[0], validations[1], has_lower_loss) is wanted


def test_training_stops_when_validation_no_longer_improves(tmp_path: Path) -> None:
    options = replace(OPTIONS, learning_rate=0.5, epochs=30)
    result = run_fit(tmp_path, new_model(), options=options, patience=2)
    losses = [validation.loss for validation in result.validations]
    assert result.stopped_early
    assert min(losses[-2:]) >= result.best.loss
    again = run_fit(tmp_path, new_model(), options=options, patience=2)
    assert again.num_steps == result.num_steps  # a stopped run is not trained further by a resume


def steps(model: Any, options: TrainOptions, count: int) -> list[StepMetrics]:
    state = start_training(model, options)
    return [metrics for metrics, _ in zip(train(state, EXAMPLES, options), range(count), strict=False)]


@pytest.mark.parametrize("min_kept", [8, 64])
def test_a_step_does_not_depend_on_how_it_is_cut(monkeypatch: pytest.MonkeyPatch, min_kept: int) -> None:
    """8 x 1 = 1 x 8, in float64, with examples of different numbers of learned tokens, the prefix once or each time."""
    monkeypatch.setattr(pack, "MIN_KEPT", min_kept)
    trajectories, ends = [], []
    for tokens in (1, 70, 10_000):
        model = adapt(build_exact_model())
        options = replace(OPTIONS, batch_size=8, micro_batch_tokens=tokens)
        trajectories.append([m.loss_per_token for m in steps(model, options, 3)])
        ends.append(adapter_parameters(model))
    for trajectory, end in zip(trajectories[1:], ends[1:], strict=True):
        assert trajectory == pytest.approx(trajectories[0], rel=1e-10)
        for name, tensor in end.items():
            torch.testing.assert_close(tensor, ends[0][name], rtol=1e-6, atol=1e-9)


def test_the_loss_is_normalized_by_the_tokens_of_the_step() -> None:
    """Against the plain formula at step one; a mean of means, a shifted or a dropped mask would not fit."""
    model = new_model()
    chosen = [EXAMPLES[i] for i in examples_of_step(0, len(EXAMPLES), 4, OPTIONS.seed)]

    def plain(shift: int = 0, mean: str = "tokens", drop_mask: bool = False) -> float:
        sums, counts = [], []
        for example in chosen:
            with torch.no_grad():
                logp = model(input_ids=torch.tensor([example.input_ids])).logits[0].log_softmax(-1)
            learned = [
                t
                for t in range(1, len(example.input_ids))
                if (drop_mask or example.loss_mask[t]) and t - 1 - shift >= 0
            ]
            sums.append(-sum(logp[t - 1 - shift, example.input_ids[t]].item() for t in learned))
            counts.append(len(learned))
        if mean == "means":
            return sum(s / c for s, c in zip(sums, counts, strict=True)) / len(chosen)
        return sum(sums) / sum(counts)

    wanted = plain()
    faulty = [plain(mean="means"), plain(shift=1), plain(drop_mask=True)]
    got = steps(model, OPTIONS, 1)[0].loss_per_token  # moves the model
    assert got == pytest.approx(wanted, rel=1e-5)
    assert all(got != pytest.approx(fault, rel=1e-3) for fault in faulty)


def test_the_golden_trajectory() -> None:
    """The first losses of this file's model and examples; torch 2.13.0, transformers 5.23.0, peft 0.21.2, CPU, fp32."""
    got = [metrics.loss_per_token for metrics in steps(new_model(), OPTIONS, 6)]
    assert got == pytest.approx(GOLDEN, rel=1e-3)


def test_a_loss_that_is_not_finite_stops_before_the_optimizer(tmp_path: Path) -> None:
    model = new_model()
    name, weight = next((n, p) for n, p in model.named_parameters() if not p.requires_grad and p.dim() == 2)
    weight.data[3] = math.nan
    before = {n: p.clone() for n, p in adapter_parameters(model).items()}
    with pytest.raises(TrainingError, match=r"step 1: .* is not finite.*learning_rate"):
        run_fit(tmp_path, model)
    assert all(torch.equal(before[n], p) for n, p in adapter_parameters(model).items()), name


def test_a_full_disk_leaves_the_last_checkpoint_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = checkpoint.save_file, 0

    def fails_at_third(tensors: Any, path: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            Path(path).write_bytes(b"half a file")
            raise OSError(28, "No space left on device")
        real(tensors, path)

    monkeypatch.setattr(checkpoint, "save_file", fails_at_third)
    with pytest.raises(StorageError, match=r"disk is full.*--resume"):
        run_fit(tmp_path, new_model())
    monkeypatch.undo()
    left = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert left == [path.name for path in list_checkpoints(tmp_path / "checkpoints")]
    resumed, whole = new_model(), new_model()
    run_fit(tmp_path, resumed)
    run_fit(tmp_path / "whole", whole)
    assert same_tensors(resumed, whole)


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    run_fit(tmp_path, new_model())
    newest = list_checkpoints(tmp_path / "checkpoints")[-1]
    (newest / "state.safetensors").write_bytes(b"not a tensor file")
    with pytest.raises(RunError, match="this checkpoint cannot be used"):
        run_fit(tmp_path, new_model())


def test_two_checkpoints_are_kept(tmp_path: Path) -> None:
    run_fit(tmp_path, new_model())
    assert [path.name for path in list_checkpoints(tmp_path / "checkpoints")] == ["step-000014", "step-000015"]


def test_an_epoch_sees_each_example_once_and_epochs_differ() -> None:
    epochs = [[i for step in range(e * 5, e * 5 + 5) for i in examples_of_step(step, 18, 4, 0)] for e in (0, 1)]
    assert all(sorted(order) == list(range(18)) for order in epochs)
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize("schedule", list(Schedule))
def test_the_learning_rate_rises_then_decays(schedule: Schedule) -> None:
    rates = [learning_rate_at(s, 40, peak=1.0, warmup_share=0.1, schedule=schedule) for s in range(40)]
    assert rates[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert rates[4] == pytest.approx(1.0)
    assert rates[-1] == 1.0 if schedule is Schedule.CONSTANT else 0 < rates[-1] < 0.1
