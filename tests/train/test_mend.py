"""Steps that mend an adapter over the retention budget: how they go, when they come, and that they can be resumed."""

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.errors import Interrupted
from burnish.model.adapter import adapter_parameters
from burnish.train.anchor import Anchor, ask_base
from burnish.train.checkpoint import Forgotten
from burnish.train.fit import Choice, FitEvents, FitOptions, FitResult, fit
from burnish.train.loop import count_steps, start_training, train
from burnish.train.mend import LENGTH, RATE, ROUNDS, SHARE, WEIGHT, can_mend, mend, round_from
from burnish.train.step import StepMetrics
from tests.train.test_anchor import ROWS, TEXTS, new, options

OPTIONS = options(epochs=12)  # 36 steps, so that a round takes 3
INSIDE, OVER = Forgotten(0.01, 1.0, True), Forgotten(0.5, 0.25, True)


def anchor_on(model: Any, target: float | None = 0.01) -> Anchor:
    return Anchor(ask_base(model, TEXTS, max_tokens=500), 0.5, 1.0, target)


def fit_in(
    folder: Path, model: Any, forgotten: list[Forgotten], *, anchor: Anchor, events: FitEvents | None = None
) -> FitResult:
    """`forgotten`: while it is trained, and after each round. Of the training the last adapter is the best."""
    folder.mkdir(exist_ok=True)
    begun = list[range]()
    events = events or FitEvents()
    return fit(
        model,
        ROWS,
        TEXTS,
        options=OPTIONS,
        fit_options=FitOptions(1, patience=99, checkpoint_s=1e9),
        checkpoints=folder / "checkpoints",
        metrics_path=folder / "metrics.jsonl",
        events=replace(events, on_mending=lambda steps: (begun.append(steps), events.on_mending(steps))),
        choice=Choice(
            forgotten=lambda: forgotten[len(begun)], prefers=lambda new, best: new.step <= 36 or new.forgotten == INSIDE
        ),
        anchor=anchor,
    )


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def parameters(model: Any) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in adapter_parameters(model).items()}


def test_a_stretch_of_steps_has_a_schedule_of_its_own() -> None:
    """The examples go on in the run's order; the rate rises and falls over the stretch."""
    long = replace(OPTIONS, schedule=options().schedule.LINEAR, warmup_share=0.25)
    whole, parts = new(), new()
    first = list(train(start_training(whole, long), ROWS, long))
    state = start_training(parts, long)
    assert [m.loss_per_token for m in train(state, ROWS, long, steps=range(36))] == [m.loss_per_token for m in first]
    more = list(train(state, ROWS, long, steps=range(36, 44)))
    assert [m.step for m in more] == list(range(37, 45)) and [m.epoch for m in more][2] == 13.0
    assert [m.learning_rate for m in more] == pytest.approx([0.005, 0.01, *(0.01 * (1 - n / 6) for n in range(6))])


def test_a_round_holds_the_base_faster_and_ends_slowly() -> None:
    model = new()
    anchor, state = anchor_on(model, target=9.0), start_training(model, OPTIONS)  # never reached: the weight falls
    list(train(state, ROWS, OPTIONS, anchor=anchor))
    weight, moments = state.replay_weight, state.optimizer.state_dict()["state"][0]["step"].item()
    steps = round_from(state.step, count_steps(len(ROWS), OPTIONS))
    assert steps == range(36, 39) and len(steps) == 36 * LENGTH + 0.75
    done = list(mend(state, ROWS, OPTIONS, anchor, steps))
    assert weight is not None and weight < WEIGHT and {m.replay_weight for m in done} == {WEIGHT}
    assert [m.learning_rate for m in done] == pytest.approx([RATE * 0.01 * (1 - n / 3) for n in range(3)])
    assert state.optimizer.state_dict()["state"][0]["step"].item() == moments + 3
    few = replace(anchor, replay_share=SHARE / 2)
    told = [m.divergence is not None for m in mend(state, ROWS, OPTIONS, few, range(39, 47))]
    assert told == [True, False] * 4  # one text for four rows, of which a step has two


