"""The common beginning of token sequences, which need be computed only once."""

from collections.abc import Sequence

# A shorter one (often only the opening of the template) is not worth a part of its own.
MIN_PREFIX = 8


def common_prefix_length(sequences: Sequence[Sequence[int]]) -> int:
    """Length of the longest common beginning that leaves each sequence a token of its own; 0 if it is too short."""
    if len(sequences) < 2:
        return 0
    limit = min(map(len, sequences)) - 1
    first = sequences[0]
    for position in range(limit):
        if any(sequence[position] != first[position] for sequence in sequences):
            limit = position
            break
    return limit if limit >= MIN_PREFIX else 0
