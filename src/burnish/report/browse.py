"""Many test rows to look through: what each can be filtered by, and the worst of each arm."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from burnish.report.arms import arm_indexes, arm_titles, own_name
from burnish.report.examples import ExampleCard, Kind, build_cards, hash_id, row_kinds
from burnish.report.format import format_score
from burnish.report.record import RunRecord, dig, items

MAX_ROWS = 200
"""More of them make a page slow to open; all are in the files of predictions."""
MAX_TOPICS = 100


@dataclass(frozen=True)
class Option:
    """One choice of a filter: the tag that its rows have, its words, and how many of the listed rows have it."""

    tag: str
    text: str
    num_rows: int


@dataclass(frozen=True)
class BrowsedRow:
    """A row with its number on the page and its tags."""

    number: int
    card: ExampleCard
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Worst:
    """The worst rows of an arm: the number of each on the page, its id and its score."""

    title: str
    arm_index: int
    rows: tuple[tuple[int, str, str], ...]


@dataclass(frozen=True)
class Browser:
    """The rows, the filters with their options, and the worst of each arm."""

    rows: tuple[BrowsedRow, ...]
    num_test_rows: int
    filters: tuple[tuple[str, str, tuple[Option, ...]], ...]  # name, label, options
    worst: tuple[Worst, ...]


def build_browser(record: RunRecord) -> Browser | None:
    """All test rows or, of many, the worst of each arm, then those that changed, then others; None without any."""
    ids = _choose_rows(record)
    if not ids:
        return None
    cards = build_cards(record, ids)
    described = {"kind": _kind_tags(cards), "topic": _topic_tags(record, cards), "arm": _arm_tags(record, cards)}
    numbers = {card.id: number for number, card in enumerate(cards, start=1)}
    rows = tuple(
        BrowsedRow(number, card, tuple(tag for tags in described.values() for tag in tags if card.id in tags[tag][1]))
        for number, card in enumerate(cards, start=1)
    )
    labels = {"kind": "What became of it", "topic": "Part", "arm": "Arm"}
    filters = tuple((name, labels[name], _options(tags)) for name, tags in described.items() if tags)
    return Browser(rows, len(row_kinds(record)), filters, _list_worst(record, numbers))


# Of each tag its words, and the ids of the rows that have it.
Tags = dict[str, tuple[str, set[str]]]


def _choose_rows(record: RunRecord) -> list[str]:
    kinds = row_kinds(record)
    if len(kinds) <= MAX_ROWS:
        return list(kinds)
    worst = worst_rows(record)
    in_turn = [row["id"] for rows in zip_longest(*worst.values()) for row in rows if row is not None]
    changed = [id_ for kind in (Kind.WORSE, Kind.BETTER) for id_ in sorted(kinds, key=hash_id) if kinds[id_] is kind]
    wanted = dict.fromkeys(id_ for id_ in (*in_turn, *changed, *sorted(kinds, key=hash_id)) if id_ in kinds)
    chosen = set(list(wanted)[:MAX_ROWS])
    return [id_ for id_ in kinds if id_ in chosen]


def worst_rows(record: RunRecord) -> dict[str, list[Any]]:
    """The worst rows by arm, first those of the one that the run is about."""
    worst = dig(record.evaluation, "errors", "worst") or {}
    own = own_name(record.evaluation)
    return {arm: worst[arm] or [] for arm in sorted(worst, key=lambda arm: arm != own)}


def _kind_tags(cards: Iterable[ExampleCard]) -> Tags:
    ids = _collect((card.label, card.id) for card in sorted(cards, key=lambda card: list(Kind).index(card.kind)))
    return {f"kind-{i}": (label.capitalize(), found) for i, (label, found) in enumerate(ids.items())}


def _topic_tags(record: RunRecord, cards: Iterable[ExampleCard]) -> Tags:
    """Labels of the targets, or fields that the specialist has wrong; and quarters by length."""
    cards = list(cards)
    if dig(record.evaluation, "task") == "classification":
        found = _collect((f"label: {_target(card)}", card.id) for card in cards)
    else:
        found = _collect((f"wrong field: {name}", card.id) for card in cards for name in _wrong_fields(card))
    largest = sorted(found, key=lambda name: -len(found[name]))[:MAX_TOPICS]
    lengths = _collect((f"length: {name}", card.id) for card in cards if (name := _length_slice(record, card)))
    topics = {name: found[name] for name in sorted(largest)} | lengths
    return {f"topic-{i}": (name, ids) for i, (name, ids) in enumerate(topics.items())}


def _target(card: ExampleCard) -> str:
    return card.answers[-1].parts[0].text


def _wrong_fields(card: ExampleCard) -> list[str]:
    """The fields that differ in the specialist's answer, or in that of the last arm where there is no specialist."""
    answers = card.answers[:-1]
    own = next((answer for answer in answers if any(index == 0 for index, _ in answer.arms)), answers[-1])
    return [part.name for part in own.parts if part.is_different and part.name]


def _length_slice(record: RunRecord, card: ExampleCard) -> str | None:
    """The slice of the evaluation in which the length of the question lies."""
    for part in items(record.evaluation, "slices", "slices"):
        limits = re.fullmatch(r"(\d+) to (\d+) characters", str(part["name"]))
        if dig(part, "kind") == "length" and limits and int(limits[1]) <= len(card.question) <= int(limits[2]):
            return str(part["name"])
    return None


def _arm_tags(record: RunRecord, cards: Iterable[ExampleCard]) -> Tags:
    """For each arm the rows that are not fully right, and its worst."""
    titles = arm_titles(record.evaluation)
    listed = {card.id for card in cards}
    wrong = {
        arm: {str(row["id"]) for row in rows if dig(row, "score") is not None and row["score"] < 1} & listed
        for arm, rows in record.predictions.items()
    }
    worst = {arm: {str(row["id"]) for row in rows} & listed for arm, rows in worst_rows(record).items()}
    return {
        **{f"wrong-{i}": (f"{titles[arm]}: not fully right", wrong[arm]) for i, arm in enumerate(wrong)},
        **{f"worst-{i}": (f"{titles.get(arm, arm)}: its worst", worst[arm]) for i, arm in enumerate(worst)},
    }


def _list_worst(record: RunRecord, numbers: dict[str, int]) -> tuple[Worst, ...]:
    titles = arm_titles(record.evaluation)
    indexes = arm_indexes(list(titles))
    found = {
        arm: tuple(
            (numbers[str(row["id"])], str(row["id"]), format_score(dig(row, "score")))
            for row in rows
            if str(row["id"]) in numbers
        )
        for arm, rows in worst_rows(record).items()
    }
    return tuple(Worst(titles.get(arm, arm), indexes.get(arm, 0), rows) for arm, rows in found.items() if rows)


def _options(tags: Tags) -> tuple[Option, ...]:
    return tuple(Option(tag, text, len(ids)) for tag, (text, ids) in tags.items() if ids)


def _collect(pairs: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, id_ in pairs:
        found.setdefault(name, set()).add(id_)
    return found
