"""Statistics against other implementations, published examples, simulations and the degenerate cases."""

import json
import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats  # type: ignore[import-untyped,unused-ignore]
from statsmodels.regression.linear_model import OLS  # type: ignore[import-untyped,unused-ignore]
from statsmodels.stats.contingency_tables import mcnemar  # type: ignore[import-untyped,unused-ignore]
from statsmodels.stats.multitest import multipletests  # type: ignore[import-untyped,unused-ignore]
from statsmodels.stats.proportion import proportion_confint  # type: ignore[import-untyped,unused-ignore]

from burnish.evaluate.statistics import (
    FloatArray,
    RowScores,
    adjust,
    bootstrap,
    bootstrap_interval,
    compare_paired,
    design_effect,
    holm,
    logit_interval,
    minimum_detectable_difference,
    minimum_detectable_gain,
    noninferiority_p_value,
    number_groups,
    openings_factor,
    paired_sd,
    randomisation,
    rows_needed,
    rows_needed_for_gain,
    rows_needed_for_noninferiority,
    score_interval,
    tango_interval,
    wilson_interval,
)
from burnish.evaluate.statistics.noninferiority import tango_statistic

FAST = settings(max_examples=60, deadline=None)


def means(values: npt.ArrayLike) -> RowScores:
    numerators = np.array(values, dtype=np.float64)
    return RowScores(numerators, np.ones(numerators.shape))


def right_wrong_arms(both: int, one: int, two: int, neither: int) -> tuple[RowScores, RowScores]:
    first = [1] * both + [1] * one + [0] * two + [0] * neither
    second = [1] * both + [0] * one + [1] * two + [0] * neither
    return means(first), means(second)


def f1_rows(generator: np.random.Generator, num_rows: int, recall: float) -> RowScores:
    gold = generator.integers(1, 5, num_rows)
    hits = generator.binomial(gold, recall)
    predicted = hits + generator.binomial(2, 0.3, num_rows)
    return RowScores((2 * hits).astype(np.float64), (gold + predicted).astype(np.float64))


def skewed_rows() -> RowScores:
    generator = np.random.default_rng(0)
    denominators = np.exp(1.5 * generator.normal(size=20))
    return RowScores(denominators**1.7 * generator.uniform(0.5, 1.5, 20), denominators)


# Scores on a coarse grid, so that ties are common.
graded = st.lists(st.integers(0, 8).map(lambda i: i / 8), min_size=1, max_size=40)
graded_pairs = st.lists(st.tuples(*[st.integers(0, 8)] * 4), min_size=1, max_size=40)


def arms_of(rows: list[tuple[int, ...]]) -> tuple[RowScores, RowScores]:
    columns = np.array(rows, dtype=np.float64).T
    return RowScores(columns[0], columns[1]), RowScores(columns[2], columns[3])


class TestRowScores:
    def test_value_is_the_ratio_of_the_sums_not_the_mean_of_the_ratios(self) -> None:
        scores = RowScores(np.array([2.0, 0.0]), np.array([2.0, 6.0]))
        assert scores.value == 0.25
        assert len(scores) == 2

    @pytest.mark.parametrize("num_rows", [0, 3])
    def test_zero_denominators_have_no_value(self, num_rows: int) -> None:
        assert math.isnan(RowScores(np.zeros(num_rows), np.zeros(num_rows)).value)

    @pytest.mark.parametrize(
        ("numerators", "denominators", "expected"),
        [([0, 1], [1, 1], True), ([0, 0.5], [1, 1], False), ([0, 1], [1, 2], False), ([], [], False)],
    )
    def test_binary(self, numerators: list[float], denominators: list[float], expected: bool) -> None:
        assert RowScores(np.array(numerators), np.array(denominators)).is_binary is expected

    def test_refuses_rows_without_a_denominator(self) -> None:
        with pytest.raises(ValueError, match=r"shapes \(2,\) and \(1,\)"):
            RowScores(np.array([1.0, 2.0]), np.array([1.0]))

    @pytest.mark.parametrize(("numerator", "denominator"), [(math.nan, 1), (1, math.inf), (1, -1)])
    def test_refuses_broken_rows(self, numerator: float, denominator: float) -> None:
        with pytest.raises(ValueError, match="not finite or has a negative denominator"):
            RowScores(np.array([numerator]), np.array([denominator]))


