"""Learning curves out of fold, and forecasts against known laws, by simulation, and where nothing can be told."""

import json
import math

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats  # type: ignore[import-untyped,unused-ignore]

from burnish.evaluate.more_data import (
    Curve,
    CurvePoint,
    Forecast,
    Outlook,
    find_weak_spots,
    forecast_gain,
    measure_curve,
    nested_subsets,
    score_embeddings,
)
from burnish.evaluate.statistics import IntArray, RowScores

SIZES = (100, 200, 400, 800)


def rows_of(values: npt.ArrayLike) -> RowScores:
    numerators = np.array(values, dtype=np.float64)
    return RowScores(numerators, np.ones(numerators.shape))


def simulate(errors: npt.ArrayLike, num_rows: int, seed: int, sizes: tuple[int, ...] = SIZES) -> Curve:
    """Rows that are wrong with these probabilities, and mostly the same ones at each size: correlation 0.8."""
    chance = np.random.default_rng(seed)
    hardness_N = chance.normal(size=num_rows) * math.sqrt(0.8)
    points = []
    for size, error in zip(sizes, np.asarray(errors), strict=True):
        z_N = hardness_N + chance.normal(size=num_rows) * math.sqrt(0.2)
        points.append(CurvePoint(size, rows_of(z_N > stats.norm.ppf(error))))
    return Curve(tuple(points))


def grow(curve: Curve, times: int = 4, num_test_rows: int | None = None) -> Forecast:
    return forecast_gain(curve, num_rows=800, num_more=800 * (times - 1), num_test_rows=num_test_rows)


