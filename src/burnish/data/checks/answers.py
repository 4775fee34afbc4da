"""What most answers have in common: their form, their keys, their beginning and end; and the rows that break it."""

import json
from collections import Counter
from collections.abc import Sequence

from burnish.data.checks.duplicates import MIN_FREE_WORDS
from burnish.data.checks.folding import Words, fold
from burnish.data.checks.labels import are_labels
from burnish.data.example import Example
from burnish.data.finding import Check, Finding, Severity

MIN_ROWS = 20
FORM_SHARE = 0.9
"""A form that so many answers have is the declared one."""
BOILERPLATE_SHARE = 0.5
MIN_BOILERPLATE_WORDS = 3
_MAX_LABEL_WORDS = 6

OTHER_FORM = Check(
    "other_form",
    Severity.WARNING,
    "an answer of another form than nearly all others",
    "Bring it into the form of the others, or remove it.",
)
SHARED_BEGINNING = Check(
    "shared_beginning",
    Severity.NOTE,
    "most answers begin with the same words",
    "The model will learn them first and best. Fine if they are wanted; else cut them off.",
)
SHARED_ENDING = Check(
    "shared_ending",
    Severity.NOTE,
    "most answers end with the same words",
    "The model will learn them first and best. Fine if they are wanted; else cut them off.",
)
REPEATED_QUESTION = Check(
    "repeated_question",
    Severity.WARNING,
    "an answer that only repeats the question",
    "Write the answer or remove the row.",
)


def check_forms(examples: Sequence[Example]) -> list[Finding]:
    """The rows whose answer breaks the form of nearly all: JSON, its keys, or a label."""
    if len(examples) < MIN_ROWS:
        return []
    is_usual, said = _usual_form([example.target for example in examples])
    return [
        OTHER_FORM.found(f"the answer {said}.", example.id)
        for example, usual in zip(examples, is_usual, strict=True)
        if not usual
    ]


def _usual_form(answers: Sequence[str]) -> tuple[list[bool], str]:
    """Whether each answer has the form of nearly all, and what the others are; where there is none, all have it."""
    needed = FORM_SHARE * len(answers)
    keys = [_json_keys(answer) for answer in answers]
    (usual, count), *_ = Counter(keys).most_common(1)
    if usual is not None and count >= needed:
        return [
            found == usual for found in keys
        ], f"is no JSON object with the keys {', '.join(usual)}, as nearly all are"
    is_object = [found is not None for found in keys]
    if sum(is_object) >= needed:
        return is_object, "is no JSON object, as nearly all are"
    num_rows, num_words = Counter(answers), [len(fold(answer)) for answer in answers]
    is_label = [n <= _MAX_LABEL_WORDS and num_rows[answer] > 1 for n, answer in zip(num_words, answers, strict=True)]
    if sum(is_label) >= needed:
        return [n < MIN_FREE_WORDS for n in num_words], "is a text, where nearly all are labels"
    return [True] * len(answers), ""


def check_boilerplate(examples: Sequence[Example]) -> list[Finding]:
    """The words that at least half of the answers begin or end with: findings about the whole file."""
    answers = [
        words for e in examples if _json_keys(e.target) is None and len(words := fold(e.target)) >= MIN_FREE_WORDS
    ]
    if len(answers) < max(MIN_ROWS, len(examples) / 2):
        return []
    findings = []
    for check, ordered, verb in (
        (SHARED_BEGINNING, answers, "begin"),
        (SHARED_ENDING, [words[::-1] for words in answers], "end"),
    ):
        words, count = _shared_head(ordered)
        if len(words) >= MIN_BOILERPLATE_WORDS:
            shown = " ".join(words if check is SHARED_BEGINNING else words[::-1])
            findings.append(check.found(f"{count / len(answers):.0%} of the answers {verb} with {shown!r}."))
    return findings


def check_repeated_questions(examples: Sequence[Example]) -> list[Finding]:
    """The rows whose answer, of more than a few words, is the question again; labels and JSON may well be."""
    if are_labels(examples):
        return []
    return [
        REPEATED_QUESTION.found("the answer only repeats the question.", example.id)
        for example in examples
        if len(answer := fold(example.target)) > 2
        and answer == fold(example.asked)
        and _json_keys(example.target) is None
    ]


def _json_keys(text: str) -> tuple[str, ...] | None:
    """The sorted keys of a JSON object; None where it is none."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return tuple(sorted(value)) if isinstance(value, dict) else None


def _shared_head(answers: Sequence[Words]) -> tuple[Words, int]:
    """The longest run of first words that at least half of the answers share, and how many do."""
    holders, head = list(answers), tuple[str, ...]()
    while True:
        following = Counter(words[len(head)] for words in holders if len(words) > len(head))
        word, count = following.most_common(1)[0] if following else ("", 0)
        if count < BOILERPLATE_SHARE * len(answers):
            return head, len(holders)
        holders = [words for words in holders if len(words) > len(head) and words[len(head)] == word]
        head = (*head, word)
