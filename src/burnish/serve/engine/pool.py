"""Adapters in memory, up to a budget of bytes; the one that was not asked for the longest goes first."""

from collections import OrderedDict

import torch

from burnish.serve.engine.mixed import LoadedAdapter, read_adapter
from burnish.serve.engine.request import AdapterRef


class AdapterPool:
    """Reads adapters when they are first asked for."""

    def __init__(self, budget_bytes: int, *, dtype: torch.dtype, device: torch.device) -> None:
        self._budget_bytes, self._dtype, self._device = budget_bytes, dtype, device
        self._held: OrderedDict[str, LoadedAdapter] = OrderedDict()

    @property
    def num_bytes(self) -> int:
        """What the adapters in memory take."""
        return sum(adapter.num_bytes for adapter in list(self._held.values()))

    def get(self, ref: AdapterRef) -> LoadedAdapter:
        """The adapter, from memory if it is there.

        Raises:
            AdapterError: it cannot be read.
        """
        if ref.name not in self._held:
            self._held[ref.name] = read_adapter(ref.folder, dtype=self._dtype, device=self._device)
        self._held.move_to_end(ref.name)
        while len(self._held) > 1 and self.num_bytes > self._budget_bytes:
            self._held.popitem(last=False)
        return self._held[ref.name]