def test_what_was_forgotten_comes_back_and_the_task_stays() -> None:
    """On texts that the adapter diverges on; rounds of as many steps as these few rows need."""
    model = new()
    anchor, state = anchor_on(model, target=5.0), start_training(model, OPTIONS)
    before = list(train(state, ROWS, OPTIONS, anchor=anchor))
    untouched = parameters(model)
    told = [m.divergence for m in mend(state, ROWS, OPTIONS, anchor, range(36, 76)) if m.divergence is not None]
    after = list(mend(state, ROWS, OPTIONS, anchor, range(76, 79)))
    assert sum(told[-5:]) < 0.5 * sum(told[:5])
    start, end = before[0].loss_per_token, before[-1].loss_per_token
    assert after[-1].loss_per_token < end + 0.5 * (start - end)
    assert not all(torch.equal(p, untouched[name]) for name, p in parameters(model).items())


@pytest.mark.parametrize(
    ("told", "num_rounds", "best_step"),
    [
        ([INSIDE], 0, 36),
        ([OVER, INSIDE], 1, 39),
        ([OVER, OVER, INSIDE], 2, 42),
        ([OVER] * (1 + ROUNDS), ROUNDS, 36),  # none was better: the adapter stays as it was trained
    ],
)
def test_rounds_come_while_the_adapter_is_over_the_budget(
    tmp_path: Path, told: list[Forgotten], num_rounds: int, best_step: int
) -> None:
    model, plain, begun = new(), new(), list[range]()
    result = fit_in(tmp_path / "run", model, told, anchor=anchor_on(model), events=FitEvents(on_mending=begun.append))
    assert begun == [range(36 + 3 * n, 39 + 3 * n) for n in range(num_rounds)]
    assert (result.num_steps, result.stopped_early, result.best.step) == (36, False, best_step)
    assert [row["step"] for row in rows_of(tmp_path / "run")] == list(range(1, 37 + 3 * num_rounds))
    if num_rounds:
        assert result.mending is not None
        assert (result.mending.num_steps, result.mending.before.step) == (3 * num_rounds, 36)
    else:
        assert result.mending is None
    list(train(start_training(plain, OPTIONS), ROWS, OPTIONS, anchor=anchor_on(plain)))
    is_as_trained = all(torch.equal(p, parameters(plain)[name]) for name, p in parameters(model).items())
    assert is_as_trained == (best_step == 36)


def test_a_weight_of_the_recipe_is_not_overruled(tmp_path: Path) -> None:
    model = new()
    anchor = anchor_on(model, target=None)
    assert fit_in(tmp_path / "run", model, [OVER], anchor=anchor).mending is None
    assert [can_mend(each) for each in (None, anchor, Anchor(target=0.1), anchor_on(model))] == [False] * 3 + [True]


@pytest.mark.parametrize("stop_at", [36, 38, 41])
def test_a_run_that_is_stopped_while_it_is_mended_comes_to_the_same_end(tmp_path: Path, stop_at: int) -> None:
    told, model = [OVER, OVER, INSIDE], new()
    wanted = fit_in(tmp_path / "whole", model, told, anchor=anchor_on(model))
    steps = list[int]()

    def note(metrics: StepMetrics, num_steps: int) -> None:
        steps.append(metrics.step)

    for is_again in (False, True):
        again = new()
        events = FitEvents(on_step=note, should_stop=lambda is_again=is_again: not is_again and steps[-1] == stop_at)
        with nullcontext() if is_again else pytest.raises(Interrupted):
            got = fit_in(tmp_path / "parts", again, told, anchor=anchor_on(again), events=events)
    assert steps == [*range(1, stop_at + 1), *range(37, 43)]
    assert got.validations == wanted.validations and got.best == wanted.best
    assert all(torch.equal(p, parameters(model)[name]) for name, p in parameters(again).items())
    kept = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in rows_of(tmp_path / name)]
        for name in ("whole", "parts")
    ]
    assert kept[0] == kept[1]
