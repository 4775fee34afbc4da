"""Scored predictions + retention -> the evaluation: everything that the verdict rests on, as plain values."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from burnish.evaluate.analysis import Evidence, analyse_arm, analyse_arms
from burnish.evaluate.arms import ARM_TITLES, Arm
from burnish.evaluate.metrics import AnyMetric, breakdown, collect_scores, describe_metric, details
from burnish.evaluate.retention import RetentionResult
from burnish.evaluate.statistics import (
    RowScores,
    compare_paired,
    holm,
    minimum_detectable_difference,
    minimum_detectable_gain,
    paired_sd,
    rows_needed,
    score_interval,
)
from burnish.evaluate.verdict import Opponent, judge

# The share of rows whose correctness a change of method flips, where nothing has been measured yet.
ASSUMED_DISCORDANCE = 0.3


@dataclass(frozen=True)
class ArmRun:
    """The prediction rows of one arm and the seconds they took."""

    rows: list[dict[str, Any]]
    elapsed_s: float


@dataclass(frozen=True)
class Precision:
    """How sure to be, and how hard to try."""

    confidence: float
    num_resamples: int


def expected_sensitivity(metric: AnyMetric, baselines: Mapping[Arm, ArmRun]) -> tuple[float | None, str]:
    """The smallest true gain that the test rows will show with 80 % probability, before anything is trained.

    For right/wrong rows the share of rows that flip is assumed; for graded rows the spread of the row differences
    is taken from the baselines: between two of them, or of one around its mean.
    """
    scores = [collect_scores(run.rows) for run in baselines.values()]
    if not scores:
        return None, "no baseline"
    if scores[0].is_binary:
        value = minimum_detectable_gain(len(scores[0]), discordance=ASSUMED_DISCORDANCE)
        return value, f"if {ASSUMED_DISCORDANCE:.0%} of the rows change between right and wrong"
    spreads = [paired_sd(a, b) for a, b in itertools.combinations(scores, 2)]
    if not spreads:
        flat = RowScores(np.full(len(scores[0]), scores[0].value), np.ones(len(scores[0])))
        spreads = [paired_sd(scores[0], flat)]
    if not np.isfinite(max(spreads)):
        return None, "the baselines have no score"
    return minimum_detectable_difference(
        max(spreads), len(scores[0])
    ), "if rows differ as much as between the baselines"


def evaluate(
    arms: Mapping[Arm, ArmRun],
    *,
    metric: AnyMetric,
    precision: Precision,
    retention: RetentionResult | None,
    budget: float | None,
    sensitivity: tuple[float | None, str],
    evidence: Evidence | None = None,
) -> dict[str, Any]:
    """The parts of evaluation.json that come from measurements."""
    scores = {arm: collect_scores(run.rows) for arm, run in arms.items()}
    num_rows = len(next(iter(scores.values())))
    comparisons, opponents = _compare_all(scores, precision)
    verdict = judge(
        opponents,
        specialist_score=scores[Arm.SPECIALIST].value,
        metric=describe_metric(metric).label,
        num_rows=num_rows,
        alpha=1 - precision.confidence,
    )
    return {
        "metric": {**asdict(describe_metric(metric)), "is_share": True},
        "num_test_rows": num_rows,
        "minimum_detectable_difference": sensitivity[0],
        "minimum_detectable_difference_if": sensitivity[1],
        "arms": [_arm(arm, run, scores[arm], metric, precision, evidence) for arm, run in arms.items()],
        "comparisons": comparisons,
        "retention": _retention(retention, budget) if retention else None,
        "verdict": asdict(verdict),
        **(_analyse(arms, evidence, precision) if evidence else {}),
    }


def _arm(
    arm: Arm, run: ArmRun, scores: RowScores, metric: AnyMetric, precision: Precision, evidence: Evidence | None
) -> dict[str, Any]:
    tokens = [row["prompt_tokens"] for row in run.rows]
    latencies = [row["latency_s"] for row in run.rows]
    interval = score_interval(scores, confidence=precision.confidence, num_resamples=precision.num_resamples)
    return {
        "name": arm.value,
        "title": ARM_TITLES[arm],
        "score": interval.to_dict(),
        "num_rows": len(run.rows),
        "prompt_tokens": {"mean": float(np.mean(tokens)), "max": max(tokens)},
        "latency_s": {"p50": float(np.percentile(latencies, 50)), "p95": float(np.percentile(latencies, 95))},
        "elapsed_s": round(run.elapsed_s, 2),
        "details": details(metric, run.rows),
        "breakdown": breakdown(metric, run.rows),
        **(_analyse_arm(arm, run, evidence, precision) if evidence else {}),
    }


def _analyse_arm(arm: Arm, run: ArmRun, evidence: Evidence, precision: Precision) -> dict[str, Any]:
    return analyse_arm(
        arm.value, run.rows, evidence, confidence=precision.confidence, num_resamples=precision.num_resamples
    )


def _analyse(arms: Mapping[Arm, ArmRun], evidence: Evidence, precision: Precision) -> dict[str, Any]:
    base = Arm.ZERO_SHOT.value if Arm.ZERO_SHOT in arms else None
    rows = {arm.value: run.rows for arm, run in arms.items()}
    return analyse_arms(rows, evidence, candidate=Arm.SPECIALIST.value, base=base, confidence=precision.confidence)


def _compare_all(
    scores: Mapping[Arm, RowScores], precision: Precision
) -> tuple[list[dict[str, Any]], Sequence[Opponent]]:
    specialist = scores[Arm.SPECIALIST]
    baselines = [arm for arm in scores if arm is not Arm.SPECIALIST]
    results = [
        compare_paired(specialist, scores[arm], confidence=precision.confidence, num_resamples=precision.num_resamples)
        for arm in baselines
    ]
    adjusted = holm([result.p_value for result in results])
    opponents = [
        Opponent(
            title=ARM_TITLES[arm],
            score=scores[arm].value,
            comparison=result,
            adjusted_p=p,
            rows_needed=rows_needed(result.difference.value, paired_sd(specialist, scores[arm])),
        )
        for arm, result, p in zip(baselines, results, adjusted, strict=True)
    ]
    rows = [
        {
            "candidate": Arm.SPECIALIST.value,
            "baseline": arm.value,
            **result.to_dict(),
            "p_value_adjusted": p,
        }
        for arm, result, p in zip(baselines, results, adjusted, strict=True)
    ]
    return rows, opponents


def _retention(result: RetentionResult, budget: float | None) -> dict[str, Any]:
    text = result.general_text_nll_change
    return {
        "num_prompts": result.num_prompts,
        "num_tokens": result.num_tokens,
        "kl": result.kl.to_dict(),
        "nll_change": result.nll_change.to_dict(),
        "top1_agreement": result.top1_agreement.to_dict(),
        "general_text_nll_change": text.to_dict(),
        "budget": budget,
        "is_within_budget": None if budget is None else bool(text.high <= budget),
    }