class TestWilson:
    @pytest.mark.parametrize(("successes", "total"), [(0, 7), (7, 7), (1, 1), (81, 263), (15, 148), (3, 3080)])
    @pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
    def test_equals_statsmodels(self, successes: int, total: int, confidence: float) -> None:
        interval = wilson_interval(successes, total, confidence)
        expected = proportion_confint(successes, total, alpha=1 - confidence, method="wilson")
        assert (interval.low, interval.high) == pytest.approx(expected, abs=1e-12)

    def test_equals_the_published_example(self) -> None:
        # Newcombe 1998, Stat. Med. 17:857, table I: 81/263, 95 %, score method.
        interval = wilson_interval(81, 263)
        assert (round(interval.low, 4), round(interval.high, 4)) == (0.2553, 0.3662)

    def test_no_rows_are_not_measured(self) -> None:
        interval = wilson_interval(0, 0)
        assert math.isnan(interval.value) and math.isnan(interval.low)
        assert interval.to_dict()["value"] is None
        json.dumps(interval.to_dict(), allow_nan=False)

    def test_refuses_the_impossible(self) -> None:
        with pytest.raises(ValueError, match="5 successes of 4"):
            wilson_interval(5, 4)
        with pytest.raises(ValueError, match=r"confidence lies between 0 and 1; found 95\."):
            wilson_interval(1, 4, 95.0)

    @given(st.integers(0, 200), st.integers(1, 200), st.floats(0.01, 0.999))
    def test_contains_the_value(self, successes: int, total: int, confidence: float) -> None:
        interval = wilson_interval(min(successes, total), total, confidence)
        assert 0 <= interval.low <= interval.value <= interval.high <= 1


class TestBootstrap:
    @pytest.mark.parametrize("scores", [f1_rows(np.random.default_rng(1), 45, 0.8), skewed_rows()])
    def test_bca_of_a_ratio_equals_scipy(self, scores: RowScores) -> None:
        ours = bootstrap_interval(scores, num_resamples=3000, seed=2)
        theirs = stats.bootstrap(
            (scores.numerators, scores.denominators),
            lambda n, d, axis: n.sum(axis) / d.sum(axis),
            paired=True,
            n_resamples=3000,
            method="BCa",
            rng=np.random.default_rng(2),  # from which scipy draws the same resamples as we do
        ).confidence_interval
        assert ours.method == "BCa bootstrap"
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-9)

    def test_an_interval_that_would_leave_the_value_out_is_widened(self) -> None:
        # One outlier lifts the mean above most resamples; at 5 % confidence neither method would reach it.
        interval = bootstrap_interval(means([100.0, *np.linspace(1, 2, 19)]), confidence=0.05)
        assert interval.method == "percentile bootstrap (too skewed or too sparse for BCa)"
        assert interval.low < interval.value == interval.high
        mirrored = bootstrap_interval(means([-100.0, *np.linspace(-1, -2, 19)]), confidence=0.05)
        assert mirrored.low == mirrored.value < mirrored.high

    def test_bca_is_not_the_percentile_interval_on_skewed_rows(self) -> None:
        values = np.random.default_rng(4).exponential(size=25)
        ours = bootstrap_interval(means(values))
        percentile, bca = (
            stats.bootstrap((values,), np.mean, method=method, rng=np.random.default_rng(0)).confidence_interval
            for method in ("percentile", "BCa")
        )
        assert abs(ours.high - bca.high) < 0.03 < abs(ours.high - percentile.high)

    def test_chunks_do_not_matter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        scores = f1_rows(np.random.default_rng(1), 45, 0.8)
        whole = bootstrap_interval(scores, num_resamples=999)
        monkeypatch.setattr(bootstrap, "_CHUNK_CELLS", 100)
        assert bootstrap_interval(scores, num_resamples=999) == whole

    def test_groups_widen_the_interval_to_that_of_the_groups(self) -> None:
        generator = np.random.default_rng(3)
        per_group = generator.uniform(size=30)
        rows, groups = np.repeat(per_group, 8), np.repeat(np.arange(30) * 7 - 20, 8)
        clustered = bootstrap_interval(means(rows), groups=groups)
        of_groups = bootstrap_interval(means(per_group))
        assert clustered.method == "BCa cluster bootstrap"
        assert (clustered.low, clustered.high) == pytest.approx((of_groups.low, of_groups.high))
        naive = bootstrap_interval(means(rows))
        assert naive.high - naive.low < 0.5 * (clustered.high - clustered.low)

    def test_refuses_too_few_groups(self) -> None:
        with pytest.raises(ValueError, match="1 group numbers for 2 rows"):
            bootstrap_interval(means([0.1, 0.2]), groups=np.array([1]))

    @pytest.mark.parametrize(
        "scores", [means([0.4]), means([0.3] * 9), RowScores(np.array([2.0, 6]), np.array([2.0, 6]))]
    )
    def test_rows_that_do_not_vary(self, scores: RowScores) -> None:
        interval = bootstrap_interval(scores)
        assert interval.low == interval.value == interval.high
        assert interval.method == "percentile bootstrap (the rows do not vary)"

    def test_sparse_denominators_fall_back_to_percentile(self) -> None:
        scores = RowScores(np.array([1.0, 1.0] + [0.0] * 8), np.array([1.0, 2.0] + [0.0] * 8))
        interval = bootstrap_interval(scores)
        assert interval.method.startswith("percentile bootstrap (too skewed or too sparse")
        assert 0.5 <= interval.low <= interval.value <= interval.high <= 1.0

    def test_no_denominator_is_not_measured(self) -> None:
        interval = bootstrap_interval(RowScores(np.zeros(3), np.zeros(3)))
        assert math.isnan(interval.low) and "not defined" in interval.method

    def test_score_interval_chooses(self) -> None:
        groups = np.array([0, 0, 1, 1])
        assert score_interval(means([0, 1, 1, 1])).method == "Wilson"
        assert score_interval(means([0, 1, 1, 0.5])).method == "logit t"
        assert score_interval(means([0, 1, 0, 0]), groups=groups).method == "logit t by group"
        assert score_interval(means([0, 1, 1, 1.5])).method == "BCa bootstrap"

    @FAST
    @given(graded_pairs, st.floats(0.5, 0.99))
    def test_contains_the_value(self, rows: list[tuple[int, ...]], confidence: float) -> None:
        scores, _ = arms_of(rows)
        interval = bootstrap_interval(scores, confidence=confidence, num_resamples=300)
        if not math.isnan(scores.value):
            assert interval.low <= interval.value == scores.value <= interval.high

    def test_covers_the_truth(self) -> None:
        generator = np.random.default_rng(5)
        truth = f1_rows(generator, 1_000_000, 0.8).value
        intervals = [bootstrap_interval(f1_rows(generator, 60, 0.8), num_resamples=1000, seed=i) for i in range(400)]
        coverage = np.mean([interval.low <= truth <= interval.high for interval in intervals])
        assert 0.91 <= coverage <= 0.98  # 0.95, give or take three standard errors and small-sample bias


