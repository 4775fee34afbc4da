"""Examples -> train, validation and test, once and for all: seeded, grouped, frozen with a hash."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from burnish.data.checks.duplicates import cluster_copies
from burnish.data.checks.parts import MIN_PART_ROWS, describe_left
from burnish.data.example import Example, example_from_dict
from burnish.errors import DataError, RunError
from burnish.files import read_json, read_jsonl, sha256_of_file, write_json, write_jsonl

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Split:
    """The three parts; no two of them share a group or ask nearly the same thing."""

    train: list[Example]
    validation: list[Example]
    test: list[Example]
    removed: list[str] = field(default_factory=list)
    """Ids of rows that were left out of train or validation because a held-out part asks the same."""


def split_examples(
    examples: Sequence[Example],
    *,
    validation: Sequence[Example] | None = None,
    test: Sequence[Example] | None = None,
    validation_share: float = 0.0,
    test_share: float = 0.0,
    seed: int = 0,
    stratify: bool = False,
    by_time: bool = False,
) -> Split:
    """Divide `examples`; what a given test asks is taken out of the rest, and what validation asks out of train.

    Rows that ask nearly the same, or are of one group, stay together. The order of the hash of (seed, key) decides, so
    the order of the rows in the file does not matter. `stratify` keeps the shares within each target. `by_time` deals
    the newest rows to the test and the next to validation; a cluster is as new as its newest row.

    Raises:
        DataError: too few rows for a part, or, `by_time`, a row without a time.
    """
    given = [*(test or ()), *(validation or ()), *examples]
    num_test, num_held = len(test or ()), len(test or ()) + len(validation or ())
    first = cluster_copies(given)  # of the cluster's rows, so that it is below num_test where a row of the test is
    leaks = [i for i in range(num_test, len(given)) if first[i] < (num_test if i < num_held else num_held)]
    clusters: dict[int, list[Example]] = defaultdict(list)
    for example, root in zip(examples, first[num_held:], strict=True):
        if root >= num_held:
            clusters[root].append(example)
    shares = {"test": 0.0 if test is not None else test_share}
    shares["validation"] = 0.0 if validation is not None else validation_share
    ranked = sorted(clusters.values(), key=lambda cluster: _rank(seed, cluster))
    parts = _deal_by_time(ranked, shares) if by_time else _deal(ranked, shares, stratify=stratify)
    removed = set(leaks)
    held = [given[i] for i in range(num_test, num_held) if i not in removed]
    split = Split(
        train=_in_file_order(examples, parts["train"]),
        validation=held if validation is not None else _in_file_order(examples, parts["validation"]),
        test=list(test) if test is not None else _in_file_order(examples, parts["test"]),
        removed=[given[i].id for i in leaks],
    )
    _check_sizes(split)
    return split


def freeze_split(split: Split, folder: Path, details: dict[str, Any]) -> dict[str, Any]:
    """Write the parts and `split.json` with their hashes; returns the manifest."""
    for part in PARTS:
        write_jsonl(folder / f"{part}.jsonl", [example.to_dict() for example in getattr(split, part)])
    manifest = {
        **details,
        "rows": {part: len(getattr(split, part)) for part in PARTS},
        "sha256": {part: sha256_of_file(folder / f"{part}.jsonl") for part in PARTS},
        "removed_from_train": split.removed,
    }
    write_json(folder / "split.json", manifest)
    return manifest


def thaw_split(folder: Path) -> tuple[Split, dict[str, Any]]:
    """The frozen split and its manifest.

    Raises:
        RunError: a part is not what was frozen.
    """
    manifest = read_json(folder / "split.json")
    for part in PARTS:
        path = folder / f"{part}.jsonl"
        if not path.is_file() or sha256_of_file(path) != manifest["sha256"][part]:
            raise RunError(f"{path}: not the rows that were frozen. Start a new run; this one's test can't be trusted.")
    parts = {part: [example_from_dict(row) for row in read_jsonl(folder / f"{part}.jsonl")] for part in PARTS}
    return Split(**parts, removed=manifest["removed_from_train"]), manifest


def count_duplicates(examples: Sequence[Example]) -> int:
    """How many examples ask what an earlier one asked."""
    return len(examples) - len({example.duplicate_key for example in examples})


def _rank(seed: int, cluster: Sequence[Example]) -> str:
    key = min(example.duplicate_key for example in cluster)
    return hashlib.sha256(f"{seed}:{key}".encode()).hexdigest()


def _deal(
    clusters: Sequence[list[Example]], shares: dict[str, float], *, stratify: bool
) -> dict[str, list[list[Example]]]:
    """Deal clusters, in order, to the part that is furthest behind its share."""
    strata: dict[str, list[list[Example]]] = defaultdict(list)
    for cluster in clusters:
        strata[min(example.target for example in cluster) if stratify else ""].append(cluster)
    parts: dict[str, list[list[Example]]] = {"train": [], "validation": [], "test": []}
    owed = dict.fromkeys(shares, 0.0)  # carried from stratum to stratum, so that small classes add up
    for stratum in sorted(strata):
        for cluster in strata[stratum]:
            for part, share in shares.items():
                owed[part] += share * len(cluster)
            behind = max(owed, key=lambda part: owed[part])
            if owed[behind] >= len(cluster) / 2 and owed[behind] > 0.5:
                owed[behind] -= len(cluster)
                parts[behind].append(cluster)
            else:
                parts["train"].append(cluster)
    return parts


def _deal_by_time(clusters: Sequence[list[Example]], shares: dict[str, float]) -> dict[str, list[list[Example]]]:
    """Deal clusters, the newest first, to the test, then to validation, then to train."""
    if timeless := [example.id for cluster in clusters for example in cluster if example.time is None]:
        more = f" and {len(timeless) - 1} more rows" if len(timeless) > 1 else ""
        raise DataError(f"{timeless[0]}{more}: no time to split by. Fill the column in or remove the rows.")
    num_rows = sum(map(len, clusters))
    missing = {part: share * num_rows for part, share in shares.items()}
    parts: dict[str, list[list[Example]]] = {"train": [], "validation": [], "test": []}
    for cluster in sorted(clusters, key=lambda cluster: max(example.time or "" for example in cluster), reverse=True):
        part = next((part for part in ("test", "validation") if missing[part] >= len(cluster) / 2), "train")
        parts[part].append(cluster)
        # What is older than a row of train is train: a part is closed by the first cluster that goes past it.
        for newer in {"test": (), "validation": ("test",), "train": ("test", "validation")}[part]:
            missing[newer] = 0.0
        missing[part] = missing.get(part, 0.0) - len(cluster)
    return parts


def _in_file_order(examples: Sequence[Example], clusters: Sequence[list[Example]]) -> list[Example]:
    chosen = {example.id for cluster in clusters for example in cluster}
    return [example for example in examples if example.id in chosen]


def _check_sizes(split: Split) -> None:
    for part in PARTS:
        if (n := len(getattr(split, part))) < MIN_PART_ROWS:
            raise DataError(
                f"{describe_left(part, n)} Add rows, or name files for data.test and data.validation.{_removed(split)}"
            )


def _removed(split: Split) -> str:
    """The rows that were left out, where there are any."""
    if not split.removed:
        return ""
    shown = ", ".join(split.removed[:MIN_PART_ROWS]) + (", ..." if len(split.removed) > MIN_PART_ROWS else "")
    return f" {len(split.removed):,} were left out, since they ask what a held-out row asks: {shown}."
