"""The answers as labels: spellings of one label, labels with few rows, a label with most rows."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from rapidfuzz.distance import OSA

from burnish.data.checks.folding import Words, fold
from burnish.data.example import Example
from burnish.data.finding import Check, Finding, Severity

MIN_ROWS_PER_LABEL = 5
MAX_LABEL_CHARACTERS = 60
DOMINANT_SHARE = 0.8
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