class TestComparePairedRightWrong:
    # tables: (both right, candidate only, baseline only, neither)
    @pytest.mark.parametrize(
        ("table", "confidence", "low", "high"),
        [
            # Cavo et al. 2012, as in the tests of the R package contingencytables (Fagerland et al. 2017).
            ((59, 6, 16, 80), 0.95, -0.1240, -0.0054),
            # 48 against 41 discordant of 549 pairs, as given by the R package PropCIs, scoreci.mp.
            ((460, 48, 41, 0), 0.9, -0.0157, 0.0414),
        ],
    )
    def test_tango_interval_equals_the_published(
        self, table: tuple[int, int, int, int], confidence: float, low: float, high: float
    ) -> None:
        difference = compare_paired(*right_wrong_arms(*table), confidence=confidence).difference
        assert (round(difference.low, 4), round(difference.high, 4)) == (low, high)
        assert difference.method == "Tango score interval"

    @pytest.mark.parametrize(("wins", "losses", "num_rows"), [(12, 2, 50), (0, 5, 40), (3, 3, 200), (30, 0, 30)])
    def test_tango_interval_ends_where_the_statistic_is_rejected(self, wins: int, losses: int, num_rows: int) -> None:
        interval, z = tango_interval(wins, losses, num_rows), stats.norm.ppf(0.975)
        for limit, expected in ((interval.low, z), (interval.high, -z)):
            if abs(limit) < 1:
                assert tango_statistic(wins, losses, num_rows, limit) == pytest.approx(expected)

    @pytest.mark.parametrize("table", [(36, 12, 2, 0), (1, 1, 7, 12), (5, 0, 1, 5), (10, 31, 9, 50)])
    def test_p_equals_statsmodels(self, table: tuple[int, int, int, int]) -> None:
        both, one, two, neither = table
        comparison = compare_paired(*right_wrong_arms(*table))
        expected = mcnemar([[both, one], [two, neither]], exact=True).pvalue
        assert comparison.p_value == pytest.approx(expected, rel=1e-9)
        assert comparison.method == "exact McNemar test"
        assert (comparison.num_wins, comparison.num_losses, comparison.num_ties) == (one, two, both + neither)

    @given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
    def test_exchanging_the_arms_negates_the_difference(self, rows: list[tuple[bool, bool]]) -> None:
        one, two = (means(column) for column in np.array(rows, dtype=np.float64).T)
        forth, back = compare_paired(one, two), compare_paired(two, one)
        assert forth.p_value == back.p_value
        assert (forth.num_wins, forth.num_losses) == (back.num_losses, back.num_wins)
        assert forth.difference.low == pytest.approx(-back.difference.high, abs=1e-12)
        assert forth.difference.value == -back.difference.value
        assert -1 <= forth.difference.low <= forth.difference.value <= forth.difference.high <= 1
        assert forth.difference.value == pytest.approx(one.value - two.value, abs=1e-12)

    @pytest.mark.parametrize("rows", [[1] * 20, [0] * 20, [1], [0, 1, 1]])
    def test_identical_arms(self, rows: list[int]) -> None:
        comparison = compare_paired(means(rows), means(rows))
        assert comparison.p_value == 1 and comparison.difference.value == 0
        assert comparison.difference.low < 0 < comparison.difference.high
        assert comparison.num_ties == len(rows)

    def test_all_right_against_all_wrong(self) -> None:
        comparison = compare_paired(means([1] * 10), means([0] * 10))
        assert comparison.p_value == pytest.approx(2 / 2**10)
        assert comparison.difference.value == comparison.difference.high == 1
        assert 0.4 < comparison.difference.low < 0.5