class TestForecast:
    @pytest.mark.parametrize(
        ("floor", "scale", "power"), [(0.0, 2.0, 0.5), (0.05, 3.0, 0.6), (0.1, 20.0, 1.0), (0.02, 1.0, 0.3)]
    )
    def test_a_power_law_is_recovered(self, floor: float, scale: float, power: float) -> None:
        """Many rows, so that the shape is all that is uncertain."""
        now, later = (floor + scale * n**-power for n in (800, 3200))
        forecast = grow(simulate([floor + scale * n**-power for n in SIZES], 100_000, seed=1))
        assert forecast.score.low < 1 - later < forecast.score.high
        assert forecast.gain.value == pytest.approx(now - later, abs=0.012)
        assert forecast.gain.low < now - later < forecast.gain.high
        assert forecast.gain.high - forecast.gain.low < 0.08

    def test_intervals_cover_and_say_so_when_there_is_no_gain(self) -> None:
        """Random power laws with 300 held-out rows; nominal 90 %, three standard errors allowed."""
        chance = np.random.default_rng(0)
        num_curves, held, gains_held, tests_held = 150, 0, 0, 0
        for seed in range(num_curves):
            power, floor = chance.uniform(0.2, 1.0), chance.uniform(0, 0.1)
            scale = (chance.uniform(0.15, 0.4) - floor) * 800**power / (800 / 100) ** power
            law = {n: floor + scale * n**-power for n in (*SIZES, 3200)}
            curve = simulate([law[n] for n in SIZES], 300, seed)
            forecast, tested = grow(curve), grow(curve, num_test_rows=100)
            held += forecast.score.low <= 1 - law[3200] <= forecast.score.high
            gains_held += forecast.gain.low <= law[800] - law[3200] <= forecast.gain.high
            tests_held += tested.score.low <= chance.binomial(100, 1 - law[3200]) / 100 <= tested.score.high
        print(f"held: score {held}, gain {gains_held}, test of 100 rows {tests_held} of {num_curves}")
        assert min(held, gains_held, tests_held) >= 0.83 * num_curves

    def test_no_gain_is_called_none(self) -> None:
        outlooks = [grow(simulate([0.2] * 4, 400, seed)).outlook for seed in range(60)]
        assert outlooks.count(Outlook.HELPS) <= 8  # 5 % expected; P(more than 8 of 60) = 0.3 %
        forecast = grow(simulate([0.2] * 4, 20_000, seed=3))
        assert forecast.outlook is Outlook.NO_EVIDENCE
        assert "2,400 more rows: no evidence that more rows help (" in forecast.describe()

    def test_a_gain_in_words_and_as_json(self) -> None:
        forecast = forecast_gain(simulate([0.5, 0.4, 0.32, 0.256], 2000, seed=0), num_rows=800, num_more=200)
        assert forecast.outlook is Outlook.HELPS
        gain = forecast.gain
        expected = f"200 more rows: {100 * gain.value:+.1f} points, 90 % interval {100 * gain.low:.1f} to"
        assert forecast.describe() == f"{expected} {100 * gain.high:.1f}."
        values = json.loads(json.dumps(forecast.to_dict(), allow_nan=False))
        assert (values["outlook"], values["num_more"], values["text"]) == ("helps", 200, forecast.describe())
        assert values["gain"]["low"] == gain.low

    def test_a_falling_score_is_no_evidence(self) -> None:
        assert grow(simulate([0.2, 0.22, 0.25, 0.27], 3000, seed=0)).outlook is Outlook.NO_EVIDENCE

    def test_rows_of_one_group_tell_less(self) -> None:
        single = simulate([0.4, 0.32, 0.26, 0.22], 300, seed=0)
        points = tuple(CurvePoint(p.num_rows, rows_of(np.repeat(p.scores.numerators, 5))) for p in single.points)
        copied, grouped = grow(Curve(points)), grow(Curve(points, np.repeat(np.arange(300), 5)))
        assert _width(copied) < 0.9 * _width(grouped)
        assert _width(grouped) == pytest.approx(_width(grow(single)), rel=0.1)

    def test_runs_that_scatter_tell_less(self) -> None:
        """Two runs at each size that lie apart by far more than the rows explain."""
        smooth = simulate([0.4, 0.4, 0.3, 0.3, 0.22, 0.22], 5000, 0, (100, 100, 300, 300, 800, 800))
        rough = simulate([0.36, 0.44, 0.34, 0.26, 0.2, 0.24], 5000, 0, (100, 100, 300, 300, 800, 800))
        assert _width(grow(rough)) > 1.5 * _width(grow(smooth))

    @pytest.mark.parametrize(
        ("curve", "reason"),
        [
            (simulate([0.3, 0.2], 200, 0, (100, 200)), "measured at 2 sizes, and a curve needs 3"),
            (simulate([0.4, 0.3, 0.2], 200, 0, (100, 100, 200)), "measured at 2 sizes"),
            (simulate([0.3, 0.2, 0.1, 0.1], 20, 0), "20 held-out rows are too few; 30 are needed"),
            (simulate([0.0] * 4, 200, 0), "no held-out row is wrong any more"),
            (simulate([1.0] * 4, 200, 0), "every held-out row is wrong"),
            (simulate([0.4, 0.3, 0.2, 0.1], 200, 0, (10, 20, 40, 80)), "3,200 rows are more than 8 times the 80"),
            (Curve(tuple(CurvePoint(n, RowScores(np.zeros(40), np.zeros(40))) for n in SIZES)), "not defined"),
            (Curve(()), "measured at 0 sizes"),
        ],
    )
    def test_what_cannot_be_told_is_no_number(self, curve: Curve, reason: str) -> None:
        forecast = grow(curve)
        assert forecast.outlook is Outlook.CANNOT_TELL
        assert forecast.describe().startswith("Cannot tell whether more rows help: ") and reason in forecast.describe()
        assert math.isnan(forecast.gain.value) and forecast.to_dict()["score"]["low"] is None

    def test_points_must_score_the_same_rows_as_shares(self) -> None:
        with pytest.raises(ValueError, match=r"\[2, 3\] held-out rows\. Score the same rows"):
            Curve((CurvePoint(1, rows_of([1, 0])), CurvePoint(2, rows_of([1, 0, 1]))))
        with pytest.raises(ValueError, match=r"\[2, 3\] held-out rows"):
            Curve((CurvePoint(1, rows_of([1, 0])),), np.arange(3))
        with pytest.raises(ValueError, match="above 1"):
            Curve((CurvePoint(1, rows_of([2, 3])),))


