"""A prompt that is answered by the most likely of some labels: the search of `generate.labels`, beside other work.

Shapes: W tokens whose logits were asked for, V vocabulary, S nodes of a pass, L places that are filled after it.
"""

import torch
from torch import Tensor

from burnish.generate.answer import probability_of
from burnish.generate.labels import FoundNode, LabelSearch, build_trie, children_log_probabilities
from burnish.serve.engine.request import LabelAnswer, LabelRequest
from burnish.serve.engine.slots import Segment, read_on


class Choice:
    """Its prompt is read, and then the nodes of the labels' tree that may lead to the best one."""

    def __init__(self, request: LabelRequest) -> None:
        self.ids = list(request.prompt_ids)
        self._root = build_trie(request.label_ids)
        self._search: LabelSearch | None = None
        self._nodes: list[FoundNode] = []

    def next_segment(self, slot: int, num_read: int, limit: int) -> Segment:
        """At most `limit` tokens of the prompt, or the likeliest nodes."""
        if self._search is None:
            return read_on(self.ids, slot, num_read, limit)
        return Segment(
            slot=slot,
            start=num_read,
            input_ids=[found.node.token for found in self._nodes],
            position_ids=[len(self.ids) + len(found.ancestors) for found in self._nodes],
            ancestors=self._ancestors(num_read),
            is_wanted=[True] * len(self._nodes),
        )

    def take(self, segment: Segment, logits_WV: Tensor) -> LabelAnswer | None:
        """The segment was read; returns the answer once nothing can be better."""
        if segment.end < len(self.ids):
            return None
        if self._search is None:
            (first,) = children_log_probabilities(logits_WV, [(0, self._root)])
            self._search = LabelSearch(0, self._root, first)
        else:
            parents = [(row, found.node) for row, found in enumerate(self._nodes)]
            children = children_log_probabilities(logits_WV, parents)
            for place, found, values in zip(range(segment.start, segment.end), self._nodes, children, strict=True):
                self._search.add(found, place, values)
        self._nodes = self._search.next_nodes()
        if self._nodes:
            return None
        return LabelAnswer(self._search.best_label, probability_of(self._search.best))

    def _ancestors(self, num_read: int) -> Tensor:
        """[S, L]: the prompt, the path, and the node itself."""
        visible_SL = torch.zeros(len(self._nodes), num_read + len(self._nodes), dtype=torch.bool)
        visible_SL[:, : len(self.ids)] = True
        for row, found in enumerate(self._nodes):
            visible_SL[row, [*found.ancestors, num_read + row]] = True
        return visible_SL