class TestComparePairedGraded:
    def test_exact_p_equals_scipy_and_the_definition(self) -> None:
        generator = np.random.default_rng(7)
        one, two = generator.uniform(0, 1, 10), generator.uniform(0, 0.8, 10)
        comparison = compare_paired(means(one), means(two))
        expected = stats.permutation_test(
            (one, two), lambda x, y, axis: (x - y).mean(axis), permutation_type="samples", vectorized=True
        ).pvalue
        assert comparison.method == "exact paired randomisation test"
        assert comparison.p_value == pytest.approx(expected, abs=1e-12)
        assert 0.001 < comparison.p_value < 0.9

    def test_rounding_does_not_break_ties(self) -> None:
        # Only rows 0 and 2 differ: 2 of 4 arrangements reach the observed difference, one up to rounding.
        assert compare_paired(means([0.8, 0.7, 0.7]), means([0.2, 0.7, 0.0])).p_value == 0.5

    def test_an_undefined_arrangement_counts_against_the_candidate(self) -> None:
        # Exchanging one of the two rows leaves an arm without a denominator.
        candidate = RowScores(np.array([1.0, 0]), np.array([1.0, 0]))
        baseline = RowScores(np.array([0.0, 0]), np.array([0.0, 1]))
        assert compare_paired(candidate, baseline).p_value == 1

    def test_drawn_p_is_near_the_exact_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        generator = np.random.default_rng(11)
        one, two = f1_rows(generator, 12, 0.85), f1_rows(generator, 12, 0.5)
        exact = compare_paired(one, two)
        monkeypatch.setattr(randomisation, "_MAX_ENUMERATED_UNITS", 0)
        drawn = compare_paired(one, two)
        assert (exact.method, drawn.method) == (
            "exact paired randomisation test",
            "paired randomisation test",
        )
        assert 0.005 < exact.p_value < 0.5
        assert drawn.p_value == pytest.approx(exact.p_value, abs=4 * math.sqrt(exact.p_value / 10_000))

    def test_drawn_p_is_never_zero(self) -> None:
        comparison = compare_paired(means(np.full(40, 0.9)), means(np.linspace(0, 0.5, 40)), num_resamples=999)
        assert comparison.p_value == 1 / 1000

    def test_interval_of_means_equals_scipy(self) -> None:
        one, two = np.random.default_rng(8).uniform(size=(2, 60))
        difference = compare_paired(means(one), means(two)).difference
        expected = stats.ttest_rel(one, two).confidence_interval(0.95)
        assert (difference.low, difference.high) == pytest.approx((expected.low, expected.high))
        assert difference.method == "paired t"

    def test_interval_of_ratios_has_the_jackknife_error(self) -> None:
        generator = np.random.default_rng(8)
        one, two = f1_rows(generator, 400, 0.8), f1_rows(generator, 400, 0.65)
        columns = np.hstack((one.columns, two.columns))
        left_out = columns.sum(axis=0) - columns
        jackknife = left_out[:, 0] / left_out[:, 1] - left_out[:, 2] / left_out[:, 3]
        error = np.sqrt(399 / 400 * ((jackknife - jackknife.mean()) ** 2).sum())
        difference = compare_paired(one, two).difference
        assert difference.value == pytest.approx(one.value - two.value)
        assert (difference.high - difference.low) / 2 == pytest.approx(stats.t.ppf(0.975, 399) * error, rel=0.01)

    def test_pairing_counts(self) -> None:
        base = np.random.default_rng(9).uniform(size=80)
        lift = np.random.default_rng(10).uniform(0, 0.1, size=80)
        aligned = compare_paired(means(base + lift), means(base))
        shuffled = compare_paired(means(base + lift), means(np.roll(base, 1)))
        assert aligned.p_value < 0.001 < 0.05 < shuffled.p_value

    @FAST
    @given(graded_pairs)
    def test_exchanging_the_arms_negates_the_difference(self, rows: list[tuple[int, ...]]) -> None:
        one, two = arms_of(rows)
        forth, back = (compare_paired(*arms, num_resamples=200) for arms in ((one, two), (two, one)))
        assert forth.p_value == back.p_value and 0 < forth.p_value <= 1
        assert (forth.num_wins, forth.num_losses) == (back.num_losses, back.num_wins)
        assert forth.num_wins + forth.num_losses + forth.num_ties == len(rows)
        if not math.isnan(forth.difference.value):
            assert forth.difference.value == -back.difference.value
            assert forth.difference.low == pytest.approx(-back.difference.high, abs=1e-9)
            assert forth.difference.low <= forth.difference.value <= forth.difference.high

    @FAST
    @given(graded)
    def test_identical_arms(self, rows: list[float]) -> None:
        comparison = compare_paired(means(rows), means(rows))
        assert comparison.p_value == 1.0 and comparison.difference.value == 0.0
        assert comparison.difference.low <= 0 <= comparison.difference.high
        assert comparison.num_ties == len(rows)

    def test_rows_without_a_denominator(self) -> None:
        # Row 0: none in both, a tie. Row 1: the baseline invents a field where there is none, so it loses.
        candidate = RowScores(np.array([0.0, 0, 2]), np.array([0.0, 0, 2]))
        baseline = RowScores(np.array([0.0, 0, 2]), np.array([0.0, 1, 2]))
        comparison = compare_paired(candidate, baseline)
        assert (comparison.num_wins, comparison.num_losses, comparison.num_ties) == (1, 0, 2)
        assert comparison.difference.value == pytest.approx(1 / 3)
        assert comparison.p_value == 1

    def test_an_arm_without_any_denominator_proves_nothing(self) -> None:
        comparison = compare_paired(RowScores(np.zeros(2), np.zeros(2)), RowScores(np.ones(2), np.full(2, 2.0)))
        assert comparison.p_value == 1 and math.isnan(comparison.difference.value)
        assert "not defined" in comparison.method and "not defined" in comparison.difference.method
        assert comparison.to_dict()["difference"]["value"] is None
        json.dumps(comparison.to_dict(), allow_nan=False)

    def test_one_row_proves_nothing(self) -> None:
        assert compare_paired(means([0.9]), means([0.1])).p_value == 1

    def test_refuses_unequal_lengths(self) -> None:
        with pytest.raises(ValueError, match="3 rows and the baseline 2"):
            compare_paired(means([1, 0, 1]), means([1, 0]))


