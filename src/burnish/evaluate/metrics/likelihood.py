"""How likely the reference answers have become: the specialist against its base."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from burnish.evaluate.statistics import RowScores, bootstrap_interval, wilson_interval


def measure_likelihood(
    base_nats: Sequence[float],
    specialist_nats: Sequence[float],
    num_bytes: Sequence[int],
    *,
    confidence: float = 0.95,
    num_resamples: int = 10_000,
) -> dict[str, Any]:
    """Bits per byte of the reference answers, and how often the specialist finds them likelier than the base.

    A row's bits are its summed negative log-likelihood in nats / ln 2, `num_bytes` the UTF-8 length of its answer; the
    score is the ratio of the sums (Gao et al. 2020, arXiv 2101.00027, section 3.1), which does not depend on the
    tokenizer. The end of the turn is in the bits, not in the bytes. `gain` is base minus specialist. `win_rate` leaves
    ties out. It is of the likelihood of the reference, not of the quality of what is written.
    """
    base_N, specialist_N = (np.array(nats, dtype=np.float64) / math.log(2) for nats in (base_nats, specialist_nats))
    bytes_N = np.array(num_bytes, dtype=np.float64)
    has_text_N = bytes_N > 0
    wins, losses = int((specialist_N < base_N).sum()), int((specialist_N > base_N).sum())
    columns = {"base": base_N, "specialist": specialist_N, "gain": base_N - specialist_N}
    intervals = {
        name: bootstrap_interval(
            RowScores(bits_N[has_text_N], bytes_N[has_text_N]), confidence=confidence, num_resamples=num_resamples
        ).to_dict()
        for name, bits_N in columns.items()
    }
    return {
        "unit": "bits per byte",
        **intervals,
        "win_rate": wilson_interval(wins, wins + losses, confidence).to_dict(),
        "num_wins": wins,
        "num_losses": losses,
        "num_ties": len(base_N) - wins - losses,
        "rows": [
            {"base": float(base / size), "specialist": float(specialist / size)} if size else None
            for base, specialist, size in zip(base_N, specialist_N, bytes_N, strict=True)
        ],
    }
