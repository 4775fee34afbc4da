"""Prompts -> labels: the most likely label under the model, exactly, without reading every label.

The labels' tokens, each closed by the end-of-turn token, form a trie. A node's log-probability is the sum over its
path, which no label behind it can exceed. So the search is best-first: each pass reads the most likely unread nodes
(each attends the prompt and its ancestors), until none of the others can lead to a better label.

Shapes: B prompts of a batch, T tokens in the cache, N nodes of a pass, V vocabulary.
"""

import heapq
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from burnish.generate.plain import score_labels
from burnish.generate.prompts import FilledCache, fits_window, read_prompts
from burnish.model.attention import can_pack

# Nodes of one prompt that one pass reads. More save passes; fewer are read in vain.
NODES_PER_PASS = 12
# Nodes that are so much less likely than the best unread one, in nats, wait for a later pass: few are ever needed.
MARGIN = 3.0


@dataclass(frozen=True)
class LabelChoice:
    """The most likely label of one prompt."""

    label_index: int
    log_probability: float
    """Of the label with its end-of-turn token, nats."""
    latency_s: float
    """From the start of its batch to the choice."""


@torch.no_grad()
def choose_labels(
    model: Any,
    prompts: Sequence[Sequence[int]],
    labels: Sequence[Sequence[int]],
    *,
    pad_id: int,
    batch_size: int,
    on_done: Callable[[int], None] = lambda count: None,
) -> list[LabelChoice]:
    """The most likely of `labels` (token ids with the end-of-turn token) after each prompt, in order."""
    room = max(map(len, labels))
    if not (can_pack(model) and fits_window(model, prompts, room)):
        return _choose_plainly(model, prompts, labels, batch_size, on_done)
    root = build_trie(labels)
    choices: dict[int, LabelChoice] = {}
    start = time.perf_counter()
    for chosen, filled in read_prompts(model, prompts, batch_size=batch_size, pad_id=pad_id, room=room):
        first = children_log_probabilities(filled.logits_BV, [(row, root) for row in range(len(chosen))])
        searches = [LabelSearch(prompt, root, values) for prompt, values in zip(chosen, first, strict=True)]
        while True:
            wanted = [search.next_nodes() for search in searches]
            for search, nodes in zip(searches, wanted, strict=True):
                if not nodes and search.prompt not in choices:
                    elapsed = time.perf_counter() - start
                    choices[search.prompt] = LabelChoice(search.best_label, search.best, elapsed)
            is_open = [row for row, nodes in enumerate(wanted) if nodes]
            if not is_open:
                break
            if len(is_open) <= len(searches) // 2:  # finished rows cost as much as open ones
                filled.keep(is_open)
                searches, wanted = [searches[row] for row in is_open], [wanted[row] for row in is_open]
            _read_nodes(model, filled, searches, wanted, pad_id)
        on_done(len(chosen))
        start = time.perf_counter()
    return [choices[i] for i in range(len(prompts))]


def _choose_plainly(
    model: Any,
    prompts: Sequence[Sequence[int]],
    labels: Sequence[Sequence[int]],
    batch_size: int,
    on_done: Callable[[int], None],
) -> list[LabelChoice]:
    choices = []
    for prompt in prompts:
        start = time.perf_counter()
        scores = score_labels(model, [prompt], labels, batch_size)[0]
        best = int(scores.argmax())
        choices.append(LabelChoice(best, float(scores[best]), time.perf_counter() - start))
        on_done(1)
    return choices


@dataclass(eq=False)
class LabelNode:
    """A token of the labels that share the path to it; the last token of a label is a leaf."""

    token: int
    label_index: int | None = None
    children: dict[int, "LabelNode"] = field(default_factory=dict)


def build_trie(labels: Sequence[Sequence[int]]) -> LabelNode:
    """The root, which stands for the end of the prompt and is never read."""
    root = LabelNode(-1)
    for index, label in enumerate(labels):
        node = root
        for token in label:
            node = node.children.setdefault(token, LabelNode(token))
        if node.label_index is None:
            node.label_index = index
    return root


