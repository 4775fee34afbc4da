"""What a text says, without case, punctuation and spacing; and the words whose change makes it say something else."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import cache

Words = tuple[str, ...]


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_APOSTROPHES = "'’‘ʼ`´"
_UNSPACED = ((0x3040, 0x30FF), (0x3400, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF))
# Before a number these are no punctuation: 12/4 is not 12*4, and -5 is not 5; but "covid-19" is "covid 19".
_OPERATOR = re.compile(r"(?<![^\W\d_])\s*([-*/])\s*(?=\d)")
_SIGNS = {"-": " − ", "*": " × ", "/": " ÷ "}
_NUMBERS = _set(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion half "
    "once twice first second third fourth fifth sixth seventh eighth ninth tenth monday tuesday wednesday thursday "
    "friday saturday sunday january february march april june july august september october november december today "
    "tomorrow tonight yesterday morning noon afternoon evening midnight am pm"
)
_NEGATIONS = _set(
    "no not never none nothing nobody neither nor without cannot cant dont doesnt didnt isnt arent wasnt werent wont "
    "wouldnt shouldnt couldnt hasnt havent hadnt aint nicht kein keine keinen nie ohne pas jamais sans nunca"
)
_OPPOSITES = {
    word: (pair, side)
    for pair, sides in enumerate(
        (
            ("inside indoors indoor interior", "outside outdoors outdoor exterior"),
            ("in into on", "out off"),
            (
                "up increase increased raise higher more greater over above",
                "down decrease decreased lower less under below",
            ),
            ("before earlier", "after later"),
            (
                "open opened opening activate enable unblock unlock",
                "close closed closing deactivate disable block lock",
            ),
            ("start started begin", "stop stopped end cancel"),
            ("with", "without"),
            ("add added", "remove removed delete"),
            ("send sent", "receive received"),
            ("buy", "sell"),
            ("minimum min least", "maximum max most"),
            ("from", "to"),
            ("yes true", "no false"),
            ("dominant", "recessive"),
            ("left first", "right last"),
        )
    )
    for side, words in enumerate(sides)
    for word in words.split()
}
# Written large by everybody, and no names.
_PRONOUNS = _set("i im ive id ill")


class _Folds(dict[int, str | None]):
    """What becomes of a character: letters, digits and marks stay, a symbol is a word, the rest parts words."""

    def __missing__(self, code: int) -> str | None:
        character, kind = chr(code), unicodedata.category(chr(code))
        if character in _APOSTROPHES or kind == "Cf":
            self[code] = None
        elif kind[0] == "S" or any(low <= code <= high for low, high in _UNSPACED):
            self[code] = f" {character} "
        else:
            self[code] = character if kind[0] in "LMN" else " "
        return self[code]


_FOLDS = _Folds()


def fold(text: str) -> Words:
    """The words of a text without case, punctuation, spacing and the style of quotes.

    A sign before a number and a symbol such as $ or + are words; so is each character of Chinese and Japanese.
    """
    return tuple(_spaced(text).casefold().split()) or (text.strip(),)


def names_in(texts: Iterable[str]) -> frozenset[str]:
    """The folded words that are mostly written with a capital letter where no sentence begins."""
    inside, large = Counter[str](), Counter[str]()
    for text in texts:
        if text.upper() == text:  # all of it is written large
            continue
        for found in _INSIDE.findall(text):
            for word in _spaced(found).split():
                inside[word.casefold()] += 1
                large[word.casefold()] += word[0].isupper()
    return frozenset(word for word, count in large.items() if 2 * count > inside[word]) - _PRONOUNS


_INSIDE = re.compile(r"(?<=[^\s.!?:\"“(])\s+([^\W_][^\s]*)")


@cache
def is_telling(word: str) -> bool:
    """Whether a folded word is a number, a time, a negation or a sign of mathematics or money."""
    if word in _NUMBERS or word in _NEGATIONS:
        return True
    return any(character.isnumeric() or unicodedata.category(character) in ("Sm", "Sc") for character in word)


def are_opposites(one: str, other: str) -> bool:
    """Whether two folded words are of the few common ones that mean the contrary of each other."""
    (pair, side), (other_pair, other_side) = (_OPPOSITES.get(word, (None, 0)) for word in (one, other))
    return pair is not None and pair == other_pair and side != other_side


def _spaced(text: str) -> str:
    text = unicodedata.normalize("NFKC", text)
    return _OPERATOR.sub(lambda found: _SIGNS[found[1]], text).translate(_FOLDS)
