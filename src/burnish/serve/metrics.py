"""Counters, gauges and histograms in Prometheus' text format."""

import threading
from collections.abc import Mapping, Sequence
from typing import Protocol

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds of latencies."""
Labels = tuple[tuple[str, str], ...]


class Metric(Protocol):
    """Something that a page of metrics shows."""

    def lines(self) -> list[str]:
        """Its part of the page."""


class Counter:
    """What only grows, by labels."""

    def __init__(self, name: str, help_text: str) -> None:
        self._name, self._help = name, help_text
        self._values: dict[Labels, float] = {}
        self._lock = threading.Lock()

    def add(self, amount: float = 1, **labels: str) -> None:
        """Count `amount` more."""
        key = tuple(sorted(labels.items()))
        with self._lock:
            self._values[key] = self._values.get(key, 0) + amount

    def lines(self) -> list[str]:
        with self._lock:
            values = dict(self._values)
        return sample_lines(self._name, "counter", self._help, values)


class Histogram:
    """How often a number was at most each of some bounds, by labels."""

    def __init__(self, name: str, help_text: str, bounds: Sequence[float] = SECONDS) -> None:
        self._name, self._help, self._bounds = name, help_text, tuple(bounds)
        self._counts: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}
        self._lock = threading.Lock()

    def observe(self, value: float, **labels: str) -> None:
        """Count one number."""
        key = tuple(sorted(labels.items()))
        with self._lock:
            counts = self._counts.setdefault(key, [0] * (len(self._bounds) + 1))
            counts[next((i for i, bound in enumerate(self._bounds) if value <= bound), -1)] += 1
            self._sums[key] = self._sums.get(key, 0.0) + value

    def lines(self) -> list[str]:
        with self._lock:
            counts = {key: list(values) for key, values in self._counts.items()}
            sums = dict(self._sums)
        lines = _head(self._name, "histogram", self._help)
        for key, values in sorted(counts.items()):
            total = 0
            for bound, count in zip((*map(str, self._bounds), "+Inf"), values, strict=True):
                total += count
                lines.append(_sample(f"{self._name}_bucket", (*key, ("le", bound)), total))
            lines += [_sample(f"{self._name}_sum", key, sums[key]), _sample(f"{self._name}_count", key, total)]
        return lines


def sample_lines(name: str, kind: str, help_text: str, values: Mapping[Labels, float]) -> list[str]:
    """The lines of one metric whose values are known."""
    return [*_head(name, kind, help_text), *(_sample(name, key, value) for key, value in sorted(values.items()))]


def _head(name: str, kind: str, help_text: str) -> list[str]:
    return [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}"]


def _sample(name: str, labels: Labels, value: float) -> str:
    inner = ",".join(f'{key}="{_escape(text)}"' for key, text in labels)
    number = repr(int(value) if value == int(value) else value)
    return f"{name}{{{inner}}} {number}" if inner else f"{name} {number}"


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
