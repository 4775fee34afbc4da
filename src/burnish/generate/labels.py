"""Prompts -> labels: the most likely label under the model, exactly, without reading every label.

The labels' tokens, each closed by the end-of-turn token, form a trie. The prompt's own logits give the log-probability
of every first token, which no label behind it can exceed. So the branches are read in that order, many nodes in one
pass (each node attends the prompt and its ancestors), until no unread branch can hold a better label.

Shapes: B prompts of a batch, T tokens in the cache, N nodes of a pass, V vocabulary.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from burnish.errors import BaseModelError
from burnish.generate.prompts import FilledCache, fits_window, read_prompts

# Nodes that are read in one pass for one prompt: enough for the likely branches of most prompts.
NODES_PER_PASS = 48


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
    """The most likely of `labels` (token ids with the end-of-turn token) after each prompt, in order.

    Raises:
        BaseModelError: a prompt is longer than the model's sliding window.
    """
    branches = _build_branches(labels)
    room = sum(len(branch.tokens) for branch in branches.values())
    if not fits_window(model, prompts, room):
        raise BaseModelError(
            f"a prompt of {max(map(len, prompts)):,} tokens with the labels goes beyond the base model's attention "
            f"window of {model.config.sliding_window:,} tokens. Shorten the prompts, or use a base without one."
        )
    choices: dict[int, LabelChoice] = {}
    start = time.perf_counter()
    for chosen, filled in read_prompts(model, prompts, batch_size=batch_size, pad_id=pad_id, room=room):
        searches = [_Search(branches, logits_V) for logits_V in filled.logits_BV.log_softmax(-1)]
        while any(wanted := [search.next_branches() for search in searches]):
            read_BNV = _read_branches(model, filled, wanted, pad_id)
            for search, taken, read_NV in zip(searches, wanted, read_BNV, strict=True):
                search.add(taken, read_NV)
        elapsed = time.perf_counter() - start
        for i, search in zip(chosen, searches, strict=True):
            choices[i] = LabelChoice(search.best_label, search.best, elapsed)
        on_done(len(chosen))
        start = time.perf_counter()
    return [choices[i] for i in range(len(prompts))]


@dataclass(frozen=True)
class _Branch:
    """The labels that begin with one token, as a tree. Node 0 is that token; leaves are not nodes."""

    tokens: list[int]
    """Of each node."""
    ancestors: list[list[int]]
    """Of each node, itself included."""
    labels: list[tuple[int, list[tuple[int, int]]]]
    """Label index, and its steps: (node, the token that must follow it)."""


def _build_branches(labels: Sequence[Sequence[int]]) -> dict[int, _Branch]:
    """First token -> branch."""
    branches: dict[int, _Branch] = {}
    nodes: dict[tuple[int, ...], int] = {}
    for index, label in enumerate(labels):
        path = tuple(label)
        branch = branches.setdefault(path[0], _Branch([], [], []))
        lineage: list[int] = []
        for end in range(1, len(path)):
            if path[:end] not in nodes:
                nodes[path[:end]] = len(branch.tokens)
                branch.tokens.append(path[end - 1])
                branch.ancestors.append([*lineage, len(branch.tokens) - 1])
            lineage.append(nodes[path[:end]])
        branch.labels.append((index, [(node, path[i + 1]) for i, node in enumerate(lineage)]))
    return branches


class _Search:
    """The unread branches of one prompt, the most promising first, and the best label so far."""

    def __init__(self, branches: dict[int, _Branch], first_V: Tensor) -> None:
        firsts = list(branches)
        bounds = first_V[firsts].tolist()
        self._unread = sorted(
            ((bound, branches[first]) for bound, first in zip(bounds, firsts, strict=True)), key=lambda pair: -pair[0]
        )
        self.best, self.best_label = float("-inf"), -1

    def next_branches(self) -> list[tuple[float, _Branch]]:
        """The branches to read next, about a pass full; none when no unread one can hold a better label."""
        taken: list[tuple[float, _Branch]] = []
        num_nodes = 0
        while self._unread and self._unread[0][0] > self.best:
            size = len(self._unread[0][1].tokens)
            if taken and num_nodes + size > NODES_PER_PASS:
                break
            taken.append(self._unread.pop(0))
            num_nodes += size
        return taken

    def add(self, taken: Sequence[tuple[float, _Branch]], log_probabilities_NV: Tensor) -> None:
        """Score the labels of the branches that were read."""
        offset = 0
        for bound, branch in taken:
            for index, steps in branch.labels:
                nodes = [offset + node for node, _ in steps]
                score = bound + float(log_probabilities_NV[nodes, [token for _, token in steps]].sum())
                if score > self.best or (score == self.best and index < self.best_label):
                    self.best, self.best_label = score, index
            offset += len(branch.tokens)


def _read_branches(
    model: Any, filled: FilledCache, wanted: Sequence[Sequence[tuple[float, _Branch]]], pad_id: int
) -> Tensor:
    """[B, N, V]: log-probabilities after each node of each row's branches; the cache is left as it was."""
    rows, width = len(wanted), int(filled.mask_BT.shape[1])
    longest = max(sum(len(branch.tokens) for _, branch in row) for row in wanted)
    ids_BN = torch.full((rows, longest), pad_id)
    depth_BN = torch.zeros(rows, longest, dtype=torch.long)
    visible_BNN = torch.eye(longest, dtype=torch.bool).repeat(rows, 1, 1)  # padding sees itself, to stay finite
    for row, taken in enumerate(wanted):
        offset = 0
        for _, branch in taken:
            for node, (token, ancestors) in enumerate(zip(branch.tokens, branch.ancestors, strict=True)):
                ids_BN[row, offset + node] = token
                depth_BN[row, offset + node] = len(ancestors) - 1
                visible_BNN[row, offset + node, [offset + ancestor for ancestor in ancestors]] = True
            offset += len(branch.tokens)
    device = filled.mask_BT.device
    cached_BNT = filled.mask_BT.bool()[:, None].expand(rows, longest, width)
    visible_B1NT = torch.cat([cached_BNT, visible_BNN.to(device)], dim=-1)[:, None]
    logits: Tensor = model(
        input_ids=ids_BN.to(device),
        attention_mask=visible_B1NT,
        position_ids=filled.lengths_B[:, None] + depth_BN.to(device),
        past_key_values=filled.cache,
        use_cache=True,
    ).logits
    filled.cache.crop(-longest)
    return logits.float().log_softmax(-1)
