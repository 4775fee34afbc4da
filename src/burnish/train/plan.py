"""The memory plan: the cheapest way to compute a step that fits the device."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from burnish.data.rendering.render import RenderedExample
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
    shards_base: bool = False

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
    num_ranks: int = 1,
    shard: bool | None = None,
) -> Plan:
    """The first way that fits: smaller batches cost little, recomputed layers up to half as much time again.

    To share the base comes last, as each pass then waits for its weights. `settings.max_tokens` is the most that is fed
    at a time, and stands if it may not shrink; `recompute` and `shard` settle whether layers are recomputed and shared.
    """
    examples = heaviest(steps)
    smallest = max(example.length for example in examples) if may_shrink else settings.max_tokens
    for is_sharded in (False,) if num_ranks == 1 else (False, True) if shard is None else (shard,):
        weights = rehearsal.sharded_bytes(num_ranks) if is_sharded else rehearsal.weight_bytes
        for way in _ways(settings, smallest, recompute):
            need = weights + rehearsal.step_bytes(examples, way)
            plan = Plan(way.max_tokens, way.recompute_layers, need, bytes_free, is_sharded)
            if plan.fits:
                return plan
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
