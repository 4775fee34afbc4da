"""The languages of questions and answers: the mix, and rows that fall out of it."""

from collections import Counter
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

from burnish.data.example import Example
from burnish.data.finding import Check, Finding, Severity

MIN_LETTERS = 40
"""A shorter text is not judged: a name or a loan word would decide."""
MIN_CONFIDENCE = 0.95
MAX_STRAY_SHARE = 0.05
"""Where more rows than this are in other languages than most, they are a mix, not strays."""
_READ_CHARACTERS = 600

LANGUAGE_MIX = Check(
    "language_mix",
    Severity.NOTE,
    "the rows are in several languages",
    "Fine if the specialist is asked in all of them; then read its score in each.",
)
OTHER_LANGUAGE = Check(
    "other_language",
    Severity.NOTE,
    "a row in another language than nearly all others",
    "Remove it if nobody will ask in that language, or add more rows of it.",
)


def check_languages(examples: Sequence[Example]) -> list[Finding]:
    """The mix of languages, and the rows of the rare ones; questions first, then answers of the rows that are left."""
    asked = languages([example.asked for example in examples])
    answered = languages([example.target for example in examples])
    strays = _strays(examples, answered, "answer") | _strays(examples, asked, "question")
    mixes = [_mix(found, what) for found, what in ((asked, "questions"), (answered, "answers"))]
    return [finding for finding in mixes if finding] + [strays[e.id] for e in examples if e.id in strays]


def languages(texts: Sequence[str], min_letters: int = MIN_LETTERS) -> list[str | None]:
    """The ISO 639 code of each text; None where it is too short or the model is not sure (Lui & Baldwin 2012)."""
    return [_language(text[:_READ_CHARACTERS], min_letters) for text in texts]


# Answers repeat, and the same texts are asked for again when the card of the data is made.
@lru_cache(maxsize=100_000)
def _language(text: str, min_letters: int) -> str | None:
    if sum(character.isalpha() for character in text) < min_letters:
        return None
    language, confidence = _identifier().classify(text)
    return str(language) if confidence >= MIN_CONFIDENCE else None


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def _strays(examples: Sequence[Example], found: Sequence[str | None], what: str) -> dict[str, Finding]:
    counts = Counter(language for language in found if language)
    main, num_main = counts.most_common(1)[0] if counts else ("", 0)
    if num_main < (1 - MAX_STRAY_SHARE) * counts.total():
        return {}
    return {
        example.id: OTHER_LANGUAGE.found(f"the {what} is in language {language!r}, most are in {main!r}.", example.id)
        for example, language in zip(examples, found, strict=True)
        if language not in (None, main)
    }


def _mix(found: Sequence[str | None], what: str) -> Finding | None:
    counts = Counter(language for language in found if language)
    if len(counts) < 2:
        return None
    shares = ", ".join(f"{language} {count / counts.total():.1%}" for language, count in counts.most_common(8))
    return LANGUAGE_MIX.found(f"Of the {counts.total()} {what} that are long enough to tell: {shares}.")
