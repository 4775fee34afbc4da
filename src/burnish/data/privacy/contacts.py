"""Where a person or a machine can be reached: e-mail addresses, telephone numbers, public IP addresses."""

import ipaddress
import re
from collections.abc import Iterator

Place = tuple[int, int]

_EMAIL = re.compile(r"(?<![\w.+%-])[\w.+%'-]{1,64}@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W\d_]{2,24}(?![\w@-])(?!:\w)")
# "photo@2x.png" is a file, not an address.
_FILE = re.compile(r"\.(?:png|jpe?g|gif|svg|webp|css|js)\Z", re.IGNORECASE)

_GROUP = r"(?:\(\d{1,5}\)|\d{1,14})"
_SEPARATOR = r"(?:[ \u00a0./\u2010-\u2013-]|(?<=\)) ?| (?=\())"
_PHONE = re.compile(rf"(?<![\w$€£¥#/.,:=+@-])\+?{_GROUP}(?:{_SEPARATOR}{_GROUP}){{0,7}}(?![\w%@]|[.,:/]\d)")
_NORTH_AMERICAN = re.compile(
    r"(?<![\d$€£#/=@])(?<!\d[-.,])(?:\+?1[-. ]?)?(?:\(\d{3}\) ?|\d{3}[-.])\d{3}[-.]\d{4}(?![\w%@-]|[.,:/]\d)"
)
_LOCAL_AMERICAN = re.compile(r"\d{3}[-.]\d{4}")
_DATE = re.compile(r"(?:\d{1,2}[ ./-]\d{1,2}[ ./-]\d{2,4}|\d{4}[ ./-]\d{1,2}[ ./-]\d{1,2})(?!\d)")
_PHONE_WORD = re.compile(
    r"\b(?:call(?:ed|ing)?|ring|rang|(?:tele)?phone[ds]?|tel|mobile|cell|fax|dial(?:l?ed)?|whats ?app|sms|text(?:ed)?|"
    r"hotline|helpline|reach(?:ed)?|toll[- ]free|telefon\w*|handy|mobil\w*|rufnummer|anruf\w*|t[ée]l[ée]phon\w*|"
    r"appel\w*|portable|tel[ée]fono|m[óo]vil|cellulare|celular|telefone)\b[^!?\n]{0,30}\Z",
    re.IGNORECASE,
)
# A number right behind one of these is not a telephone's, whatever else the sentence speaks of.
_OTHER_WORD = re.compile(
    r"\b(?:order|ref(?:erence)?|ticket|case|invoice|account|transfer|transaction|booking|statement|card|iban|isbn|"
    r"version|policy|serial|tracking|customer|id)\b[\s:#.]*(?:(?:number|no|nr|is)\b[\s:#.]*)*\Z",
    re.IGNORECASE,
)
_CONTEXT = 48
# Written with a leading zero and in groups, numbers of these countries are sure; those of others have too many forms.
_SURE_REGIONS = ("GB", "FR")
_REGIONS = (
    *("US", "GB", "DE", "FR", "ES", "IT", "NL", "BE", "CH", "AT", "PT", "PL", "SE", "FI", "IE", "AU", "NZ", "IN"),
    *("BR", "MX", "ZA", "JP", "CN"),
)

_IPV4 = re.compile(r"(?<![\w.-])\d{1,3}(?:\.\d{1,3}){3}(?![\w-]|\.\d)")
# Public addresses are those that begin so (RFC 4291); "a::b" is none.
_IPV6 = re.compile(r"(?<![\w:.])[23][0-9a-f]{3}(?::[0-9a-f]{0,4}){2,7}(?![\w:]|\.\d)", re.IGNORECASE)
_VERSION_WORD = re.compile(r"(?:\bv|version|release|build|section|chapter|firmware)[\s:.]*\Z", re.IGNORECASE)


def find_emails(text: str) -> Iterator[Place]:
    """E-mail addresses; not handles, and not the `git@host:path` of a repository."""
    if "@" not in text:
        return
    for match in _EMAIL.finditer(text):
        if not _FILE.search(match[0]):
            yield match.span()


def find_phones(text: str) -> Iterator[Place]:
    """Telephone numbers: international, in a form that nothing else has, or announced by a word."""
    for match in _NORTH_AMERICAN.finditer(text):
        if not _OTHER_WORD.search(_before(text, match)) and _is_valid(match[0], "US"):
            yield match.span()
    for match in _PHONE.finditer(text):
        if len(match[0]) >= 8 and (end := _phone_end(text, match)):
            yield match.start(), end


def find_ips(text: str) -> Iterator[Place]:
    """Public IP addresses; those of private networks, and the ones kept for documentation, lead to nobody."""
    matches = [*_IPV4.finditer(text)] if text.count(".") > 2 else []
    matches += [*_IPV6.finditer(text)] if text.count(":") > 1 else []
    for match in matches:
        if _is_public(match[0]) and not _VERSION_WORD.search(text, max(0, match.start() - 12), match.start()):
            yield match.span()


def _phone_end(text: str, match: re.Match[str]) -> int | None:
    """Where the number ends: behind it may stand digits that belong to something else."""
    before = _before(text, match)
    if _OTHER_WORD.search(before):
        return None
    is_announced = bool(_PHONE_WORD.search(before))
    ends = [group.end() for group in re.finditer(r"\d+\)?", match[0])]
    for end in reversed(ends):
        if _is_phone(match[0][:end], is_announced=is_announced):
            return match.start() + end
    return None


def _before(text: str, match: re.Match[str]) -> str:
    return text[max(0, match.start() - _CONTEXT) : match.start()]


def _is_phone(number: str, *, is_announced: bool) -> bool:
    num_digits = sum(character.isdigit() for character in number)
    if not 7 <= num_digits <= 15 or _DATE.match(number):
        return False
    if number[0] == "+":
        return _is_valid(number) or (num_digits >= 10 and _is_possible(number))
    digits = number.lstrip("(")
    if digits.startswith("00") and num_digits >= 10:
        return _is_valid("+" + digits[2:])
    if digits.startswith("0") and is_announced:  # ranges kept for fiction are possible, not valid
        return num_digits >= 9 and any(_is_possible(number, region) for region in _REGIONS)
    if digits.startswith("0") and not number.isdigit():
        return num_digits >= 10 and any(_is_valid(number, region) for region in _SURE_REGIONS)
    if not is_announced:
        return False
    if num_digits == 7:
        return bool(_LOCAL_AMERICAN.fullmatch(number))
    return num_digits >= 9 and any(_is_valid(number, region) for region in _REGIONS)


def _is_valid(number: str, region: str | None = None) -> bool:
    import phonenumbers

    try:
        return bool(phonenumbers.is_valid_number(phonenumbers.parse(number, region)))
    except phonenumbers.NumberParseException:
        return False


def _is_possible(number: str, region: str | None = None) -> bool:
    import phonenumbers

    try:
        return bool(phonenumbers.is_possible_number(phonenumbers.parse(number, region)))
    except phonenumbers.NumberParseException:
        return False


def _is_public(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_global
    except ValueError:
        return False
