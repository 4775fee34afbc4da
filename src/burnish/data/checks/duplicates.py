"""Rows that say what another row says: copies, near copies, and rows that contradict each other."""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

import numpy as np
import numpy.typing as npt
from rapidfuzz import fuzz
from rapidfuzz.distance import Levenshtein

from burnish.conversation import Role
from burnish.data.checks.clusters import cluster
from burnish.data.checks.folding import Words, fold, is_telling, names_in
from burnish.data.checks.near import find_near_texts
from burnish.data.example import Example
from burnish.data.finding import Check, Finding, Severity
from burnish.data.nested import Fields, Leaf, Node, build_tree
from burnish.data.texts import json_in

SIMILAR_MEANING = 0.95
"""Cosine of the embeddings of two questions that mean the same."""
MIN_FREE_WORDS = 13
"""An answer of fewer words is a decision, such as a label, of which only one is right."""
_SAME_FREE_ANSWER = 90.0
_MAX_COMPARED = 20
_SIMILAR_BLOCK = 1024
_SHOWN = 60

DUPLICATE_ROW = Check(
    "duplicate_row",
    Severity.WARNING,
    "the same question and answer as an earlier row",
    "Remove it, unless it is there twice on purpose; copies stay on one side of the split.",
)
NEAR_DUPLICATE = Check(
    "near_duplicate",
    Severity.WARNING,
    "an earlier row with the same answer, but for case, punctuation, spacing or a word",
    "Keep it if people really ask both ways; near copies stay on one side of the split.",
)
CONFLICTING_LABEL = Check(
    "conflicting_label",
    Severity.WARNING,
    "the same question has another answer elsewhere",
    "Decide which answer is right and correct or remove the others.",
)
SEVERAL_ANSWERS = Check(
    "several_answers",
    Severity.NOTE,
    "the same question is answered in several ways",
    "Fine where all of them are good; else keep the best one.",
)
IN_TRAIN = Check(
    "in_train",
    Severity.WARNING,
    "a held-out row that is also in train",
    "Nothing to do: the copy is left out of train. Better remove it from one of the files.",
)
NEAR_IN_TRAIN = Check(
    "near_in_train",
    Severity.WARNING,
    "a held-out row that is also in train, but for case, punctuation, spacing or a word",
    "Nothing to do: the near copy is left out of train. Better remove it from one of the files.",
)
IN_TRAIN_OTHER_LABEL = Check(
    "in_train_other_label",
    Severity.WARNING,
    "a held-out row whose question is in train with another answer",
    "Decide which answer is right; the row of train is left out of train.",
)
GROUP_IN_TRAIN = Check(
    "group_in_train",
    Severity.WARNING,
    "a held-out row whose group is also in train",
    "Nothing to do: the group's rows are left out of train. Better give each group to one file.",
)
SIMILAR_QUESTION = Check(
    "similar_question",
    Severity.NOTE,
    "an earlier row with the same answer that means the same in other words",
    "Fine in train; where one of the two is in the test, its score flatters.",
)


def check_duplicates(examples: Sequence[Example]) -> list[Finding]:
    """The rows that copy an earlier row, exactly or nearly; one finding a row at most."""
    rows = _compared(examples)
    near, seen = _near_texts(rows), _Seen()
    copies: dict[Hashable, _Compared] = {}
    findings = []
    for row in rows:
        first = copies.setdefault(row.record, row)
        if first is not row:
            findings.append(_related(DUPLICATE_ROW, row, first, f"the same question and answer as {first.example.id}."))
        elif earlier := seen.matches(row, near):
            findings.append(_related(NEAR_DUPLICATE, row, earlier[0], f"nearly the same as {earlier[0].example.id}."))
        seen.add(row)
    return findings


def check_conflicts(examples: Sequence[Example]) -> list[Finding]:
    """The rows whose question, after the same instruction, has another answer elsewhere; each names all the others."""
    by_question: dict[Hashable, list[_Compared]] = defaultdict(list)
    for row in _compared(examples):
        by_question[_system_of(row.example), row.asked].append(row)
    findings = []
    for rows in by_question.values():
        answers = {row.answer for row in rows}
        if len(answers) > 1:
            is_free = min(len(answer) for answer in answers) >= MIN_FREE_WORDS
            findings += [_contradicted(row, rows, SEVERAL_ANSWERS if is_free else CONFLICTING_LABEL) for row in rows]
    return findings


