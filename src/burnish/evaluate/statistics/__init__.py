"""Is the gain real? Intervals, paired tests and power for scores that are ratios of sums over rows."""

from burnish.evaluate.statistics.bootstrap import bootstrap_interval
from burnish.evaluate.statistics.confidence import ConfidenceInterval
from burnish.evaluate.statistics.corrections import adjust, holm, openings_factor
from burnish.evaluate.statistics.intervals import logit_interval, score_interval, wilson_interval
from burnish.evaluate.statistics.kinds import interval_over_kinds, score_by_kind
from burnish.evaluate.statistics.noninferiority import noninferiority_p_value
from burnish.evaluate.statistics.paired import PairedComparison, compare_paired, difference_interval, tango_interval
from burnish.evaluate.statistics.power import (
    design_effect,
    minimum_detectable_difference,
    minimum_detectable_gain,
    rows_needed,
    rows_needed_for_gain,
    rows_needed_for_noninferiority,
)
from burnish.evaluate.statistics.scores import FloatArray, IntArray, RowScores, number_groups, paired_sd

__all__ = [
    "ConfidenceInterval",
    "FloatArray",
    "IntArray",
    "PairedComparison",
    "RowScores",
    "adjust",
    "bootstrap_interval",
    "compare_paired",
    "design_effect",
    "difference_interval",
    "holm",
    "interval_over_kinds",
    "logit_interval",
    "minimum_detectable_difference",
    "minimum_detectable_gain",
    "noninferiority_p_value",
    "number_groups",
    "openings_factor",
    "paired_sd",
    "rows_needed",
    "rows_needed_for_gain",
    "rows_needed_for_noninferiority",
    "score_by_kind",
    "score_interval",
    "tango_interval",
    "wilson_interval",
]