class TestNull:
    """With no true difference, p < 0.05 comes up in at most about 5 % (the verdict's own error rate)."""

    def test_right_wrong(self) -> None:
        right = np.random.default_rng(12).uniform(size=(2000, 2, 80)) < 0.6
        p_values = [compare_paired(means(one), means(two)).p_value for one, two in right]
        assert 0.005 < np.mean(np.array(p_values) < 0.05) <= 0.05  # exact, hence below

    def test_graded(self) -> None:
        generator = np.random.default_rng(13)
        p_values = [
            randomisation.randomisation_test(
                f1_rows(generator, 50, 0.7), f1_rows(generator, 50, 0.7), num_resamples=499, seed=i
            )[0]
            for i in range(1000)
        ]
        rate = np.mean(np.array(p_values) < 0.05)
        assert 0.03 <= rate <= 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / 1000)


class TestHolm:
    @settings(max_examples=20, deadline=None)
    @given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
    def test_equals_statsmodels_and_is_monotone(self, p_values: list[float]) -> None:
        adjusted = holm(p_values)
        assert adjusted == pytest.approx(list(multipletests(p_values, method="holm")[1]), abs=1e-12)
        assert all(after >= before for before, after in zip(p_values, adjusted, strict=True))
        by_size = [adjusted[i] for i in np.argsort(p_values, kind="stable")]
        assert by_size == sorted(by_size) and max(adjusted) <= 1

    def test_empty_and_impossible(self) -> None:
        assert holm([]) == []
        assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
        for wrong in (1.2, -0.1, math.nan):
            with pytest.raises(ValueError, match="p-values lie between 0 and 1"):
                holm([0.5, wrong])


class TestPower:
    # science.md 7.2: minimum detectable paired gain in percentage points, alpha 0.05, power 0.8.
    @pytest.mark.parametrize(
        ("discordance", "expected"),
        [
            (0.1, [None, 8.8, 6.4, 5.3, 4.1]),
            (0.2, [17.6, 12.8, 9.1, 7.4, 5.7]),
            (0.3, [21.9, 15.9, 11.1, 9.1, 7.0]),
            (0.4, [25.4, 18.2, 12.9, 10.5, 8.1]),
        ],
    )
    def test_table(self, discordance: float, expected: list[float | None]) -> None:
        gains = [minimum_detectable_gain(n, discordance=discordance) for n in (50, 100, 200, 300, 500)]
        assert [None if gain is None else round(100 * gain, 1) for gain in gains] == expected

    def test_the_power_at_the_gain_is_the_power_asked_for(self) -> None:
        gain = minimum_detectable_gain(40, discordance=0.5, power=0.7)
        assert gain is not None
        wins, losses, power = (0.5 + gain) / 2, (0.5 - gain) / 2, 0.0
        for b in range(41):
            for c in range(min(b, 40 - b + 1)):
                if stats.binomtest(b, b + c).pvalue <= 0.05:
                    power += stats.multinomial.pmf([b, c, 40 - b - c], 40, [wins, losses, 0.5])
        assert power == pytest.approx(0.7, abs=1e-6)

    @pytest.mark.parametrize(("num_rows", "discordance"), [(77, 0.2), (1000, 0.3), (4000, 0.9)])
    def test_the_same_power_by_another_binomial_distribution(self, num_rows: int, discordance: float) -> None:
        gain, changed = minimum_detectable_gain(num_rows, discordance=discordance), np.arange(num_rows + 1)
        assert gain is not None
        found = stats.binom.sf(stats.binom.isf(0.025, changed, 0.5), changed, (1 + gain / discordance) / 2)
        assert stats.binom.pmf(changed, num_rows, discordance) @ found == pytest.approx(0.8, abs=1e-7)

    @pytest.mark.parametrize(("num_rows", "discordance"), [(0, 0.5), (100, 0.0), (5, 1.0)])
    def test_unreachable(self, num_rows: int, discordance: float) -> None:
        assert minimum_detectable_gain(num_rows, discordance=discordance) is None

    def test_refuses_a_discordance_in_percent(self) -> None:
        with pytest.raises(ValueError, match="discordance is a share of rows"):
            minimum_detectable_gain(100, discordance=20)

    def test_graded(self) -> None:
        assert minimum_detectable_difference(0.5, 100) == pytest.approx(2.8016 * 0.05, abs=1e-4)
        assert minimum_detectable_difference(0.5, 0) == math.inf
        found = minimum_detectable_difference(0.3, 157, alpha=0.01, power=0.9)
        assert rows_needed(found * 1.0001, 0.3, alpha=0.01, power=0.9) == 157

    @pytest.mark.parametrize(
        ("difference", "discordance", "asymptotic"), [(0.03, 0.1, 870), (0.05, 0.2, 626), (0.2, 0.4, 77)]
    )
    def test_rows_needed_is_near_the_asymptotic_table(
        self, difference: float, discordance: float, asymptotic: int
    ) -> None:
        # science.md 7.2 uses sqrt(psi) for the null term, hence a little more than the paired z formula.
        needed = rows_needed(difference, math.sqrt(discordance - difference**2))
        assert needed is not None and 0.9 * asymptotic < needed <= asymptotic

    @pytest.mark.parametrize(("difference", "sd"), [(0.0, 0.3), (math.nan, 0.3), (0.1, math.nan), (5e-324, 1.0)])
    def test_rows_needed_of_nothing(self, difference: float, sd: float) -> None:
        assert rows_needed(difference, sd) is None

    def test_rows_needed_is_the_same_for_a_loss(self) -> None:
        assert rows_needed(-0.1, 0.4) == rows_needed(0.1, 0.4) == 126
        assert rows_needed(0.1, 0.0) == 1


