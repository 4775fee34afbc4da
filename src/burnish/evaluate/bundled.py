"""The texts that come with burnish to tell what a model keeps: prompts of every kind, and prose.

Each set has two halves, of the same kinds: what training may use, and what only the measurement sees.
"""

import json
from enum import StrEnum
from importlib.resources import files
from typing import Any


class Half(StrEnum):
    """Who may see a row."""

    TRAINING = "training"
    MEASUREMENT = "measurement"


def general_prompts(half: Half, num_prompts: int | None = None) -> list[dict[str, Any]]:
    """Prompts (`id`, `domain`, `prompt`) as people put them to an assistant; the first ones are of every domain."""
    rows = _half("general_prompts.jsonl", half)
    rows.sort(key=lambda row: row["id"][1:][::-1])
    return rows[:num_prompts]


def general_text(half: Half) -> list[dict[str, Any]]:
    """Texts of many kinds (`id`, `kind`, `source`, `text`), of one line to 100 words; both halves have every kind."""
    return _half("general_text.jsonl", half)


def refusal_prompts(half: Half) -> list[dict[str, Any]]:
    """Mild requests that an assistant should decline, each followed by a harmless one that looks like it (`topic`)."""
    return _half("refusal_prompts.jsonl", half)


def instructions(half: Half) -> list[dict[str, Any]]:
    """Prompts with a demand on the form of the answer that can be checked (`check`)."""
    return _half("instructions.jsonl", half)


def off_task_texts(half: Half) -> list[str]:
    """Prompts of every kind, and passages: what few tasks are made of."""
    prompts = [*general_prompts(half), *refusal_prompts(half), *instructions(half)]
    return [*(row["prompt"] for row in prompts), *(row["text"] for row in general_text(half))]


def openings() -> list[dict[str, Any]]:
    """Beginnings of texts of every kind (`text`), from which a base goes on in its own words. For training alone."""
    return _rows("openings.jsonl")


def _half(name: str, half: Half) -> list[dict[str, Any]]:
    return [row for row in _rows(name) if row["half"] == half]


def _rows(name: str) -> list[dict[str, Any]]:
    text = (files("burnish.evaluate") / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n") if line]
