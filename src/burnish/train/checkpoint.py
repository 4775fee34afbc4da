"""Checkpoints: everything that moves, in safetensors and JSON, whole or absent; a resumed run goes on bit for bit."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from burnish.errors import RunError
from burnish.files import new_folder, read_json, write_json
from burnish.train.loop import TrainState

KEPT = 2


RowScore = tuple[float, float]
"""Numerator and denominator of a row's score."""


@dataclass(frozen=True)
class Forgotten:
    """What an adapter costs of the base, and what part of it may stay."""

    nll_change: float
    """Rise of the loss on general text with the whole adapter, nats per token."""
    scale: float
    """The largest scale of the adapter at which the retention budget should be kept, or the smallest there is."""
    is_within_budget: bool
    """At that scale."""


def is_over_budget(forgotten: Forgotten | None) -> bool:
    """Whether there is a budget, and the whole adapter breaks it."""
    return forgotten is not None and forgotten.scale < 1


@dataclass(frozen=True)
class Validation:
    """What the validation rows say about the adapter after `step`, at the scale that keeps the retention budget."""

    step: int
    loss: float
    """Nats per token."""
    scores: tuple[RowScore, ...] = ()
    """Of the answers to the rows; none where nothing was asked."""
    forgotten: Forgotten | None = None
    """None where there is no budget; the scale is then 1."""

    @property
    def score(self) -> float | None:
        """Sum of the numerators over the sum of the denominators."""
        total = sum(denominator for _, denominator in self.scores)
        return sum(numerator for numerator, _ in self.scores) / total if total else None


Prefers = Callable[[Validation, Validation], bool]
"""Whether the first is better than the second, both of one side of the budget."""


def has_lower_loss(new: Validation, best: Validation) -> bool:
    return new.loss < best.loss


def is_better(new: Validation, best: Validation, prefers: Prefers) -> bool:
    """One that keeps the retention budget before one that no scale brings inside it; else as `prefers` has it."""
    kept, was_kept = (each.forgotten is None or each.forgotten.is_within_budget for each in (new, best))
    return prefers(new, best) if kept == was_kept else kept


@dataclass
class Progress:
    """What the caller of the loop has learned so far: the validations and the best of them."""

    validations: list[Validation] = field(default_factory=list)
    best: Validation | None = None
    num_worse: int = 0
    """Validations in a row without a better one."""
    elapsed_s: float = 0.0

    def add(self, validation: Validation, prefers: Prefers) -> bool:
        """Note a validation; true if it is the best so far."""
        self.validations.append(validation)
        is_best = self.best is None or is_better(validation, self.best, prefers)
        if is_best:
            self.best, self.num_worse = validation, 0
        else:
            self.num_worse += 1
        return is_best

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        validations = [_validation(each) for each in values.pop("validations")]
        best = values.pop("best")
        return cls(validations=validations, best=_validation(best) if best else None, **values)


def _validation(values: dict[str, Any]) -> Validation:
    forgotten = values.get("forgotten")  # not there in checkpoints of before it was watched
    scores = tuple((n, d) for n, d in values["scores"])
    return Validation(values["step"], values["loss"], scores, Forgotten(**forgotten) if forgotten else None)


def save_checkpoint(state: TrainState, progress: Progress, best: dict[str, Tensor], folder: Path) -> None:
    """Write `folder/step-N` in one step and remove all but the newest two."""
    with new_folder(folder / f"step-{state.step:06d}") as draft:
        tensors = {f"adapter/{name}": p.detach().cpu().contiguous() for name, p in state.parameters.items()}
        for name, parameter in state.parameters.items():
            for key, value in state.optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer/{name}/{key}"] = value.detach().cpu().contiguous()
        tensors |= {f"best/{name}": value for name, value in best.items()}
        tensors["random/cpu"] = torch.get_rng_state()
        save_file(tensors, draft / "state.safetensors")
        write_json(
            draft / "progress.json", {"step": state.step, "replay_weight": state.replay_weight, **progress.to_dict()}
        )
    for old in list_checkpoints(folder)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def list_checkpoints(folder: Path) -> Sequence[Path]:
    """The whole checkpoints, oldest first."""
    return sorted(path for path in folder.glob("step-*") if (path / "progress.json").is_file())


def load_checkpoint(state: TrainState, folder: Path) -> tuple[Progress, dict[str, Tensor]]:
    """Put the newest checkpoint into `state`; returns its progress and the best adapter so far.

    Raises:
        RunError: the checkpoint does not fit the model or is damaged.
    """
    newest = list_checkpoints(folder)[-1]
    try:
        tensors = load_file(newest / "state.safetensors")
        values = read_json(newest / "progress.json")
        with torch.no_grad():
            for name, parameter in state.parameters.items():
                parameter.copy_(tensors.pop(f"adapter/{name}"))
                prefix = f"optimizer/{name}/"
                moments = {key[len(prefix) :]: tensors.pop(key) for key in list(tensors) if key.startswith(prefix)}
                state.optimizer.state[parameter] = {
                    key: value if key == "step" else value.to(parameter.device) for key, value in moments.items()
                }
        torch.set_rng_state(tensors.pop("random/cpu"))
        best = {key.removeprefix("best/"): tensors.pop(key) for key in list(tensors)}
        if not best.keys() <= state.parameters.keys():
            raise ValueError(f"unknown tensor {sorted(best.keys() - state.parameters.keys())[0]}")
    except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
        raise RunError(f"{newest}: this checkpoint cannot be used ({error}). Remove it and resume again.") from error
    state.step, state.replay_weight = values.pop("step"), values.pop("replay_weight", None)
    return Progress.from_dict(values), best