class TestPairedSd:
    def test_of_means_is_the_sd_of_the_differences(self) -> None:
        generator = np.random.default_rng(14)
        one, two = generator.uniform(size=(2, 30))
        assert paired_sd(means(one), means(two)) == pytest.approx(np.std(one - two, ddof=1))

    def test_of_right_wrong_follows_from_the_discordance(self) -> None:
        n = 100
        squared = paired_sd(*right_wrong_arms(50, 18, 6, 26)) ** 2
        assert squared == pytest.approx((0.24 - 0.12**2) * n / (n - 1))

    def test_of_ratios_gives_the_standard_error(self) -> None:
        generator = np.random.default_rng(15)
        num_rows = 80

        def arms() -> tuple[RowScores, RowScores]:
            return f1_rows(generator, num_rows, 0.8), f1_rows(generator, num_rows, 0.6)

        sampled = [one.value - two.value for one, two in (arms() for _ in range(4000))]
        predicted = np.mean([paired_sd(*arms()) for _ in range(200)]) / math.sqrt(num_rows)
        assert predicted == pytest.approx(np.std(sampled), rel=0.05)

    @pytest.mark.parametrize(
        ("one", "two"),
        [
            (means([1]), means([0])),
            (RowScores(np.zeros(2), np.zeros(2)), means([1, 0])),
            (means([]), means([])),
        ],
    )
    def test_not_measured(self, one: RowScores, two: RowScores) -> None:
        assert math.isnan(paired_sd(one, two))

    def test_refuses_unequal_lengths(self) -> None:
        with pytest.raises(ValueError, match="2 rows and the baseline 1"):
            paired_sd(means([1, 0]), means([1]))


class TestLogitInterval:
    def test_of_means_is_the_t_interval_of_the_logit(self) -> None:
        values = np.random.default_rng(20).uniform(0.2, 0.9, 40)  # lighter tails than the normal: all 39 degrees
        expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
        mean = values.mean()
        half_width = (expected.high - expected.low) / 2 / (mean * (1 - mean))
        logit = math.log(mean / (1 - mean))
        interval = logit_interval(means(values), confidence=0.9)
        expected_limits = [1 / (1 + math.exp(-(logit + side * half_width))) for side in (-1, 1)]
        assert (interval.low, interval.high) == pytest.approx(expected_limits)

    def test_groups_give_the_interval_of_the_group_means(self) -> None:
        per_group = np.random.default_rng(21).uniform(size=20)
        rows, groups = np.repeat(per_group, 6), np.repeat(np.arange(20) * 5 - 9, 6)
        clustered, of_groups = logit_interval(means(rows), groups=groups), logit_interval(means(per_group))
        assert (clustered.low, clustered.high) == pytest.approx((of_groups.low, of_groups.high))
        assert clustered.method == "logit t by group"

    def test_right_wrong_rows_with_large_groups_are_fewer_than_they_seem(self) -> None:
        rows, groups = means([1] * 30 + [0] * 20), np.repeat(np.arange(10), 5)
        naive, clustered = score_interval(rows), score_interval(rows, groups=groups)
        assert clustered.high - clustered.low > 1.8 * (naive.high - naive.low)

    @pytest.mark.parametrize(("values", "low", "high"), [([0.0] * 20, 0.0, 0.161), ([1.0] * 20, 0.839, 1.0)])
    def test_a_score_of_nought_or_one_is_bounded(self, values: list[float], low: float, high: float) -> None:
        interval = logit_interval(means(values))
        assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-4)

    def test_one_row_or_group_bounds_nothing(self) -> None:
        for interval in (logit_interval(means([0.4])), score_interval(means([1, 0, 1]), groups=np.zeros(3, dtype=int))):
            assert (interval.low, interval.high) == (0, 1)
        comparison = compare_paired(means([1, 0, 1]), means([0, 0, 1]), groups=np.zeros(3, dtype=int))
        assert (comparison.difference.low, comparison.difference.high, comparison.p_value) == (-1, 1, 1)

    def test_rows_that_do_not_vary(self) -> None:
        interval = logit_interval(means([0.25] * 9))
        assert (interval.low, interval.high) == (0.25, 0.25) and "do not vary" in interval.method

    @FAST
    @given(graded, st.floats(0.5, 0.99))
    def test_contains_the_value(self, values: list[float], confidence: float) -> None:
        interval = logit_interval(means(values), confidence=confidence)
        assert 0 <= interval.low <= interval.value <= interval.high <= 1


