"""The answers as labels: spellings of one label, labels with few rows, a label with most rows."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from rapidfuzz.distance import OSA

from burnish.data.checks.folding import Words, fold
from burnish.data.example import Example
from burnish.data.finding import Check, Finding, Severity
from burnish.data.formats.several_labels import REMEDY

MIN_ROWS_PER_LABEL = 5
MAX_LABEL_CHARACTERS = 60
DOMINANT_SHARE = 0.8
SEPARATORS = ("\n", "|", ";", ",", " + ", " / ", "/", " & ", " and ", "+", "&")
MIN_JOINED = 2
"""Different combinations; one alone may well be the name of a label."""
_MIN_TYPO_CHARACTERS = 8
_MAX_SHOWN = 8

LABEL_VARIANT = Check(
    "label_variant",
    Severity.WARNING,
    "an answer that is another spelling of a more frequent label",
    "Spell each label in one way; a model that answers in another one is counted as wrong.",
)
RARE_LABELS = Check(
    "rare_labels",
    Severity.WARNING,
    f"labels with fewer than {MIN_ROWS_PER_LABEL} rows",
    "Add rows for them.",
)
JOINED_LABELS = Check(
    "joined_labels",
    Severity.WARNING,
    "several labels joined to one text, each combination a label of its own",
    f"{REMEDY} If each combination is meant as one label, list them in prompt.labels.",
)
DOMINANT_LABEL = Check(
    "dominant_label",
    Severity.NOTE,
    "a label that most rows have",
    "Read the score of each label: always answering this one scores high and is useless.",
)


def are_labels(examples: Sequence[Example]) -> bool:
    """Whether the answers look like labels: short, on one line, and repeated."""
    answers = [example.target for example in examples]
    is_short = all(len(answer) <= MAX_LABEL_CHARACTERS and "\n" not in answer.strip() for answer in answers)
    return is_short and len(set(answers)) <= 3 * len(answers) / 4


def check_label_variants(examples: Sequence[Example]) -> list[Finding]:
    """The rows whose label differs from a more frequent, or earlier, one in case, punctuation, spacing or a letter."""
    if not are_labels(examples):
        return []
    counts = Counter(example.target for example in examples)
    meant = _meant(counts)
    first = {example.target: example.id for example in reversed(examples)}
    return [
        LABEL_VARIANT.found(
            f"the label is {example.target!r}, elsewhere {meant[example.target]!r}.",
            example.id,
            [first[meant[example.target]]],
        )
        for example in examples
        if example.target in meant
    ]


def check_joined_labels(examples: Sequence[Example]) -> list[Finding]:
    """Labels such as "billing, refund" whose parts are labels, too: a finding about the whole file."""
    counts = Counter(example.target for example in examples)
    for separator in SEPARATORS:
        parts = {label: [part.strip() for part in label.split(separator)] for label in counts}
        joined = _joined(parts)
        num_apart = sum(len(found) > 1 for found in parts.values()) - len(joined)
        if len(joined) >= MIN_JOINED and len(joined) > num_apart:
            num_rows = sum(counts[label] for label in joined)
            names = sorted({part for label in joined for part in parts[label]})
            shown = ", ".join(repr(name) for name in names[:_MAX_SHOWN]) + (", ..." if len(names) > _MAX_SHOWN else "")
            said = f"{num_rows} rows join labels by {separator!r}, such as {joined[0]!r}; the labels are {shown}."
            return [JOINED_LABELS.found(said)]
    return []


def _joined(parts: Mapping[str, Sequence[str]]) -> list[str]:
    """The labels that are sets: their parts occur in other labels and not each at one place, as in a/x, a/y, b/x."""
    places: dict[str, set[tuple[int, int]]] = defaultdict(set)
    for found in parts.values():
        for place, part in enumerate(found):
            places[part].add((place, len(found)))
    uses = Counter(part for found in parts.values() for part in set(found))
    joined = [label for label, found in parts.items() if len(found) > 1 and all(uses[part] > 1 for part in found)]
    return joined if any(len(places[part]) > 1 for label in joined for part in parts[label]) else []


def check_label_balance(examples: Sequence[Example]) -> list[Finding]:
    """Labels with few rows, and one that most rows have: findings about the whole file."""
    counts = Counter(example.target for example in examples)
    findings = []
    if rare := sorted((count, label) for label, count in counts.items() if count < MIN_ROWS_PER_LABEL):
        shown = ", ".join(f"{label} ({count})" for count, label in rare[:_MAX_SHOWN])
        more = ", ..." if len(rare) > _MAX_SHOWN else ""
        findings.append(RARE_LABELS.found(f"{_labels(len(rare))} fewer than {MIN_ROWS_PER_LABEL} rows: {shown}{more}."))
    label, count = counts.most_common(1)[0]
    if len(counts) > 1 and count > DOMINANT_SHARE * len(examples):
        findings.append(DOMINANT_LABEL.found(f"{count / len(examples):.0%} of the rows have the label {label!r}."))
    return findings


def _labels(count: int) -> str:
    return "1 label has" if count == 1 else f"{count} labels have"


def _meant(counts: Counter[str]) -> dict[str, str]:
    """Each variant -> the label that it is a spelling of; labels that come first win where they are as frequent."""
    spellings: dict[Words, list[str]] = defaultdict(list)
    for label in counts:
        spellings[fold(label.replace("_", " "))].append(label)
    best = {words: max(labels, key=counts.__getitem__) for words, labels in spellings.items()}
    meant = {label: best[words] for words, labels in spellings.items() for label in labels if label != best[words]}
    frequency = {words: sum(counts[label] for label in labels) for words, labels in spellings.items()}
    for rare, common in _typos(frequency):
        meant |= dict.fromkeys(spellings[rare], best[common])
    return meant


def _typos(frequency: dict[Words, int]) -> Iterator[tuple[Words, Words]]:
    """Labels of a single row that are one slip of a letter away from another: exhange rate, exchange rate."""
    labels = list(frequency)
    for n, rare in enumerate(labels):
        text = " ".join(rare)
        if frequency[rare] > 1 or len(text) < _MIN_TYPO_CHARACTERS or any(c.isnumeric() for c in text):
            continue
        for m, common in enumerate(labels):
            other = " ".join(common)
            is_likelier = frequency[common] > 1 or m < n
            # A slip in the first letter is as likely a prefix that changes the meaning: typical, atypical.
            if m != n and is_likelier and text[0] == other[0] and OSA.distance(text, other, score_cutoff=1) == 1:
                yield rare, common
                break