class TestMeasuredCurve:
    def test_each_row_is_held_out_once_and_groups_stay_together(self) -> None:
        labels = ["a"] * 60 + ["b"] * 30 + ["c"] * 10
        groups = [n // 3 for n in range(100)]
        seen: list[tuple[set[int], set[int]]] = []

        def score(train: IntArray, held: IntArray) -> RowScores:
            seen.append((set(train.tolist()), set(held.tolist())))
            assert not {groups[i] for i in train} & {groups[i] for i in held}
            return rows_of(held % 2)

        curve = measure_curve(score, labels, groups=groups)
        assert len(seen) == 20
        for fold in range(5):
            trains, helds = zip(*seen[4 * fold : 4 * fold + 4], strict=True)
            assert trains[0] < trains[1] < trains[2] < trains[3] and len({frozenset(held) for held in helds}) == 1
            assert trains[3] | helds[0] == set(range(100))
            shares = [sum(labels[i] == "a" for i in train) / len(train) for train in trains[1:]]
            assert all(abs(share - 0.6) <= 0.1 for share in shares)
        assert sorted(i for _, held in seen[::4] for i in held) == list(range(100))
        assert [point.num_rows for point in curve.points] == [10, 20, 40, 80]
        assert (curve.points[0].scores.numerators == np.arange(100) % 2).all()

    def test_subsets_are_nested_and_stratified_and_seeded(self) -> None:
        labels = ["rare"] * 8 + ["usual"] * 152
        subsets = [set(rows.tolist()) for rows in nested_subsets(labels, seed=1)]
        assert [len(rows) for rows in subsets] == [20, 40, 80, 160]
        assert subsets[0] < subsets[1] < subsets[2] < subsets[3]
        assert [len(rows & set(range(8))) for rows in subsets] == [1, 2, 4, 8]
        assert subsets[1] == set(nested_subsets(labels, seed=1)[1].tolist())
        assert subsets[1] != set(nested_subsets(labels, seed=2)[1].tolist())

    @pytest.mark.parametrize("num_rows", [0, 1, 2, 5, 40])
    def test_few_rows_or_one_group_or_one_label(self, num_rows: int) -> None:
        scorer = score_embeddings(np.ones((num_rows, 2), dtype=np.float32), np.zeros(num_rows, dtype=np.int64))
        for groups in (None, ["all"] * num_rows):
            curve = measure_curve(scorer, ["a"] * num_rows, groups=groups)
            assert forecast_gain(curve, num_rows=num_rows, num_more=num_rows).outlook is Outlook.CANNOT_TELL

    def test_embeddings_of_separate_clusters_are_learned(self) -> None:
        chance = np.random.default_rng(0)
        labels_N = np.arange(240) % 4
        embeddings_ND = (np.eye(4)[labels_N] + 0.45 * chance.normal(size=(240, 4))).astype(np.float32)
        curve = measure_curve(score_embeddings(embeddings_ND, labels_N), labels_N.tolist())
        values = [point.scores.value for point in curve.points]
        assert 0.5 < values[0] <= values[-1] < 1
        rows = curve.to_dict()
        assert [row["num_rows"] for row in rows] == [24, 48, 96, 192]
        assert rows[-1]["score"]["low"] < rows[-1]["score"]["value"] == values[-1]


class TestWeakSpots:
    def test_the_largest_share_of_the_errors_comes_first(self) -> None:
        names = ["pay"] * 4 + ["card"] * 4 + ["top-up"] * 2
        spots = find_weak_spots(names, rows_of([1, 1, 1, 0, 0, 0, 0, 1, 1, 1]), num_rows={"card": 7})
        assert [(s.name, s.num_rows, s.num_held_rows, s.score, s.share_of_errors) for s in spots] == [
            ("card", 7, 4, 0.25, 0.75),
            ("pay", 0, 4, 0.75, 0.25),
        ]
        assert find_weak_spots(names, rows_of([0] * 10), limit=1)[0].to_dict() == {
            "name": "card",
            "num_rows": 4,
            "num_held_rows": 4,
            "score": 0.0,
            "share_of_errors": 0.4,
        }

    def test_graded_rows_count_by_what_they_lack(self) -> None:
        scores = RowScores(np.array([4.0, 1.0, 0.0]), np.array([4.0, 2.0, 3.0]))
        assert [(s.name, s.share_of_errors) for s in find_weak_spots(["a", "b", "c"], scores)] == [
            ("c", 0.75),
            ("b", 0.25),
        ]

    def test_nothing_wrong_is_no_weak_spot(self) -> None:
        assert find_weak_spots(["a", "b"], rows_of([1, 1])) == find_weak_spots([], rows_of([])) == []


def _width(forecast: Forecast) -> float:
    return forecast.gain.high - forecast.gain.low