class TestGroups:
    def test_rows_without_a_group_are_groups_of_their_own(self) -> None:
        numbers = number_groups(["a", None, "b", "a", None, "1"])
        assert numbers is not None
        assert numbers.tolist() == [0, 1, 2, 0, 3, 4]

    def test_groups_of_one_row_are_no_groups(self) -> None:
        assert number_groups(["a", None, "b"]) is None

    def test_whole_groups_are_compared(self) -> None:
        generator = np.random.default_rng(22)
        one, two = generator.uniform(size=(2, 11))
        groups = np.repeat(np.arange(11), 7)
        clustered = compare_paired(means(np.repeat(one, 7)), means(np.repeat(two, 7)), groups=groups)
        of_groups = compare_paired(means(one), means(two))
        assert clustered.p_value == of_groups.p_value
        assert clustered.difference.low == pytest.approx(of_groups.difference.low)
        assert clustered.method == "exact paired randomisation test by group"
        assert clustered.difference.method == "paired t by group"
        assert clustered.num_wins == 7 * of_groups.num_wins

    def test_right_wrong_rows_of_a_few_groups_prove_less(self) -> None:
        arms = right_wrong_arms(0, 20, 0, 0)
        assert compare_paired(*arms).p_value < 1e-5
        assert compare_paired(*arms, groups=np.repeat(np.arange(4), 5)).p_value == 2 / 2**4

    def test_the_clustered_error_equals_statsmodels(self) -> None:
        generator = np.random.default_rng(23)
        groups = generator.integers(15, size=90)
        rows = generator.uniform(size=15)[groups] + 0.3 * generator.normal(size=90)
        fit = OLS(rows, np.ones(90)).fit(cov_type="cluster", cov_kwds={"groups": groups})
        # statsmodels multiplies by (N - 1) / (N - 1) * G / (G - 1), as we do.
        spread = paired_sd(means(rows), means(np.zeros(90)), groups)
        assert spread / math.sqrt(90) == pytest.approx(float(fit.bse[0]), rel=1e-9)

    def test_design_effect(self) -> None:
        rows, groups = means(np.repeat(np.random.default_rng(24).uniform(size=50), 4)), np.repeat(np.arange(50), 4)
        assert design_effect(rows, groups) == pytest.approx(4 * 199 / 196)  # the two sample variances' divisors
        assert design_effect(rows, None) == 1
        assert design_effect(means([1, 1]), np.array([0, 1])) == 1