def check_leaks(held_out: Sequence[Example], train: Sequence[Example]) -> list[Finding]:
    """The held-out rows that a row of train gives away; one finding a row, the gravest kind."""
    rows, known = _compared(held_out), _compared(train)
    near, seen = _near_texts([*known, *rows]), _Seen()
    records: dict[Hashable, _Compared] = {}
    questions: dict[Hashable, _Compared] = {}
    groups: dict[str | None, _Compared] = {}
    for row in known:
        seen.add(row)
        records.setdefault(row.record, row)
        questions.setdefault(row.question, row)
        if row.example.group is not None:
            groups.setdefault(row.example.group, row)
    findings = []
    for row in rows:
        if other := records.get(row.record):
            findings.append(_related(IN_TRAIN, row, other, f"also in train, as {other.example.id}."))
        elif matches := seen.matches(row, near):
            said = f"nearly the same as {matches[0].example.id}, which is in train."
            findings.append(_related(NEAR_IN_TRAIN, row, matches[0], said))
        elif other := questions.get(row.question):
            said = f"answered by {_short(row)}, but {other.example.id}, in train, answers {_short(other)}."
            findings.append(_related(IN_TRAIN_OTHER_LABEL, row, other, said))
        elif other := groups.get(row.example.group):
            said = f"of group {row.example.group!r}, as is {other.example.id} in train."
            findings.append(_related(GROUP_IN_TRAIN, row, other, said))
    return findings


def check_similar(
    examples: Sequence[Example], embeddings_ND: npt.NDArray[np.float32], *, threshold: float = SIMILAR_MEANING
) -> list[Finding]:
    """The rows that mean the same as an earlier row with the same answer, by embeddings of what is asked.

    `embeddings_ND` are N rows of unit length. Questions that are a word apart are left to `check_duplicates`, and those
    that differ in a number, a negation or a name are others.
    """
    rows = _compared(examples)
    names = names_in(example.asked for example in examples)
    findings = []
    for i, earlier in _similar_pairs(embeddings_ND, threshold):
        row = rows[i]
        same = (rows[j] for j in earlier if _agree(row.answer, rows[j].answer))
        if other := next((other for other in same if _is_reworded(row.asked, other.asked, names)), None):
            findings.append(_related(SIMILAR_QUESTION, row, other, f"means the same as {other.example.id}."))
    return findings


def cluster_copies(examples: Sequence[Example]) -> list[int]:
    """For each example the first one that belongs with it: of its group, or asked (nearly) the same.

    Questions that are equal when folded belong together whatever their answers are; near ones if their answers agree.
    """
    rows = _compared(examples)
    near, seen = _near_texts(rows), _Seen()
    pairs: list[tuple[int, int]] = []
    first: dict[Hashable, int] = {}
    for row in rows:
        pairs += [(match.position, row.position) for match in seen.matches(row, near)]
        pairs.append((first.setdefault(("asks", row.asked), row.position), row.position))
        if row.example.group is not None:
            pairs.append((first.setdefault(("group", row.example.group), row.position), row.position))
        seen.add(row)
    return cluster(len(rows), pairs)


@dataclass(frozen=True, eq=False)
class _Compared:
    """An example with what is compared of it."""

    position: int
    example: Example
    asked: Words
    answer: Words

    @property
    def record(self) -> Hashable:
        """Equal for exact copies; the instruction does not count."""
        return self.example.asked, _answer_of(self.example), self.example.rejected

    @property
    def question(self) -> Hashable:
        """Equal where one right answer is expected, since the instruction may call for another one."""
        return _system_of(self.example), self.asked


class _Seen:
    """Rows by folded question and answer, the first of each."""

    def __init__(self) -> None:
        self._rows: dict[Words, dict[Words, _Compared]] = defaultdict(dict)

    def add(self, row: _Compared) -> None:
        self._rows[row.asked].setdefault(row.answer, row)

    def matches(self, row: _Compared, near: Mapping[Words, Sequence[Words]]) -> list[_Compared]:
        """For each near text the row of it whose answer agrees, in the order of the file."""
        found = (self._match(words, row.answer) for words in (row.asked, *near.get(row.asked, ())))
        return sorted((match for match in found if match), key=lambda match: match.position)

    def _match(self, asked: Words, answer: Words) -> _Compared | None:
        by_answer = self._rows.get(asked, {})
        if answer in by_answer or len(answer) < MIN_FREE_WORDS:
            return by_answer.get(answer)
        return next((row for other, row in islice(by_answer.items(), _MAX_COMPARED) if _agree(answer, other)), None)


