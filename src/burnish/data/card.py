"""The card of the data: what a run learned from and was judged on, as plain values for `data/card.json`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from burnish.conversation import Task
from burnish.data.finding import Finding, group_by_check
from burnish.data.rendering.render import RenderedExample
from burnish.data.split import PARTS, Split

MAX_BINS = 24
# What becomes of the rows that a check has found; of the others nothing.
DONE = {
    "duplicate_row": "kept on one side of the split",
    "near_duplicate": "kept on one side of the split",
    "in_train": "the copy is left out of train",
    "near_in_train": "the copy is left out of train",
    "in_train_other_label": "the copy is left out of train",
    "group_in_train": "the rest of the group is left out of train",
    "dropped_too_long": "not learned from",
    "prompt_truncated": "learned with a shorter prompt",
    "not_utf8": "read as Latin-1",
}
ROWS_NAMED = 5


def build_card(
    split: Split,
    rendered: Mapping[str, Sequence[RenderedExample]],
    findings: Sequence[Finding],
    *,
    task: Task,
    sha256: Mapping[str, str],
    languages: Mapping[str, int] | None = None,
    estimate: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Counts, lengths, labels, languages, and what the checks found.

    `sha256` names the user's files by their hashes; `estimate` is what the training will take. What is not known is
    None.
    """
    everything = [example for part in PARTS for example in rendered.get(part, ())]
    return {
        "schema_version": 1,
        "rows": {part: len(getattr(split, part)) for part in PARTS} | {"left_out": len(split.removed)},
        "tokens": describe_tokens(everything),
        "labels": _count_labels(split) if task is Task.CLASSIFICATION else None,
        "languages": dict(languages) if languages is not None else None,
        "checks": summarize_findings(findings),
        "sha256": dict(sha256),
        "estimate": dict(estimate) if estimate is not None else None,
    }


def describe_tokens(examples: Sequence[RenderedExample]) -> dict[str, Any] | None:
    """The lengths of prompts and answers in tokens, with a histogram of both over common bins; None without rows."""
    if not examples:
        return None
    prompt = np.array([example.prompt_length for example in examples])
    answer = np.array([len(example.input_ids) for example in examples]) - prompt
    edges = _bins(max(prompt.max(), answer.max()))
    return {
        "prompt": _quantiles(prompt),
        "answer": _quantiles(answer),
        "histogram": {
            "edges": edges.tolist(),
            "prompt": np.histogram(prompt, edges)[0].tolist(),
            "answer": np.histogram(answer, edges)[0].tolist(),
        },
    }


def summarize_findings(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """One entry a check, errors first: how many findings, the first rows, what to do, and what was done."""
    return [
        {
            "check": group[0].check,
            "severity": group[0].severity.value,
            "meaning": group[0].meaning,
            "remedy": group[0].remedy,
            "count": len(group),
            "rows": [finding.row for finding in group if finding.row][:ROWS_NAMED],
            "message": group[0].message,
            "done": DONE.get(group[0].check),
        }
        for group in group_by_check(findings)
    ]


def _count_labels(split: Split) -> list[dict[str, Any]]:
    """The rows of each label in each part, the commonest label first."""
    counts = {part: Counter(example.target for example in getattr(split, part)) for part in PARTS}
    total = sum(counts.values(), Counter[str]())
    labels = sorted(total, key=lambda label: (-total[label], label))
    return [{"label": label} | {part: counts[part][label] for part in PARTS} for label in labels]


def _quantiles(lengths_N: npt.NDArray[np.int64]) -> dict[str, int]:
    low, middle, high, top = np.quantile(lengths_N, [0, 0.5, 0.95, 1], method="inverted_cdf")
    return {"min": int(low), "median": int(middle), "p95": int(high), "max": int(top), "sum": int(lengths_N.sum())}


def _bins(longest: int) -> npt.NDArray[np.int64]:
    """At most `MAX_BINS` bins of one round width (1, 2 or 5 times a power of ten) from 0 to beyond the longest."""
    widths = (step * 10**power for power in range(12) for step in (1, 2, 5))
    width = next(width for width in widths if longest < width * MAX_BINS)
    return np.arange(0, longest + width + 1, width)