class TestNoninferiority:
    def test_of_graded_rows_equals_scipy(self) -> None:
        one, two = np.random.default_rng(25).uniform(size=(2, 30))
        p_value = noninferiority_p_value(means(one), means(two), margin=0.05)
        assert p_value == pytest.approx(stats.ttest_1samp(one - two, -0.05, alternative="greater").pvalue)

    @pytest.mark.parametrize(("wins", "losses", "num_rows"), [(12, 2, 50), (3, 9, 80), (0, 4, 60), (5, 0, 40)])
    def test_of_right_wrong_rows_is_the_score_test(self, wins: int, losses: int, num_rows: int) -> None:
        """The variance under the hypothesis from the likelihood itself, maximized numerically."""
        margin = 0.1

        def loss(share_lost: float) -> float:
            shares = np.array([share_lost - margin, share_lost, 1 + margin - 2 * share_lost])
            counts = np.array([wins, losses, num_rows - wins - losses])
            return -float(np.where(counts > 0, counts * np.log(np.maximum(shares, 1e-300)), 0).sum())

        bounds = (margin, (1 + margin) / 2)
        found = optimize.minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-12})
        error = math.sqrt((2 * found.x - margin - margin**2) / num_rows)
        expected = stats.norm.sf(((wins - losses) / num_rows + margin) / error)
        arms = right_wrong_arms(0, wins, losses, num_rows - wins - losses)
        assert noninferiority_p_value(*arms, margin=margin) == pytest.approx(expected, rel=1e-4)

    def test_agrees_with_the_interval(self) -> None:
        """One-sided at 5 % rejects what the 90 % interval leaves out."""
        low = tango_interval(9, 6, 120, 0.9).low
        arms = right_wrong_arms(60, 9, 6, 45)
        assert noninferiority_p_value(*arms, margin=-low) == pytest.approx(0.05)

    @pytest.mark.parametrize("is_binary", [True, False])
    def test_an_arm_that_is_worse_by_the_margin_seldom_passes(self, is_binary: bool) -> None:
        generator = np.random.default_rng(26)
        p_values = []
        for _ in range(1500):
            if is_binary:
                both, won, lost, none = generator.multinomial(150, [0.6, 0.04, 0.14, 0.22])
                arms = right_wrong_arms(both, won, lost, none)
            else:
                skill = generator.uniform(0.2, 0.8, 150)
                arms = (
                    means(generator.beta(6 * (s := skill - 0.1), 6 * (1 - s))),
                    means(generator.beta(6 * skill, 6 * (1 - skill))),
                )
            p_values.append(noninferiority_p_value(*arms, margin=0.1))
        rate = np.mean(np.array(p_values) < 0.05)
        assert 0.03 <= rate <= 0.065

    def test_equal_arms_are_as_good_where_there_are_enough_rows(self) -> None:
        arm = means([1] * 200 + [0] * 100)
        assert noninferiority_p_value(arm, arm, margin=0.01) < 0.05
        assert noninferiority_p_value(means([1] * 60), means([1] * 60), margin=0.01) > 0.05
        graded = means(np.linspace(0, 1, 50))
        assert noninferiority_p_value(graded, graded, margin=0.01) == 0

    def test_groups_count_as_one(self) -> None:
        generator = np.random.default_rng(27)
        one, two = np.repeat(generator.uniform(size=(2, 12)), 6, axis=1)
        groups = np.repeat(np.arange(12), 6)
        assert noninferiority_p_value(means(one), means(two), margin=0.1, groups=groups) == pytest.approx(
            noninferiority_p_value(means(one[::6]), means(two[::6]), margin=0.1)
        )

    def test_nothing_measured_shows_nothing(self) -> None:
        empty = RowScores(np.zeros(3), np.zeros(3))
        assert noninferiority_p_value(empty, means([1, 0, 0.5]), margin=0.1) == 1
        assert noninferiority_p_value(means([0.4]), means([0.2]), margin=0.1) == 1

    def test_refuses_a_margin_of_nothing(self) -> None:
        with pytest.raises(ValueError, match="positive difference"):
            noninferiority_p_value(means([1]), means([1]), margin=0)

    def test_rows_needed(self) -> None:
        # science.md 7.2: (z.95 + z.8)^2 psi / m^2
        for margin, discordance, expected in ((0.03, 0.1, 690), (0.02, 0.1, 1550), (0.05, 0.2, 500)):
            needed = rows_needed_for_noninferiority(margin, math.sqrt(discordance))
            assert needed == pytest.approx(expected, rel=0.015)


class TestOpenings:
    def test_factors(self) -> None:
        assert [openings_factor(k) for k in (1, 2, 3, 4, 5)] == [1, 2, 6, 12, 20]
        assert sum(1 / openings_factor(k) for k in range(2, 10_000)) < 1
        with pytest.raises(ValueError, match="found 0 openings"):
            openings_factor(0)

    def test_come_on_top_of_holm(self) -> None:
        assert adjust([0.001, 0.02], num_openings=1) == holm([0.001, 0.02]) == [0.002, 0.02]
        assert adjust([0.001, 0.02, 0.9], num_openings=3) == pytest.approx([0.018, 0.24, 1.0])


class TestRowsNeededForGain:
    # science.md 7.2, exact test
    @pytest.mark.parametrize(
        ("gain", "discordance", "expected"), [(0.03, 0.1, 920), (0.05, 0.2, 658), (0.1, 0.3, 249), (0.2, 0.4, 84)]
    )
    def test_table(self, gain: float, discordance: float, expected: int) -> None:
        assert rows_needed_for_gain(gain, discordance=discordance) == expected
        assert rows_needed_for_gain(-gain, discordance=discordance) == expected

    def test_is_the_inverse_of_the_detectable_gain(self) -> None:
        gain = minimum_detectable_gain(120, discordance=0.25)
        assert gain is not None
        assert rows_needed_for_gain(gain, discordance=0.25) == pytest.approx(120, abs=2)

    def test_extremes(self) -> None:
        assert rows_needed_for_gain(0.0, discordance=0.2) is None
        assert rows_needed_for_gain(0.001, discordance=0.2) == rows_needed(0.001, math.sqrt(0.2 - 1e-6))
        assert rows_needed_for_gain(1.0, discordance=1.0) == 6  # six wins and no loss: p = 2 / 2^6


def test_arrays_of_any_number_type_become_float64() -> None:
    scores = RowScores(np.array([1, 0]), [1, 1])  # type: ignore[arg-type]
    values: FloatArray = scores.denominators
    assert values.dtype == np.float64 and scores.is_binary
