"""Which items belong together: the connected components of pairs."""

from collections.abc import Iterable


def cluster(num_items: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """For each item the least item that the pairs connect it with (union-find)."""
    parent = list(range(num_items))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for one, other in pairs:
        low, high = sorted((root(one), root(other)))
        parent[high] = low
    return [root(i) for i in range(num_items)]
