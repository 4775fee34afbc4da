"""Ten test rows side by side, chosen by a rule and not by hand."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from itertools import zip_longest

from burnish.report.answers import Answer, build_answer, build_target
from burnish.report.format import format_count
from burnish.report.plots import arm_indexes
from burnish.report.questions import best_prompt
from burnish.report.record import SPECIALIST, RunRecord, dig, items

NUM_EXAMPLES = 10
MARGIN = 1e-9


class Kind(StrEnum):
    """What became of a test row's score from the best prompt to the specialist."""

    BETTER = "better"
    WORSE = "worse"
    BOTH_WRONG = "both wrong"
    BOTH_RIGHT = "both right"


# How many of each are wished for; a kind that has too few leaves its places to the others in this order.
QUOTA = {Kind.BETTER: 4, Kind.WORSE: 2, Kind.BOTH_WRONG: 2, Kind.BOTH_RIGHT: 2}


@dataclass(frozen=True)
class ExampleCard:
    """One test row with every arm's answer and the target."""

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
    kinds = _kinds(record)
    pools = {kind: [id_ for id_ in sorted(kinds, key=_hash) if kinds[id_] is kind] for kind in QUOTA}
    chosen = {kind: pools[kind][: QUOTA[kind]] for kind in QUOTA}
    spare = [(kind, id_) for kind in QUOTA for id_ in pools[kind][QUOTA[kind] :]]
    for kind, id_ in spare[: NUM_EXAMPLES - sum(map(len, chosen.values()))]:
        chosen[kind].append(id_)
    rounds = zip_longest(*chosen.values())  # one of each kind in turn
    return tuple(_build_card(record, id_, kinds[id_]) for ids in rounds for id_ in ids if id_ is not None)


def count_kinds(record: RunRecord) -> tuple[KindCount, ...]:
    """How many of the test rows are of each kind; empty where two arms cannot be compared."""
    kinds = list(_kinds(record).values())
    first, second = _compared_arms(record)
    if not kinds or first == second:
        return ()
    titles = _titles(record)
    before, after = titles[first], titles[second]
    meanings = {
        Kind.BETTER: f"{after} scores higher than {before}",
        Kind.WORSE: f"{after} scores lower than {before}",
        Kind.BOTH_WRONG: "same score, not fully right",
        Kind.BOTH_RIGHT: "both fully right",
    }
    return tuple(KindCount(kind, format_count(kinds.count(kind)), meanings[kind]) for kind in QUOTA)


def _kinds(record: RunRecord) -> dict[str, Kind]:
    """The kind of each row that both compared arms answered and that has a score in both."""
    first, second = _compared_arms(record)
    before = {row["id"]: row["score"] for row in record.predictions.get(first, ()) if dig(row, "score") is not None}
    after = {row["id"]: row["score"] for row in record.predictions.get(second, ()) if dig(row, "score") is not None}
    return {id_: _kind_of(before[id_], after[id_]) for id_ in before if id_ in after}


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
    """The best prompt's arm and the specialist's; where one is missing, the other stands for both."""
    arms = list(record.predictions)
    prompts = [arm for arm in arms if arm != SPECIALIST]
    after = SPECIALIST if SPECIALIST in arms else (prompts or [SPECIALIST])[-1]
    best = dig(best_prompt(record.evaluation), "name")
    before = best if best in prompts else (prompts or [after])[0]
    return before, after


def _titles(record: RunRecord) -> dict[str, str]:
    return {arm["name"]: str(arm.get("title") or arm["name"]) for arm in items(record.evaluation, "arms")}


def _build_card(record: RunRecord, id_: str, kind: Kind) -> ExampleCard:
    rows = {arm: row for arm, rows in record.predictions.items() for row in rows if row["id"] == id_}
    first, second = _compared_arms(record)
    shown, label = rows[second], _label(kind, rows[first]["score"], rows[second]["score"])
    prompt = tuple((str(dig(m, "role") or ""), str(dig(m, "content") or "")) for m in items(shown, "prompt"))
    asked = [content for role, content in prompt if role == "user"] or [content for _, content in prompt] or [""]
    titles = _titles(record)
    indexes = arm_indexes(list(titles))
    target = str(shown.get("target") or "")
    answers = [build_answer(row, titles[arm], indexes[arm]) for arm, row in rows.items()]
    return ExampleCard(str(id_), kind, label, asked[-1], prompt, (*answers, build_target(target)))


def _hash(id_: str) -> str:
    return hashlib.sha256(str(id_).encode()).hexdigest()
