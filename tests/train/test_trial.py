"""Learning rates by trial: the better one is found, the worst is survived, and nothing is left changed."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from burnish.errors import TrainingError
from burnish.model.adapter import adapter_parameters
from burnish.train.anchor import Anchor, ask_base
from burnish.train.checkpoint import Validation, has_lower_loss
from burnish.train.loop import loss_per_token, start_training, train
from burnish.train.trial import Trial, best_rate, rates_around, rates_up_to, trial_steps, try_rates
from tests.train.test_anchor import ROWS, new, options
from tests.train.test_fit import EXAMPLES, OPTIONS, new_model


def test_the_rate_that_learns_is_found_and_the_adapter_is_left_as_it_was() -> None:
    model = new_model()
    before = {name: p.detach().clone() for name, p in adapter_parameters(model).items()}
    random_state = torch.get_rng_state()

    def validate(step: int) -> Validation:
        return Validation(step, loss_per_token(model, EXAMPLES, micro_batch_tokens=64))

    ticks = []
    rates = [1e-7, 1e-2]
    trials = try_rates(
        model, EXAMPLES, rates, options=OPTIONS, num_steps=3, validate=validate, on_step=lambda: ticks.append(1)
    )
    assert [trial.learning_rate for trial in trials] == rates and len(ticks) == 6
    assert best_rate(trials, has_lower_loss) == 1e-2
    assert all(torch.equal(p, before[name]) for name, p in adapter_parameters(model).items())
    assert torch.equal(torch.get_rng_state(), random_state)
    again = try_rates(model, EXAMPLES, rates, options=OPTIONS, num_steps=3, validate=validate)
    assert again == trials


def test_a_trial_takes_the_first_steps_of_the_run() -> None:
    """With the opinions on the training rows too, which go by the rows' numbers."""
    found = list[dict[str, torch.Tensor]]()
    for is_trial in (True, False):
        model = new()
        anchor = Anchor(task=ask_base(model, ROWS, max_tokens=500, is_masked=True), task_weight=5.0)
        state = start_training(model, options())

        def parameters(step: int, model: Any = model) -> Validation:
            found.append({name: p.detach().clone() for name, p in adapter_parameters(model).items()})
            return Validation(step, 0.0)

        if is_trial:
            try_rates(model, ROWS, [0.01], options=options(), num_steps=4, validate=parameters, anchor=anchor)
        else:
            list(train(state, ROWS, options(), anchor=anchor, steps=range(4)))
            parameters(4)
    assert all(torch.equal(p, found[1][name]) for name, p in found[0].items())


def test_a_rate_whose_loss_is_not_finite_is_out() -> None:
    model = new_model()
    options = replace(OPTIONS, max_grad_norm=float("inf"))
    trials = try_rates(
        model, EXAMPLES, [1e20], options=options, num_steps=6, validate=lambda step: Validation(step, 0.0)
    )
    assert trials == [Trial(1e20, None)]
    assert best_rate([*trials, Trial(1e-3, Validation(6, 1.0))], has_lower_loss) == 1e-3
    with pytest.raises(TrainingError, match=r"any of the rates 1.0e\+20"):
        best_rate(trials, has_lower_loss)


def test_rates_and_lengths() -> None:
    assert rates_around(1e-3, 3) == pytest.approx([1e-3 / 3, 1e-3, 3e-3])
    assert rates_around(1e-3, 1) == [1e-3]
    assert rates_up_to(1e-3, 3) == rates_up_to(1e-3, 2) == [1e-3 / 3, 1e-3]
    assert rates_up_to(1e-3, 5) == pytest.approx([1e-3 / 9, 1e-3 / 3, 1e-3])
    assert (trial_steps(199), trial_steps(200), trial_steps(1000)) == (0, 20, 100)
