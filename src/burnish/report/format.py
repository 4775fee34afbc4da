"""How burnish spells numbers, on the page and in the terminal alike.

Every function turns None into "not measured": a number that was not measured is never shown as one.
"""

from datetime import UTC, datetime

RECOMMENDATIONS = {
    "ship": "Ship it.",
    "do_not_ship": "Do not ship it.",
    "cannot_tell": "Cannot tell yet.",
    "needs_target": "Better than every simpler way.",
}
NOT_MEASURED = "not measured"
MINUS = "\N{MINUS SIGN}"
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def settled_call(recommendation: str | None, has_target: bool) -> str:
    """The recommendation, where "ship" needs a target: runs of earlier versions said it without."""
    return "needs_target" if recommendation == "ship" and not has_target else recommendation or ""


def format_score(value: float | None, *, is_share: bool = True) -> str:
    """A metric: a share of 0.842 reads "84.2" (percent points); any other metric is a plain number."""
    if value is None:
        return NOT_MEASURED
    return _fixed(100 * value, 1) if is_share else format_number(value)


def format_difference(value: float | None, *, is_share: bool = True) -> str:
    """A difference of two metrics, always with its sign: "+43.2"."""
    if value is None:
        return NOT_MEASURED
    return _signed(100 * value, 1) if is_share else _signed(value, _num_decimals(value))


def format_interval(low: float | None, high: float | None, *, is_share: bool = True, is_signed: bool = False) -> str:
    """An interval of a metric, or, with `is_signed`, of a difference: "81.0 – 87.1"."""
    if low is None or high is None:
        return NOT_MEASURED
    spell = format_difference if is_signed else format_score
    return f"{spell(low, is_share=is_share)} – {spell(high, is_share=is_share)}"


def format_p_value(value: float | None) -> str:
    """A p-value: "p = 0.003", or "p < 0.001" below that."""
    if value is None:
        return NOT_MEASURED
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def format_nats(value: float | None, *, is_signed: bool = True) -> str:
    """Nats per token: a change reads "+0.018", a divergence or a budget (not signed) "0.018"."""
    if value is None:
        return NOT_MEASURED
    return _signed(value, 3) if is_signed else _fixed(value, 3)


def format_nats_interval(low: float | None, high: float | None, *, is_signed: bool = True) -> str:
    """An interval of nats per token: "+0.004 – +0.018"."""
    if low is None or high is None:
        return NOT_MEASURED
    return f"{format_nats(low, is_signed=is_signed)} – {format_nats(high, is_signed=is_signed)}"


def format_percent(value: float | None) -> str:
    """A share with its unit: 0.98 reads "98.0 %"."""
    return NOT_MEASURED if value is None else f"{_fixed(100 * value, 1)} %"


def format_count(value: float | None) -> str:
    """A whole number with thousands separators: "12,345"."""
    return NOT_MEASURED if value is None else _fixed(value, 0)


def format_plural(value: int | None, noun: str, plural: str | None = None) -> str:
    """A count with its noun: "1 row", "12,345 rows"."""
    if value is None:
        return NOT_MEASURED
    return f"{format_count(value)} {noun if value == 1 else plural or noun + 's'}"


def format_number(value: float | None) -> str:
    """A plain number with as many decimals as its size calls for: "0.412", "38.5", "1,204"."""
    if value is None:
        return NOT_MEASURED
    return format_count(value) if isinstance(value, int) else _fixed(value, _num_decimals(value))


def format_duration(seconds: float | None) -> str:
    """How long something took: "0.84 s", "42 s", "3 min 12 s", "1 h 04 min"."""
    if seconds is None:
        return NOT_MEASURED
    if seconds < 9.95:
        return format_latency(seconds)
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60:,} h {minutes % 60:02d} min"


def format_latency(seconds: float | None) -> str:
    """How long one request took: "85 ms", "0.42 s", "12.3 s"."""
    if seconds is None:
        return NOT_MEASURED
    if seconds < 0.0995:
        return f"{1000 * seconds:.1f} ms" if seconds < 0.00995 else f"{1000 * seconds:.0f} ms"
    return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"


def format_per_minute(per_second: float | None) -> str:
    """Answers a minute, of a rate a second: "62", "4.1"."""
    if per_second is None:
        return NOT_MEASURED
    rate = 60 * per_second
    return _fixed(rate, 0 if rate >= 9.95 else 1)


def format_bytes(size_bytes: int | None) -> str:
    """A size of memory or of a file in binary units: "512 B", "1.2 GiB"."""
    if size_bytes is None:
        return NOT_MEASURED
    size, units = float(size_bytes), ["KiB", "MiB", "GiB", "TiB"]
    if size < 1024:
        return f"{size_bytes} B"
    while size >= 1024 and units:
        size, unit = size / 1024, units.pop(0)
    return f"{size:.1f} {unit}"


def format_time(text: str | None) -> str:
    """An ISO 8601 time in UTC for a reader: "21 November 2026, 03:08 UTC"; other text stays as it is."""
    if not text:
        return NOT_MEASURED
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return text
    zone = ""
    if time.tzinfo:
        time, zone = time.astimezone(UTC), " UTC"
    return f"{time.day} {MONTHS[time.month - 1]} {time.year}, {time:%H:%M}{zone}"


def _num_decimals(value: float) -> int:
    size = abs(value)
    return 0 if size >= 1000 else 1 if size >= 10 else 3


def _fixed(value: float, num_decimals: int) -> str:
    text = f"{abs(value):,.{num_decimals}f}"
    is_zero = not text.strip("0.,")  # no minus before a rounded zero
    return text if value >= 0 or is_zero else MINUS + text


def _signed(value: float, num_decimals: int) -> str:
    text = _fixed(value, num_decimals)
    return text if text.startswith(MINUS) or not text.strip("0.,") else f"+{text}"
