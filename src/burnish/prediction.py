"""What the training of a run will take on this machine, told before the weights are loaded."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from burnish.cache import cache_dir
from burnish.data import RenderedExample
from burnish.evaluate.replay import expect_replay
from burnish.preparation import Prepared, attach, load_weights, memory_of, savings_of, steps_of
from burnish.recipe import AUTO
from burnish.train.anchor import replayed_in
from burnish.train.forecast import Rehearsal, StepSettings, heaviest
from burnish.train.plan import Plan
from burnish.train.rate import known_pace, training_pace
from burnish.train.trial import trial_steps

WRITING_SLOWDOWN = 4.0
"""Times that of reading it, a token takes to write, sixteen texts at a time: measured 3.6 to 5.0 on two CPU cores."""


@dataclass(frozen=True)
class Prediction:
    """What the training of a run (not its baselines and measurements) will take on this machine."""

    num_steps: int
    num_tokens: int
    """That the steps feed, if all are made."""
    replay_share: float
    """Of them those of replayed texts."""
    seconds: float | None
    """Of its steps, without the validations; None while this machine's pace for the base is not known."""
    asking_s: float | None
    """Of these the time before the first step, in which the base writes what is replayed and is asked about it."""
    peak_bytes: int
    """Of the whole process."""

    def __str__(self) -> str:
        time = "" if self.seconds is None else f" in about {_spell(self.seconds)}"
        replay = f", {self.replay_share:.0%} of their tokens replayed" if self.replay_share else ""
        asking = f" (the first {_spell(self.asking_s)} for the base's own texts and opinions)" if self.asking_s else ""
        memory = f"with about {self.peak_bytes / 1e9:.1f} GB of memory"
        return f"Training: {self.num_steps} steps{time}{asking}, {memory}{replay}."


def predict(prepared: Prepared, *, may_measure: bool = True) -> Prediction | None:
    """Time and memory of the training, from its counted work and the pace of this machine for this base.

    The pace is measured the first time, if it may. None where the base is of a kind that cannot be rehearsed.
    """
    import psutil

    from burnish.model.device import KERNELS_BYTES, choose_device

    if prepared.rehearsal is None or prepared.plan is None:
        return None
    process = psutil.Process().memory_info().rss + KERNELS_BYTES if choose_device().type == "cpu" else 0
    recipe, rehearsal, plan = prepared.recipe, prepared.rehearsal, prepared.plan
    steps = predict_steps(prepared)
    settings = StepSettings(plan.max_tokens, plan.recompute_layers, savings_of(recipe))
    batches = [rehearsal.batches(step.examples, settings) for step in steps]
    num_tokens = sum(batch.num_tokens for step in batches for batch in step)
    of_trials = trial_steps(len(steps)) if (count := int(recipe.train.trials)) > 1 else 0
    trained = [*batches, *(count * batches[:of_trials])]
    training = sum(rehearsal.operations_of(step, settings) for step in trained)
    asking = _asking(prepared, rehearsal, settings)
    pace = known_pace(prepared.base.fingerprint, rehearsal)
    if pace is None and may_measure:
        pace = training_pace(
            prepared.base.fingerprint, rehearsal, lambda: attach(load_weights(prepared, choose_device()), recipe)
        )
    return Prediction(
        num_steps=len(steps),
        num_tokens=num_tokens,
        replay_share=sum(text.length for step in steps for text in step.replayed) / num_tokens,
        seconds=pace.seconds(training + asking, sum(map(len, trained))) if pace else None,
        asking_s=pace.seconds(asking, 0) if pace else None,
        peak_bytes=process + _bytes_needed(rehearsal, plan, steps, settings),
    )


@dataclass(frozen=True)
class Step:
    """What a step feeds."""

    own: Sequence[RenderedExample]
    """Of the task."""
    replayed: Sequence[RenderedExample] = ()

    @property
    def examples(self) -> list[RenderedExample]:
        """All of them, in the order of training."""
        return [*self.own, *self.replayed]


def predict_steps(prepared: Prepared) -> list[Step]:
    """All steps of the run; a text that the base has not written yet is taken to be as long as it may be."""
    recipe, examples = prepared.recipe, prepared.rendered["train"]
    share, seed = _replay_share(prepared), recipe.train.seed
    texts = expect_replay(prepared.replay, **_kept(prepared))[0] if share else []

    def beside(step: int, num_examples: int) -> list[RenderedExample]:
        chosen = replayed_in(step, num_examples, share=share, num_texts=len(texts), seed=seed) if texts else []
        return [texts[n] for n in chosen]

    return [Step(own, beside(step, len(own))) for step, own in enumerate(steps_of(recipe, examples))]


def _asking(prepared: Prepared, rehearsal: Rehearsal, settings: StepSettings) -> float:
    """Operations before the first step: the base writes what is not kept yet, and is asked what it finds likely."""
    from burnish.model.device import choose_device

    total = 0.0
    if _replay_share(prepared):
        texts, unwritten = expect_replay(prepared.replay, **_kept(prepared))
        if unwritten or not memory_of(prepared, choose_device()).has_opinions(texts):
            total += rehearsal.reading_operations(texts, settings)
        total += WRITING_SLOWDOWN * rehearsal.reading_operations(unwritten, settings) if unwritten else 0.0
    if prepared.recipe.retention.hold:
        total += rehearsal.reading_operations(prepared.rendered["train"], settings)
    return total


def _bytes_needed(rehearsal: Rehearsal, plan: Plan, steps: Sequence[Step], settings: StepSettings) -> int:
    """By the weights and the heaviest step, also where the texts beside it make it so."""
    if plan.shards_base or not any(step.replayed for step in steps):
        return plan.bytes_needed
    need = rehearsal.weight_bytes + rehearsal.step_bytes(heaviest([step.examples for step in steps]), settings)
    return max(plan.bytes_needed, need)


def _replay_share(prepared: Prepared) -> float:
    share = prepared.recipe.retention.replay
    return 0.0 if share == AUTO else float(share)


def _kept(prepared: Prepared) -> dict[str, Any]:
    return {"cache": cache_dir(), "fingerprint": prepared.base.fingerprint}


def _spell(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
