"""What two JSON values have in common, their lists matched item by item as well as that can be done."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped,unused-ignore]

from burnish.data.nested import Fields, Items, Leaf, Node, leaves

MAX_WORK = 250_000
"""Values of one list times values of the other, equal items aside: beyond, items that are not wholly equal count as
wrong, so that the work stays a matter of a second."""

Common = list[Leaf]


def match(one: Node | None, other: Node | None) -> Common:
    """The leaves that both say at matching places; as many as any matching of list items gives.

    Objects are matched by key. The items of a list are matched one to one, each as a whole and scored by what it has
    in common with its partner, recursively: an optimal assignment (Kuhn 1955), or where order counts an optimal
    alignment (Needleman & Wunsch 1970). Among equally good matchings the one with more equal texts is taken, since
    texts name an item more often than numbers do.
    """
    if isinstance(one, Leaf):
        return [one] if one == other else []
    if isinstance(one, Fields) and isinstance(other, Fields):
        theirs = dict(other.parts)
        return [leaf for key, part in one.parts for leaf in match(part, theirs.get(key))]
    if isinstance(one, Items) and isinstance(other, Items):
        return _align(one.parts, other.parts) if one.is_ordered else _assign(one.parts, other.parts)
    return []


def _assign(ones: Sequence[Node], others: Sequence[Node]) -> Common:
    """Equal items are partners in some optimal assignment, since what they have in common is all of either."""
    equal = Counter(ones) & Counter(others)
    common = [leaf for item in equal.elements() for leaf in leaves(item)]
    left, right = (list((Counter(items) - equal).elements()) for items in (ones, others))
    if not left or not right or _work(left, right) > MAX_WORK:
        return common
    found = [[match(a, b) for b in right] for a in left]
    rows, columns = linear_sum_assignment(_weights(found), maximize=True)
    return common + [leaf for i, j in zip(rows, columns, strict=True) for leaf in found[i][j]]


def _align(ones: Sequence[Node], others: Sequence[Node]) -> Common:
    head = _num_equal(ones, others)
    tail = _num_equal(ones[head:][::-1], others[head:][::-1])
    left, right = (items[head : len(items) - tail] for items in (ones, others))
    common = [leaf for item in [*ones[:head], *ones[len(ones) - tail :]] for leaf in leaves(item)]
    if not left or not right or _work(left, right) > MAX_WORK:
        return common
    found = [[match(a, b) for b in right] for a in left]
    weights = _weights(found)
    best = np.zeros((len(left) + 1, len(right) + 1))
    for i in range(len(left)):
        for j in range(len(right)):
            best[i + 1, j + 1] = max(best[i, j + 1], best[i + 1, j], best[i, j] + weights[i, j])
    i, j = len(left), len(right)
    while i and j:
        if best[i, j] == best[i - 1, j]:
            i -= 1
        elif best[i, j] == best[i, j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            common += found[i][j]
    return common


def _weights(found: Sequence[Sequence[Common]]) -> np.ndarray:
    """The number of common leaves; the number of texts among them decides only between equals."""
    most = 1 + sum(max(map(len, row)) for row in found)
    return np.array(
        [[len(c) * most + sum(leaf.kind == "text" for leaf in c) for c in row] for row in found], dtype=float
    )


def _work(ones: Sequence[Node], others: Sequence[Node]) -> int:
    left, right = (sum(1 for item in items for _ in leaves(item)) for items in (ones, others))
    return left * right


def _num_equal(ones: Sequence[Node], others: Sequence[Node]) -> int:
    """How many items are equal from the start."""
    pairs = zip(ones, others, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(ones), len(others)))
