"""Test rows side by side: ten that are chosen by a rule and not by hand, and those that are worth browsing."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import zip_longest

from burnish.report.answers import Answer, build_answer, build_target
from burnish.report.arms import arm_indexes, arm_titles, best_other, own_name
from burnish.report.format import format_count
from burnish.report.record import Json, RunRecord, dig, items

NUM_EXAMPLES = 10
MARGIN = 1e-9


class Kind(StrEnum):
    """What became of a test row's score from the best other arm to the specialist."""

    BETTER = "better"
    WORSE = "worse"
    BOTH_WRONG = "both wrong"
    BOTH_RIGHT = "both right"


# How many of each are wished for; a kind that has too few leaves its places to the others in this order.
QUOTA = {Kind.BETTER: 4, Kind.WORSE: 2, Kind.BOTH_WRONG: 2, Kind.BOTH_RIGHT: 2}


@dataclass(frozen=True)
class ExampleCard:
    """One test row with every arm's answer and the target; arms that answer alike share an answer."""

    id: str
    kind: Kind
    label: str  # the kind in a word that fits this row: "fixed" or "improved"
    question: str  # the last message of the user
    prompt: tuple[tuple[str, str], ...]  # role and content of each message
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class KindCount:
    """How often a kind occurs among all the test rows."""

    kind: Kind
    count: str
    meaning: str


def choose_examples(record: RunRecord) -> tuple[ExampleCard, ...]:
    """Ten test rows, a mix of the four kinds; inside a kind the hash of the row's id decides."""
    kinds = row_kinds(record)
    pools = {kind: [id_ for id_ in sorted(kinds, key=hash_id) if kinds[id_] is kind] for kind in QUOTA}
    chosen = {kind: pools[kind][: QUOTA[kind]] for kind in QUOTA}
    spare = [(kind, id_) for kind in QUOTA for id_ in pools[kind][QUOTA[kind] :]]
    for kind, id_ in spare[: NUM_EXAMPLES - sum(map(len, chosen.values()))]:
        chosen[kind].append(id_)
    rounds = zip_longest(*chosen.values())  # one of each kind in turn
    return build_cards(record, [id_ for ids in rounds for id_ in ids if id_ is not None])


def build_cards(record: RunRecord, ids: Iterable[str]) -> tuple[ExampleCard, ...]:
    """The cards of these rows, in their order."""
    kinds = row_kinds(record)
    by_id = {arm: {row["id"]: row for row in rows} for arm, rows in record.predictions.items()}
    return tuple(
        _build_card(record, id_, kinds[id_], {arm: rows[id_] for arm, rows in by_id.items() if id_ in rows})
        for id_ in ids
    )


def count_kinds(record: RunRecord) -> tuple[KindCount, ...]:
    """How many of the test rows are of each kind; empty where two arms cannot be compared."""
    kinds = list(row_kinds(record).values())
    first, second = _compared_arms(record)
    if not kinds or first == second:
        return ()
    titles = arm_titles(record.evaluation)
    before, after = titles[first], titles[second]
    meanings = {
        Kind.BETTER: f"{after} scores higher than {before}",
        Kind.WORSE: f"{after} scores lower than {before}",
        Kind.BOTH_WRONG: "same score, not fully right",
        Kind.BOTH_RIGHT: "both fully right",
    }
    return tuple(KindCount(kind, format_count(kinds.count(kind)), meanings[kind]) for kind in QUOTA)


def row_kinds(record: RunRecord) -> dict[str, Kind]:
    """The kind of each row that both compared arms answered and that has a score in both."""
    first, second = _compared_arms(record)
    before = {row["id"]: row["score"] for row in record.predictions.get(first, ()) if dig(row, "score") is not None}
    after = {row["id"]: row["score"] for row in record.predictions.get(second, ()) if dig(row, "score") is not None}
    return {id_: _kind_of(before[id_], after[id_]) for id_ in before if id_ in after}


def hash_id(id_: str) -> str:
    """An order of the rows that nobody chose."""
    return hashlib.sha256(str(id_).encode()).hexdigest()


def _kind_of(before: float, after: float) -> Kind:
    if abs(after - before) > MARGIN:
        return Kind.BETTER if after > before else Kind.WORSE
    return Kind.BOTH_RIGHT if after >= 1 - MARGIN else Kind.BOTH_WRONG


def _label(kind: Kind, before: float, after: float) -> str:
    if kind is Kind.BETTER:
        return "fixed" if after >= 1 - MARGIN else "improved"
    if kind is Kind.WORSE:
        return "broken" if before >= 1 - MARGIN else "worse"
    return "equal, partly right" if 0 < after < 1 - MARGIN else kind.value


def _compared_arms(record: RunRecord) -> tuple[str, str]:
    """The best other arm and the specialist; where one is missing, the other stands for both."""
    arms, own = list(record.predictions), own_name(record.evaluation)
    others = [arm for arm in arms if arm != own]
    after = own if own in arms else (others or [own])[-1]
    best = dig(best_other(record.evaluation), "name")
    before = best if best in others else (others or [after])[0]
    return before, after


def _build_card(record: RunRecord, id_: str, kind: Kind, rows: dict[str, Json]) -> ExampleCard:
    first, second = _compared_arms(record)
    shown, label = rows[second], _label(kind, rows[first]["score"], rows[second]["score"])
    prompt = tuple((str(dig(m, "role") or ""), str(dig(m, "content") or "")) for m in items(shown, "prompt"))
    asked = [content for role, content in prompt if role == "user"] or [content for _, content in prompt] or [""]
    target = build_target(str(shown.get("target") or ""))
    return ExampleCard(str(id_), kind, label, asked[-1], prompt, (*_group_answers(record, rows), target))


def _group_answers(record: RunRecord, rows: dict[str, Json]) -> list[Answer]:
    """An answer for each different prediction, in the order of the arms."""
    titles = arm_titles(record.evaluation)
    indexes = arm_indexes(list(titles))
    groups: dict[tuple[str, float | None], list[str]] = {}
    for arm, row in rows.items():
        groups.setdefault((str(row.get("prediction") or ""), row.get("score")), []).append(arm)
    return [build_answer(rows[arms[0]], [(indexes[arm], titles[arm]) for arm in arms]) for arms in groups.values()]
