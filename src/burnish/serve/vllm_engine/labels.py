"""The most likely label, exactly, where a place tells only its likeliest tokens.

The search of `generate.labels` with one difference: vLLM tells the 20 likeliest tokens of a place and the likeliest of
those that it was allowed to choose from. So a node that was read gives some of its children exactly and a bound for
the rest, who are asked for only if the bound could still lead to a better label.
"""

import asyncio
import heapq
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from burnish.generate.labels import MARGIN, NODES_PER_PASS, LabelNode, build_trie
from burnish.serve.engine.request import LabelAnswer

MAX_ALLOWED = 1000
"""Tokens that a place is asked about at once; vLLM takes 1,024."""


@dataclass(frozen=True)
class Opinion:
    """What is known of the tokens that may follow a path, in nats."""

    likely: Mapping[int, float]
    """Some of them, and always the likeliest."""
    rest: float
    """No other one is likelier than this."""


Read = Callable[[tuple[int, ...], frozenset[int]], Awaitable[Opinion]]
"""Of a path behind the prompt and tokens that may follow it: what is known of them."""


async def most_likely(labels: Sequence[Sequence[int]], read: Read) -> LabelAnswer:
    """The best of `labels` (token ids with the end-of-turn token); of equals the first."""
    search = _Search(build_trie(labels))
    while places := search.next_places():
        opinions = await asyncio.gather(*(read(place.path, place.token_ids) for place in places))
        for place, opinion in zip(places, opinions, strict=True):
            search.add(place, opinion)
    return LabelAnswer(search.best_label, min(1.0, math.exp(search.best)))


@dataclass(frozen=True, order=True)
class _Place:
    """Children of a node that are still unknown; those that may be the most likely sort first."""

    negative_bound: float
    order: int
    node: LabelNode = field(compare=False)
    path: tuple[int, ...] = field(compare=False)
    log_probability: float = field(compare=False)
    """Of the path."""
    token_ids: frozenset[int] = field(compare=False)


class _Search:
    """The places that are still worth asking about, and the best label so far."""

    def __init__(self, root: LabelNode) -> None:
        self.best, self.best_label = -math.inf, -1
        self._places: list[_Place] = []
        self._num_places = 0
        self._push(0.0, root, (), 0.0, frozenset(root.children))

    def next_places(self) -> list[_Place]:
        """A few at a time, as `LabelSearch.next_nodes` takes them; none once none can lead to a better label."""
        taken = list[_Place]()
        floor = self.best
        while self._places and len(taken) < NODES_PER_PASS and -self._places[0].negative_bound > floor:
            taken.append(heapq.heappop(self._places))
            floor = max(floor, -taken[0].negative_bound - MARGIN)
        return taken

    def add(self, place: _Place, opinion: Opinion) -> None:
        """`place` was asked about."""
        known = place.token_ids & opinion.likely.keys()
        assert known, "the likeliest of the tokens that may come is always told"
        for token in known:
            child, score = place.node.children[token], place.log_probability + opinion.likely[token]
            if child.label_index is None:
                self._push(score, child, (*place.path, token), score, frozenset(child.children))
            elif (score, -child.label_index) > (self.best, -self.best_label):
                self.best, self.best_label = score, child.label_index
        if rest := place.token_ids - known:
            self._push(place.log_probability + opinion.rest, place.node, place.path, place.log_probability, rest)

    def _push(
        self, bound: float, node: LabelNode, path: tuple[int, ...], log_probability: float, token_ids: frozenset[int]
    ) -> None:
        ordered = sorted(token_ids)
        for start in range(0, len(ordered), MAX_ALLOWED):
            some = frozenset(ordered[start : start + MAX_ALLOWED])
            self._num_places += 1
            heapq.heappush(self._places, _Place(-bound, self._num_places, node, path, log_probability, some))
