"""The memory plan: the cheapest way to compute a step that fits the device."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from burnish.data.render import RenderedExample
from burnish.train.forecast import Rehearsal, StepSettings, heaviest

# The rest is for what a forecast does not see: fragments, the evaluation, other programs.
SHARE_OF_FREE = 0.85


@dataclass(frozen=True)
class Plan:
    """How steps are computed, and why."""

    max_tokens: int
    recompute_layers: bool
    bytes_needed: int
    """By the weights and the heaviest step."""
    bytes_free: int

    @property
    def fits(self) -> bool:
        """Whether the heaviest step is expected to fit."""
        return self.bytes_needed <= SHARE_OF_FREE * self.bytes_free

    @property
    def reason(self) -> str:
        """Need and room in words."""
        return f"weights and a step need about {self.bytes_needed / 1e9:.1f} GB of {self.bytes_free / 1e9:.1f} GB"

    def __str__(self) -> str:
        way = "layers are computed again in the backward" if self.recompute_layers else "no layer is computed twice"
        remedy = "" if self.fits else " It may not fit: lower data.max_length, or take a smaller base."
        return f"Memory: {self.reason}; up to {self.max_tokens:,} tokens at a time, {way}.{remedy}"


def make_plan(
    rehearsal: Rehearsal,
    steps: Sequence[Sequence[RenderedExample]],
    settings: StepSettings,
    *,
    bytes_free: int,
    may_shrink: bool = True,
    recompute: bool | None = None,
) -> Plan:
    """The first way that fits: smaller batches cost little, recomputed layers up to half as much time again.

    `settings.max_tokens` is the most that is fed at a time, and stands if it may not shrink; `recompute` settles
    whether layers are recomputed.
    """
    examples = heaviest(steps)
    smallest = max(example.length for example in examples) if may_shrink else settings.max_tokens
    for way in _ways(settings, smallest, recompute):
        need = rehearsal.weight_bytes + rehearsal.step_bytes(examples, way)
        plan = Plan(way.max_tokens, way.recompute_layers, need, bytes_free)
        if plan.fits:
            break
    return plan


def _ways(settings: StepSettings, smallest: int, recompute: bool | None) -> Iterator[StepSettings]:
    """Cheapest first; batches are not made smaller than the longest example."""
    for again in (False, True) if recompute is None else (recompute,):
        tokens = settings.max_tokens
        while True:
            yield replace(settings, max_tokens=tokens, recompute_layers=again)
            if tokens <= smallest:
                break
            tokens = max(smallest, tokens // 2)
