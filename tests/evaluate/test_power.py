"""What a test of a size can show is told before training, and no verdict is promised to a small one."""

import pytest

from burnish.evaluate.power import describe_power
from burnish.evaluate.statistics import minimum_detectable_gain


def test_right_or_wrong() -> None:
    gain = minimum_detectable_gain(200, discordance=0.3)
    assert gain is not None
    assert describe_power(200, is_binary=True) == (
        f"Test: 200 rows; a true gain of {100 * gain:.1f} points is shown with 80 % probability, "
        "if 30% of them change between right and wrong."
    )


def test_graded() -> None:
    assert describe_power(100, is_binary=False) == (
        "Test: 100 rows; a true gain of 8.4 points is shown with 80 % probability, if the arms' scores of a row differ "
        "by 30 points, as a standard deviation."
    )


@pytest.mark.parametrize(("num_rows", "is_few"), [(49, True), (50, False)])
@pytest.mark.parametrize("is_binary", [True, False])
def test_no_verdict_is_promised_below_fifty_rows(num_rows: int, is_few: bool, is_binary: bool) -> None:
    line = describe_power(num_rows, is_binary=is_binary)
    assert line.endswith(" With fewer than 50 rows no verdict is promised.") == is_few


@pytest.mark.parametrize("num_rows", [0, 1])
def test_too_few_to_show_anything(num_rows: int) -> None:
    assert "too few to show any gain" in describe_power(num_rows, is_binary=True)
    assert ("too few" in describe_power(num_rows, is_binary=False)) == (num_rows == 0)