@dataclass(frozen=True, order=True)
class FoundNode:
    """A node that a search knows of but has not read; the most likely sorts first, then the first found."""

    negative_log_probability: float
    """Of the path to it."""
    order: int
    node: LabelNode = field(compare=False)
    ancestors: tuple[int, ...] = field(compare=False)
    """Their places in the cache."""


class LabelSearch:
    """The nodes that are still worth reading for one prompt, and the best label so far."""

    def __init__(self, prompt: int, root: LabelNode, first: Sequence[float]) -> None:
        self.prompt = prompt
        self.best, self.best_label = float("-inf"), -1
        self._found: list[FoundNode] = []
        self._num_found = 0
        self._add_children(root, 0.0, (), first)

    def next_nodes(self) -> list[FoundNode]:
        """At most a pass full; none once no unread node can lead to a better label."""
        taken: list[FoundNode] = []
        floor = self.best
        while self._found and len(taken) < NODES_PER_PASS and -self._found[0].negative_log_probability > floor:
            taken.append(heapq.heappop(self._found))
            floor = max(floor, -taken[0].negative_log_probability - MARGIN)
        return taken

    def add(self, read: FoundNode, place: int, children: Sequence[float]) -> None:
        """`read` was read into `place` of the cache; `children` are its children's log-probabilities behind it."""
        self._add_children(read.node, -read.negative_log_probability, (*read.ancestors, place), children)

    def _add_children(self, node: LabelNode, bound: float, path: tuple[int, ...], children: Sequence[float]) -> None:
        for child, value in zip(node.children.values(), children, strict=True):
            score = bound + value
            if child.label_index is None:
                self._num_found += 1
                heapq.heappush(self._found, FoundNode(-score, self._num_found, child, path))
            elif (score, -child.label_index) > (self.best, -self.best_label):
                self.best, self.best_label = score, child.label_index


def _read_nodes(
    model: Any, filled: FilledCache, searches: Sequence[LabelSearch], wanted: Sequence[Sequence[FoundNode]], pad_id: int
) -> None:
    """Read each row's nodes in one pass, append them to the cache, and hand their children to the searches."""
    rows, width, longest = len(wanted), int(filled.mask_BT.shape[1]), max(map(len, wanted))
    cells = [(row, column, found) for row, nodes in enumerate(wanted) for column, found in enumerate(nodes)]
    ids_BN = torch.full((rows, longest), pad_id)
    depth_BN = torch.zeros(rows, longest, dtype=torch.long)
    ancestors_BNT = torch.zeros(rows, longest, width, dtype=torch.bool)
    for row, column, found in cells:
        ids_BN[row, column] = found.node.token
        depth_BN[row, column] = len(found.ancestors)
        ancestors_BNT[row, column, list(found.ancestors)] = True
    device = filled.mask_BT.device
    visible_BNT = filled.mask_BT.bool()[:, None] | ancestors_BNT.to(device)
    itself_BNN = torch.eye(longest, dtype=torch.bool, device=device).expand(rows, -1, -1)
    logits_BNV = model(
        input_ids=ids_BN.to(device),
        attention_mask=torch.cat([visible_BNT, itself_BNN], dim=-1)[:, None],
        position_ids=filled.lengths_B[:, None] + depth_BN.to(device),
        past_key_values=filled.cache,
        use_cache=True,
    ).logits
    filled.mask_BT = torch.cat([filled.mask_BT, filled.mask_BT.new_zeros(rows, longest)], dim=1)  # nodes see by path
    parents = [(row * longest + column, found.node) for row, column, found in cells]
    children = children_log_probabilities(logits_BNV.flatten(0, 1), parents)
    for (row, column, found), values in zip(cells, children, strict=True):
        searches[row].add(found, width + column, values)


def children_log_probabilities(logits_MV: Tensor, parents: Sequence[tuple[int, LabelNode]]) -> list[list[float]]:
    """For each (row of the logits, node): the log-probabilities of the node's children, nats."""
    rows = [row for row, node in parents for _ in node.children]
    tokens = [token for _, node in parents for token in node.children]
    logits_MV = logits_MV.float()
    values = iter((logits_MV[rows, tokens] - logits_MV.logsumexp(-1)[rows]).tolist())
    return [[next(values) for _ in node.children] for _, node in parents]
