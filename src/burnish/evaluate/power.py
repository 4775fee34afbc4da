"""What a test of this size can show, told before anything is trained."""

from burnish.evaluate.evaluation import ASSUMED_DISCORDANCE
from burnish.evaluate.statistics import minimum_detectable_difference, minimum_detectable_gain

MIN_VERDICT_ROWS = 50
"""With fewer test rows no verdict is promised."""
ASSUMED_SPREAD = 0.3
"""Standard deviation, over rows, of the difference of two arms' graded scores."""


def describe_power(num_test_rows: int, *, is_binary: bool) -> str:
    """A line with the smallest true gain that the test will show; `is_binary`: each row is right or wrong."""
    if is_binary:
        gain = minimum_detectable_gain(num_test_rows, discordance=ASSUMED_DISCORDANCE)
        condition = f"if {ASSUMED_DISCORDANCE:.0%} of them change between right and wrong"
    else:
        gain = minimum_detectable_difference(ASSUMED_SPREAD, num_test_rows)
        condition = f"if the arms' scores of a row differ by {100 * ASSUMED_SPREAD:.0f} points, as a standard deviation"
    rows = "1 row" if num_test_rows == 1 else f"{num_test_rows:,} rows"
    if gain is None or gain > 1:
        line = f"Test: {rows}, too few to show any gain with 80 % probability, {condition}."
    else:
        line = f"Test: {rows}; a true gain of {100 * gain:.1f} points is shown with 80 % probability, {condition}."
    few = (
        f" With fewer than {MIN_VERDICT_ROWS} rows no verdict is promised." if num_test_rows < MIN_VERDICT_ROWS else ""
    )
    return line + few
