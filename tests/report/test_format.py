"""The spelling of numbers, which page and terminal share."""

import subprocess
import sys

import pytest

from burnish.report import format as spelling
from burnish.report.format import NOT_MEASURED


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (spelling.format_score(0.8421), "84.2"),
        (spelling.format_score(1), "100.0"),
        (spelling.format_score(2.3141, is_share=False), "2.314"),
        (spelling.format_difference(0.4321), "+43.2"),
        (spelling.format_difference(-0.0049), "−0.5"),
        (spelling.format_difference(-0.0001), "0.0"),
        (spelling.format_difference(12.04, is_share=False), "+12.0"),
        (spelling.format_interval(0.81, 0.871), "81.0 – 87.1"),
        (spelling.format_interval(-0.01, 0.02, is_signed=True), "−1.0 – +2.0"),
        (spelling.format_p_value(0.0031), "p = 0.003"),
        (spelling.format_p_value(0.00099), "p < 0.001"),
        (spelling.format_p_value(1.0), "p = 1.000"),
        (spelling.format_nats(0.0179), "+0.018"),
        (spelling.format_nats(-0.0179), "−0.018"),
        (spelling.format_nats(0.02, is_signed=False), "0.020"),
        (spelling.format_nats_interval(0.004, 0.018), "+0.004 – +0.018"),
        (spelling.format_percent(0.98), "98.0 %"),
        (spelling.format_count(12345), "12,345"),
        (spelling.format_count(1184.3), "1,184"),
        (spelling.format_plural(1, "row"), "1 row"),
        (spelling.format_plural(12345, "row"), "12,345 rows"),
        (spelling.format_number(7), "7"),
        (spelling.format_number(0.4123), "0.412"),
        (spelling.format_number(38.25), "38.2"),
        (spelling.format_number(-1204.0), "−1,204"),
        (spelling.format_duration(0.84), "0.84 s"),
        (spelling.format_duration(59.4), "59 s"),
        (spelling.format_duration(59.6), "1 min 00 s"),
        (spelling.format_duration(192), "3 min 12 s"),
        (spelling.format_duration(3599.7), "1 h 00 min"),
        (spelling.format_duration(3840), "1 h 04 min"),
        (spelling.format_latency(0.0042), "4.2 ms"),
        (spelling.format_latency(0.085), "85 ms"),
        (spelling.format_latency(0.0999), "0.10 s"),
        (spelling.format_latency(12.34), "12.3 s"),
        (spelling.format_bytes(512), "512 B"),
        (spelling.format_bytes(1931000000), "1.8 GiB"),
        (spelling.format_time("2026-11-21T05:08:00+02:00"), "21 November 2026, 03:08 UTC"),
        (spelling.format_time("2026-11-21T03:08:00Z"), "21 November 2026, 03:08 UTC"),
        (spelling.format_time("yesterday"), "yesterday"),
    ],
)
def test_a_number_is_spelled_as_agreed(text: str, expected: str) -> None:
    assert text == expected


def test_what_was_not_measured_says_so_in_every_function() -> None:
    spelled = [
        spelling.format_score(None),
        spelling.format_difference(None),
        spelling.format_interval(0.1, None),
        spelling.format_p_value(None),
        spelling.format_nats(None),
        spelling.format_nats_interval(None, 0.1),
        spelling.format_percent(None),
        spelling.format_count(None),
        spelling.format_plural(None, "row"),
        spelling.format_number(None),
        spelling.format_duration(None),
        spelling.format_latency(None),
        spelling.format_bytes(None),
        spelling.format_time(None),
    ]
    assert set(spelled) == {NOT_MEASURED}


def test_the_terminal_may_import_it_without_anything_heavy() -> None:
    heavy = ("matplotlib", "jinja2", "numpy", "torch")
    code = f"import burnish.report.format, sys; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
