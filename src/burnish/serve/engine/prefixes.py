"""Keys and values of what was read before, in blocks of tokens: prompts that begin alike are read once.

A block is known by its adapter, its tokens and all tokens before it, so prompts share as many blocks as they have in
common, and a conversation's next turn finds all of the turns before.
"""

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor

from burnish.serve.engine.slots import Slots

BLOCK = 32
_Key = tuple[str | None, int, tuple[int, ...]]


class PrefixCache:
    """Blocks up to a budget of bytes; the one that was not used the longest goes first."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._blocks: OrderedDict[_Key, tuple[int, list[Tensor]]] = OrderedDict()
        self._next_id = 1
        self.num_bytes = 0

    def fill(self, slots: Slots, slot: int, adapter: str | None, ids: Sequence[int], num_read: int = 0) -> int:
        """Put the longest known beginning of `ids` into a slot that holds `num_read` of them already.

        Returns how many it holds then: less than all, as the last one is read for its logits.
        """
        parent, found = 0, list[_Key]()
        for start in range(0, len(ids) - BLOCK, BLOCK):
            key = adapter, parent, tuple(ids[start : start + BLOCK])
            if key not in self._blocks:
                break
            parent, parts = self._blocks[key]
            if start + BLOCK > num_read:
                slots.paste(slot, start, parts)
            found.append(key)
        self._touch(found)
        return max(num_read, len(found) * BLOCK)

    def keep(self, slots: Slots, slot: int, adapter: str | None, ids: Sequence[int]) -> None:
        """Remember the whole blocks of what a slot holds."""
        parent, used = 0, list[_Key]()
        for start in range(0, len(ids) - BLOCK + 1, BLOCK):
            key = adapter, parent, tuple(ids[start : start + BLOCK])
            if key not in self._blocks:
                parts = slots.copy(slot, start, start + BLOCK)
                self._blocks[key] = self._next_id, parts
                self._next_id += 1
                self.num_bytes += _num_bytes(parts)
            parent = self._blocks[key][0]
            used.append(key)
        self._touch(used)
        while self.num_bytes > self._budget_bytes:
            _, (_, parts) = self._blocks.popitem(last=False)
            self.num_bytes -= _num_bytes(parts)

    def _touch(self, keys: Sequence[_Key]) -> None:
        for key in reversed(keys):  # a block without those before it is of no use, so it goes before them
            self._blocks.move_to_end(key)


def _num_bytes(parts: Sequence[Tensor]) -> int:
    return sum(part.nbytes for part in parts)
