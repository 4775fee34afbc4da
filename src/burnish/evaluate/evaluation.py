"""Scored predictions + retention -> the evaluation: everything that the verdict rests on, as plain values."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from burnish.evaluate.advice import ArmFacts, Way
from burnish.evaluate.analysis import Evidence, analyse_arm, analyse_arms
from burnish.evaluate.arms import ARM_TITLES, REPLACED, Arm
from burnish.evaluate.contest import Contest, Rival, Standard
from burnish.evaluate.metrics import AnyMetric, breakdown, collect_scores, describe_metric, details
from burnish.evaluate.notes import count_fully_right, list_notes
from burnish.evaluate.parts import equal_parts, weaker_parts
from burnish.evaluate.recommendation import Forgetting
from burnish.evaluate.replacement import DEFAULT_MARGIN, Replacement, judge_replacement
from burnish.evaluate.requests import RequestTime
from burnish.evaluate.retention import RetentionResult
from burnish.evaluate.statistics import (
    ConfidenceInterval,
    IntArray,
    RowScores,
    adjust,
    compare_paired,
    design_effect,
    minimum_detectable_difference,
    minimum_detectable_gain,
    noninferiority_p_value,
    number_groups,
    openings_factor,
    paired_sd,
    rows_needed,
    rows_needed_for_gain,
    score_interval,
)
from burnish.evaluate.target import Target, judge_target
from burnish.evaluate.verdict import Verdict, judge
from burnish.recipe import Metric

# The share of rows whose correctness a change of method flips, where nothing has been measured yet.
ASSUMED_DISCORDANCE = 0.3


# The arms from the cheapest to set up and keep to the costliest, and the way that each stands for.
COST_ORDER = {
    "zero_shot": Way.PROMPT,
    "embedding": Way.CLASSIFIER,
    "few_shot": Way.PROMPT,
    "retrieved": Way.RETRIEVAL,
    "encoder": Way.CLASSIFIER,
    "previous": Way.FINE_TUNING,
    "recorded": Way.FINE_TUNING,
    "specialist": Way.FINE_TUNING,
    "constrained": Way.FINE_TUNING,
}


@dataclass(frozen=True)
class ArmRun:
    """The prediction rows of one arm and the seconds they took."""

    rows: list[dict[str, Any]]
    elapsed_s: float
    request: RequestTime | None = None
    """None where it was not measured."""


@dataclass(frozen=True)
class Intervals:
    """How sure to be, and how hard to try."""

    confidence: float
    num_resamples: int


def expected_sensitivity(
    metric: AnyMetric,
    baselines: Mapping[Arm, ArmRun],
    *,
    confidence: float = 0.95,
    groups: Sequence[str | None] | None = None,
    num_openings: int = 1,
) -> tuple[float | None, str]:
    """The smallest true gain that the test rows will show with 80 % probability, before anything is trained.

    That is, where every baseline is as good as the best: each of k must be beaten, with a power of 1 - 0.2 / k, at the
    level of this opening of the test. For right/wrong rows the share of rows that flip is assumed; for graded rows the
    spread of the row differences is taken from the baselines: between two of them, or of one around its mean.
    """
    scores = [collect_scores(run.rows) for run in baselines.values()]
    if not scores:
        return None, "no baseline"
    numbers = _number_groups(groups, len(scores[0]))
    level = {"alpha": (1 - confidence) / openings_factor(num_openings), "power": 1 - 0.2 / len(scores)}
    if scores[0].is_binary:
        num_independent = int(len(scores[0]) / max(1.0, *(design_effect(s, numbers) for s in scores)))
        value = minimum_detectable_gain(num_independent, discordance=ASSUMED_DISCORDANCE, **level)
        return value, f"if {ASSUMED_DISCORDANCE:.0%} of the rows change between right and wrong"
    if any(math.isnan(each.value) for each in scores):
        return None, "a baseline has no score"
    spreads = [paired_sd(a, b, numbers) for a, b in itertools.combinations(scores, 2)]
    if not spreads:
        flat = RowScores(np.full(len(scores[0]), scores[0].value), np.ones(len(scores[0])))
        spreads = [paired_sd(scores[0], flat, numbers)]
    if not np.isfinite(max(spreads)):
        return None, "the baselines have no score"
    value = minimum_detectable_difference(max(spreads), len(scores[0]), **level)
    return value, "if rows differ as much as between the baselines"


def evaluate(
    arms: Mapping[Arm, ArmRun],
    *,
    metric: AnyMetric,
    intervals: Intervals,
    retention: RetentionResult | None,
    forgetting: Forgetting,
    sensitivity: tuple[float | None, str],
    groups: Sequence[str | None] | None = None,
    num_openings: int = 1,
    data_errors: Sequence[str] = (),
    evidence: Evidence | None = None,
    candidate: Arm = Arm.SPECIALIST,
    margin: float = DEFAULT_MARGIN,
    target: float | None = None,
) -> dict[str, Any]:
    """The parts of evaluation.json that come from measurements.

    `groups` has one name a test row, None for a row of its own; rows of a group are not taken to be independent.
    `num_openings` counts how often these test rows were used to judge an adapter, this time included. `data_errors`
    are sentences about faults of the data that leave the verdict open. `candidate` is the arm that is judged. The
    recorded arm, where there is one, is a question of its own: is the candidate worse than it by less than `margin`?
    `target` is the score that is needed; without one nothing is recommended to be shipped.
    """
    scores = {arm: collect_scores(run.rows) for arm, run in arms.items()}
    num_rows = len(next(iter(scores.values())))
    test = _Test(scores, _number_groups(groups, num_rows), intervals, num_openings, evidence)
    described = {arm: _describe(arm, run, metric, test) for arm, run in arms.items()}
    facts = {arm: _facts(arm, described[arm]) for arm in arms}
    rivals = [arm for arm in arms if arm not in (candidate, REPLACED)]
    contest = _contest(candidate, rivals, facts, test)
    leader = _leader(candidate, {arm: facts[arm] for arm in (candidate, *rivals)}, test)
    text = retention.text.nll_change if retention else None
    verdict = judge(
        contest,
        leader=leader,
        metric=describe_metric(metric).label,
        num_rows=num_rows,
        forgetting=replace(forgetting, upper=text.high if text else None),
        data_errors=data_errors,
        targets={} if target is None else {facts[arm].name: _target(target, arm, facts, test, metric) for arm in facts},
        standard=test.standard,
    )
    replacement = _judge_replacement(candidate, facts, test, metric, margin) if REPLACED in arms else None
    weaker = _weaker_parts(contest, arms, metric, test)
    equal = equal_parts(
        arms[candidate].rows, {r.arm.name: arms[Arm(r.arm.name)].rows for r in contest.cheaper}, metric=metric
    )
    if replacement:
        verdict = replace(verdict, reasons=[*verdict.reasons, replacement.sentence])
    return {
        "metric": {**asdict(describe_metric(metric)), "is_share": True},
        "num_test_rows": num_rows,
        "num_test_groups": None if test.groups is None else len(set(test.groups.tolist())),
        "num_test_openings": num_openings,
        "minimum_detectable_difference": sensitivity[0],
        "minimum_detectable_difference_if": sensitivity[1],
        "candidate": candidate.value,
        "noninferiority_margin": test.standard.margin,
        "arms": list(described.values()),
        "comparisons": [*_rows(contest), *([_row_of(replacement)] if replacement else [])],
        "leader_comparisons": _rows(leader) if leader else [],
        "retention": _retention(retention, forgetting.budget) if retention else None,
        "verdict": _verdict(verdict),
        "target": verdict.target.to_dict() if verdict.target else None,
        "weaker_parts": weaker,
        "equal_parts": equal,
        "notes": list_notes(
            list(described.values()),
            candidate=candidate.value,
            used=verdict.recommended_arm or candidate.value,
            metric=describe_metric(metric).name,
            weaker=weaker,
            equal=equal,
        ),
        "replacement": replacement.to_dict() if replacement else None,
        **(_analyse(candidate, arms, evidence, intervals) if evidence else {}),
    }


@dataclass(frozen=True)
class _Test:
    """The test rows as scored, and how they are judged."""

    scores: Mapping[Arm, RowScores]
    groups: IntArray | None
    intervals: Intervals
    num_openings: int
    evidence: Evidence | None

    @property
    def standard(self) -> Standard:
        return Standard(alpha=1 - self.intervals.confidence)


def _number_groups(groups: Sequence[str | None] | None, num_rows: int) -> IntArray | None:
    if groups is not None and len(groups) != num_rows:
        raise ValueError(f"{len(groups)} groups for {num_rows} test rows. Give one a row.")
    return None if groups is None else number_groups(groups)


def _describe(arm: Arm, run: ArmRun, metric: AnyMetric, test: _Test) -> dict[str, Any]:
    tokens = [row["prompt_tokens"] for row in run.rows]
    latencies = [row["latency_s"] for row in run.rows]
    interval = score_interval(
        test.scores[arm],
        confidence=test.intervals.confidence,
        num_resamples=test.intervals.num_resamples,
        groups=test.groups,
    )
    return {
        "name": arm.value,
        "title": ARM_TITLES[arm],
        "score": interval.to_dict(),
        "num_rows": len(run.rows),
        "num_fully_right": count_fully_right(run.rows, is_object=metric is Metric.FIELD_F1),
        "prompt_tokens": {"mean": None, "max": None}
        if None in tokens
        else {"mean": float(np.mean(tokens)), "max": max(tokens)},
        "latency_s": {"p50": float(np.percentile(latencies, 50)), "p95": float(np.percentile(latencies, 95))},
        "request": asdict(run.request) if run.request else None,
        "elapsed_s": round(run.elapsed_s, 2),
        "answers_per_s": len(run.rows) / run.elapsed_s if run.elapsed_s else None,
        "details": details(metric, run.rows),
        "breakdown": breakdown(metric, run.rows),
        **(_analyse_arm(arm, run, test.evidence, test.intervals) if test.evidence else {}),
    }


def _analyse_arm(arm: Arm, run: ArmRun, evidence: Evidence, intervals: Intervals) -> dict[str, Any]:
    return analyse_arm(
        arm.value, run.rows, evidence, confidence=intervals.confidence, num_resamples=intervals.num_resamples
    )


def _analyse(candidate: Arm, arms: Mapping[Arm, ArmRun], evidence: Evidence, intervals: Intervals) -> dict[str, Any]:
    untrained = Arm.EMBEDDING if candidate is Arm.ENCODER else Arm.ZERO_SHOT
    base = untrained.value if untrained in arms else None
    rows = {arm.value: run.rows for arm, run in arms.items()}
    return analyse_arms(rows, evidence, candidate=candidate.value, base=base, confidence=intervals.confidence)


def _facts(arm: Arm, described: Mapping[str, Any]) -> ArmFacts:
    score = described["score"]["value"]
    return ArmFacts(
        name=arm.value,
        title=ARM_TITLES[arm],
        way=COST_ORDER[arm.value],
        cost_rank=list(COST_ORDER).index(arm.value),
        score=math.nan if score is None else score,
        prompt_tokens=described["prompt_tokens"]["mean"],
        request_s=described["request"]["median_s"] if described["request"] else None,
    )


def _contest(
    arm: Arm, others: Sequence[Arm], facts: Mapping[Arm, ArmFacts], test: _Test, num_chosen: int = 1
) -> Contest:
    """The arm against the others; `num_chosen` corrects for an arm that was chosen by these very scores."""
    mine = test.scores[arm]
    results = [
        compare_paired(
            mine,
            test.scores[other],
            confidence=test.intervals.confidence,
            num_resamples=test.intervals.num_resamples,
            groups=test.groups,
        )
        for other in others
    ]
    margin = test.standard.margin
    within = [noninferiority_p_value(test.scores[o], mine, margin=margin, groups=test.groups) for o in others]
    differing, within = (
        [min(1.0, num_chosen * p) for p in adjust(p_values, num_openings=test.num_openings)]
        for p_values in ([result.p_value for result in results], within)
    )
    return Contest(
        facts[arm],
        [
            Rival(
                arm=facts[other],
                comparison=result,
                adjusted_p=p,
                p_within_margin=p_within,
                rows_needed=_rows_needed(result.difference, mine, test.scores[other], test.groups),
            )
            for other, result, p, p_within in zip(others, results, differing, within, strict=True)
        ],
    )


def _leader(candidate: Arm, facts: Mapping[Arm, ArmFacts], test: _Test) -> Contest | None:
    """The arm with the best score against all that are cheaper, where it is not the candidate."""
    scored = [arm for arm in facts if not math.isnan(facts[arm].score)]
    best = max(scored, key=lambda arm: facts[arm].score, default=candidate)
    if best is candidate or facts[best].score == facts[candidate].score:
        return None
    cheaper = [arm for arm in facts if facts[arm].cost_rank < facts[best].cost_rank]
    return _contest(best, cheaper, facts, test, num_chosen=len(facts))


def _target(value: float, arm: Arm, facts: Mapping[Arm, ArmFacts], test: _Test, metric: AnyMetric) -> Target:
    """At a level that is corrected for openings of the test, as those of the comparisons are."""
    interval = score_interval(
        test.scores[arm],
        confidence=1 - test.standard.alpha / openings_factor(test.num_openings),
        num_resamples=test.intervals.num_resamples,
        groups=test.groups,
    )
    label = describe_metric(metric).label
    return judge_target(value, facts[arm], interval, metric=label, num_rows=len(test.scores[arm]))


def _weaker_parts(contest: Contest, arms: Mapping[Arm, ArmRun], metric: AnyMetric, test: _Test) -> list[dict[str, Any]]:
    return weaker_parts(
        arms[Arm(contest.arm.name)].rows,
        {rival.arm.name: arms[Arm(rival.arm.name)].rows for rival in contest.cheaper},
        metric=metric,
        confidence=test.intervals.confidence,
        num_resamples=test.intervals.num_resamples,
        groups=test.groups,
        num_openings=test.num_openings,
    )


def _verdict(verdict: Verdict) -> dict[str, Any]:
    """Without the target, which stands beside it."""
    return {name: value for name, value in vars(verdict).items() if name != "target"}


def _judge_replacement(
    candidate: Arm, facts: Mapping[Arm, ArmFacts], test: _Test, metric: AnyMetric, margin: float
) -> Replacement:
    """Of one question that was asked in advance: corrected for openings of the test, not for the other comparisons."""
    rival = _contest(candidate, [REPLACED], facts, test).rivals[0]
    mine, theirs = test.scores[candidate], test.scores[REPLACED]
    p_value = noninferiority_p_value(mine, theirs, margin=margin, groups=test.groups)
    return judge_replacement(
        facts[candidate],
        rival,
        p_worse_by_margin=adjust([p_value], num_openings=test.num_openings)[0],
        margin=margin,
        metric=describe_metric(metric).label,
        num_rows=len(mine),
        alpha=test.standard.alpha,
    )


def _rows_needed(difference: ConfidenceInterval, one: RowScores, two: RowScores, groups: IntArray | None) -> int | None:
    if groups is None and one.is_binary and two.is_binary:
        discordance = float(np.mean(one.numerators != two.numerators))
        return rows_needed_for_gain(difference.value, discordance=discordance) if discordance else None
    return rows_needed(difference.value, paired_sd(one, two, groups))


def _rows(contest: Contest) -> list[dict[str, Any]]:
    return [
        {
            "candidate": contest.arm.name,
            "baseline": rival.arm.name,
            **rival.comparison.to_dict(),
            "p_value_adjusted": rival.adjusted_p,
            "p_value_within_margin": rival.p_within_margin,
        }
        for rival in contest.rivals
    ]


def _row_of(replacement: Replacement) -> dict[str, Any]:
    """Beside the other comparisons; what is asked there of a margin is asked here the other way round."""
    return {
        "candidate": replacement.candidate,
        "baseline": replacement.replaced,
        **replacement.comparison.to_dict(),
        "p_value_adjusted": replacement.p_differs,
        "p_value_within_margin": None,
    }


def _retention(result: RetentionResult, budget: float | None) -> dict[str, Any]:
    answers, text = result.answers, result.text.nll_change
    return {
        "num_prompts": answers.num_texts,
        "num_tokens": answers.num_tokens,
        "kl": answers.kl.to_dict(),
        "nll_change": answers.nll_change.to_dict(),
        "top1_agreement": answers.top1_agreement.to_dict(),
        "general_text_nll_change": text.to_dict(),
        "general_text_new_kinds": new.to_dict() if (new := result.text.nll_change_of_new_kinds) else None,
        "general_text_nll_change_by_kind": result.text.nll_change_by_kind,
        "num_passages": result.text.num_texts,
        "general_text_kl": result.text.kl.to_dict(),
        "task_kl": result.task.kl.to_dict(),
        "budget": budget,
        "is_within_budget": None if budget is None else bool(text.high <= budget),
    }
