"""Does an answer do what the prompt demands of its form? Checks that need no judge."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from burnish.data import languages

_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
_ITEM = re.compile(r"^\s*(\d+)[.)]\s+\S", re.MULTILINE)
_SENTENCE_END = re.compile(r"[.!?\u2026]+[\"'\u201d\u2019)\]]*(?=\s|$)")
MIN_LETTERS_FOR_LANGUAGE = 20


def follows(answer: str, check: Mapping[str, Any]) -> bool:
    """Whether the answer meets a check of `instructions.jsonl`; an empty one meets none."""
    return bool(answer.strip()) and _CHECKS[check["kind"]](answer.strip(), check.get("value"))


def _has_at_most(answer: str, value: int) -> bool:
    return 0 < len(_WORD.findall(answer)) <= value


def _has_sentences(answer: str, value: int) -> bool:
    """Counted by their ends; a last one without an end counts, too."""
    ends = list(_SENTENCE_END.finditer(answer))
    rest = answer[ends[-1].end() :] if ends else answer
    return len(ends) + bool(_WORD.search(rest)) == value


def _contains(answer: str, value: Sequence[str]) -> bool:
    return {word.casefold() for word in value} <= _words(answer)


def _avoids(answer: str, value: Sequence[str]) -> bool:
    return not {word.casefold() for word in value} & _words(answer)


def _words(answer: str) -> set[str]:
    """As wholes, and the parts of those with a hyphen or an apostrophe."""
    wholes = [word.casefold() for word in _WORD.findall(answer)]
    return {part for word in wholes for part in (word, *re.split(r"['\u2019-]", word))}


def _is_lower_case(answer: str, _: None) -> bool:
    return answer == answer.lower() and any(character.isalpha() for character in answer)


def _is_numbered(answer: str, value: int) -> bool:
    return [int(number) for number in _ITEM.findall(answer)] == list(range(1, value + 1))


def _is_object(answer: str, value: Sequence[str]) -> bool:
    """Nothing else around it but the fence of a code block."""
    inner = re.fullmatch(r"```(?:json)?\s*(.*?)\s*```", answer, re.DOTALL)
    try:
        found = json.loads(inner[1] if inner else answer)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and sorted(found) == sorted(value)


def _is_in_language(answer: str, value: str) -> bool:
    enough = sum(character.isalpha() for character in answer) >= MIN_LETTERS_FOR_LANGUAGE
    return enough and languages([answer], min_letters=MIN_LETTERS_FOR_LANGUAGE) == [value]


_CHECKS: dict[str, Callable[[str, Any], bool]] = {
    "max_words": _has_at_most,
    "num_sentences": _has_sentences,
    "contains": _contains,
    "avoids": _avoids,
    "lower_case": _is_lower_case,
    "numbered_list": _is_numbered,
    "json_object": _is_object,
    "language": _is_in_language,
}