def _compared(examples: Sequence[Example]) -> list[_Compared]:
    return [_Compared(i, e, fold(e.asked), _fold_answer(_answer_of(e))) for i, e in enumerate(examples)]


def _near_texts(rows: Sequence[_Compared]) -> Mapping[Words, Sequence[Words]]:
    """The other texts that each text is near to."""
    return _near_to_each(tuple(dict.fromkeys(row.asked for row in rows)), names_in(row.example.asked for row in rows))


# The check of copies, the folds that judge labels and the split look at the same rows.
@lru_cache(maxsize=2)
def _near_to_each(texts: tuple[Words, ...], names: frozenset[str]) -> Mapping[Words, Sequence[Words]]:
    near: dict[Words, list[Words]] = {text: [] for text in texts}
    for i, j in find_near_texts(texts, names):
        near[texts[i]].append(texts[j])
        near[texts[j]].append(texts[i])
    return near


def _agree(one: Words, other: Words) -> bool:
    """Whether two answers say the same; long ones may differ in a tenth."""
    if one == other or min(len(one), len(other)) < MIN_FREE_WORDS:
        return one == other
    return fuzz.ratio(one, other, score_cutoff=_SAME_FREE_ANSWER) > 0


def _similar_pairs(embeddings_ND: npt.NDArray[np.float32], threshold: float) -> Iterator[tuple[int, list[int]]]:
    """For each row that has any, the earlier rows whose cosine is at least `threshold`."""
    for start in range(0, len(embeddings_ND), _SIMILAR_BLOCK):
        block_BD = embeddings_ND[start : start + _SIMILAR_BLOCK]
        cosine_BN = block_BD @ embeddings_ND[: start + len(block_BD)].T
        for i, cosines_N in enumerate(cosine_BN, start=start):
            if len(earlier := np.flatnonzero(cosines_N[:i] >= threshold)):
                yield i, earlier.tolist()


def _is_reworded(one: Words, other: Words, names: Set[str]) -> bool:
    is_more_than_a_word = Levenshtein.distance(one, other, score_cutoff=1) > 1
    return is_more_than_a_word and not any(is_telling(word) or word in names for word in set(one) ^ set(other))


def _contradicted(row: _Compared, rows: Sequence[_Compared], check: Check) -> Finding:
    others = [other for other in rows if other.answer != row.answer]
    said = f"answered by {_short(row)}, but {others[0].example.id} answers {_short(others[0])}"
    more = f" (and {len(others) - 1} more)" if len(others) > 1 else ""
    return check.found(f"{said}{more}.", row.example.id, [other.example.id for other in others])


def _related(check: Check, row: _Compared, other: _Compared, said: str) -> Finding:
    return check.found(said, row.example.id, [other.example.id])


def _fold_answer(text: str) -> Words:
    """The words of an answer; of JSON those of its keys and values, in one order, lists in brackets."""
    value = json_in(text)
    return fold(text) if value is None else tuple(_words_of(build_tree(value)))


def _words_of(node: Node | None) -> Iterator[str]:
    if isinstance(node, Leaf):
        yield from fold(node.text) if node.kind == "text" else (node.text,)
    elif isinstance(node, Fields):
        for key, part in node.parts:
            yield from (*fold(key), *_words_of(part))
    elif node is not None:
        yield "["
        for part in node.parts:
            yield from ("[", *_words_of(part), "]")
        yield "]"


def _short(row: _Compared) -> str:
    answer = " ".join(_answer_of(row.example).split())
    return repr(answer if len(answer) <= _SHOWN else answer[: _SHOWN - 3] + "...")


def _answer_of(example: Example) -> str:
    calls = (f"{call.name} {call.arguments}" for call in example.messages[-1].tool_calls)
    return "\x1e".join((example.target, *calls))


def _system_of(example: Example) -> str:
    return "\x1e".join(message.content for message in example.messages if message.role is Role.SYSTEM)
