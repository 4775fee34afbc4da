"""Several processes that train one adapter: each takes a share of a step's examples, and the gradients are summed.

The frozen base stands in every process (or a part of it; see shard.py); only gradients of the adapter, a few megabytes,
travel. Started by torchrun, which tells each process its rank; without it there is one rank, and nothing here does
anything.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed

Value = TypeVar("Value")
# The other ranks wait while the first one answers the test rows for the baselines.
PATIENCE = timedelta(days=7)


@dataclass(frozen=True)
class Ranks:
    """This process among those of a run."""

    rank: int = 0
    count: int = 1
    shards_base: bool = False
    """Whether each holds only a part of the base; see shard.py."""

    @property
    def is_first(self) -> bool:
        """The first rank alone writes files and talks."""
        return self.rank == 0

    def sharing_base(self, is_wanted: bool) -> "Ranks":
        """The same, each with a part of the base; one alone keeps all of it."""
        return replace(self, shards_base=is_wanted and self.count > 1)

    def share(self, lengths: Sequence[int]) -> list[int]:
        """Indices of this rank's part of a list: the longest first, each to the rank that has least so far."""
        if self.count == 1:
            return list(range(len(lengths)))
        load, mine = [0] * self.count, list[int]()
        for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
            rank = load.index(min(load))
            load[rank] += lengths[i]
            if rank == self.rank:
                mine.append(i)
        return sorted(mine)

    def sum_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Give every rank the sum of all gradients; a rank without examples adds nothing."""
        if self.count == 1:
            return
        flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters])
        distributed.all_reduce(flat)
        for parameter, summed in zip(parameters, torch.split(flat, [p.numel() for p in parameters]), strict=True):
            parameter.grad = summed.view_as(parameter)

    def sum(self, *values: float) -> tuple[float, ...]:
        """The sum over all ranks of each value, in float64, the same on every rank."""
        if self.count == 1:
            return values
        return tuple(sum(own[i] for own in self._gather(values)) for i in range(len(values)))

    def any(self, value: bool) -> bool:
        """Whether it is true on any rank."""
        return any(self._gather(value))

    def most(self, value: int) -> int:
        """The largest on any rank."""
        return max(self._gather(value))

    def agree(self, value: Value) -> Value:
        """The first rank's value, on every rank."""
        return self._gather(value)[0]

    def _gather(self, value: Value) -> list[Value]:
        if self.count == 1:
            return [value]
        gathered: list[Value] = [value] * self.count
        distributed.all_gather_object(gathered, value)
        return gathered


ALONE = Ranks()


@contextmanager
def join_ranks() -> Iterator[Ranks]:
    """Within the block this process works with the others that torchrun started, if there are any."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield ALONE
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
    try:
        yield Ranks(distributed.get_rank(), count)
    finally:
        distributed.destroy_process_group()
