"""Numbers that identify a person's money or the person: IBANs, payment cards, national identity numbers."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module

Place = tuple[int, int]

_IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2} ?(?:[A-Z0-9]{4} ?){2,7}[A-Z0-9]{1,4}(?!\w)", re.IGNORECASE)
_GROUP = re.compile(r"[A-Z0-9]+", re.IGNORECASE)

# Four by four as on most cards, 4-6-5 and 4-6-4 as on those of American Express and Diners, or in one piece.
_CARD = re.compile(
    r"(?<![\w.+-])(?:\d{4}(?:[ -]\d{4}){3}(?:[ -]\d{3})?|\d{4}[ -]\d{6}[ -]\d{4,5}|\d{13,19})(?![\w]|[.,-]\d)"
)
# The beginnings that the networks have been given, with the lengths that their cards have.
_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12,14}|3[47]\d{13}|"
    r"(?:6011|64[4-9]\d|65\d\d)\d{12}|3(?:0[0-5]|[689]\d)\d{11}|35(?:2[89]|[3-8]\d)\d{12}|62\d{14,17}|"
    r"(?:50|5[6-9]|6[37])\d{14}"
)

# Some part of each of the forms below: most texts have none, and are done with.
_PART_OF_AN_ID = re.compile(r"\d\d[A-Z .+-]?\d\d[A-Z .+-]?\d")
_CONTEXT = 40


@dataclass(frozen=True)
class NationalId:
    """A country's identity number: the module of python-stdnum that checks it, and its written form.

    `word` announces it, where numbers of other kinds have the same form.
    """

    module: str
    form: str
    word: str | None = None


NATIONAL_IDS = (
    NationalId("us.ssn", r"\d{3}-\d{2}-\d{4}"),
    NationalId("us.ssn", r"\d{9}", r"ssn|social security"),
    NationalId("gb.nhs", r"\d{3}[ -]?\d{3}[ -]?\d{4}", r"nhs"),
    NationalId("fr.nir", r"[12] ?\d\d ?\d\d ?\d[\dAB] ?\d{3} ?\d{3} ?\d\d"),
    NationalId("es.dni", r"\d{8}-?[A-Z]"),
    NationalId("es.nie", r"[XYZ]-?\d{7}-?[A-Z]"),
    NationalId("it.codicefiscale", r"[A-Z]{6}\d\d[A-Z]\d\d[A-Z]\d{3}[A-Z]"),
    NationalId("de.idnr", r"\d\d ?\d{3} ?\d{3} ?\d{3}", r"steuer|idnr|identifikationsnummer|tax id"),
    NationalId("nl.bsn", r"\d{9}", r"bsn|burgerservicenummer"),
    NationalId("be.nn", r"\d\d\.\d\d\.\d\d-\d{3}\.\d\d"),
    NationalId("ch.ssn", r"756\.\d{4}\.\d{4}\.\d\d"),
    NationalId("pl.pesel", r"\d{11}", r"pesel"),
    NationalId("se.personnummer", r"(?:19|20)?\d{6}[-+]\d{4}", r"person(?:al)? ?(?:nummer|number|nr)"),
    NationalId("fi.hetu", r"\d{6}[-+A]\d{3}[0-9A-Y]"),
    NationalId("no.fodselsnummer", r"\d{6} ?\d{5}", r"f[øo]dselsnummer|personnummer|national id"),
    NationalId("dk.cpr", r"\d{6}-\d{4}", r"cpr"),
    NationalId("pt.nif", r"\d{3} ?\d{3} ?\d{3}", r"nif|contribuinte"),
    NationalId("ie.pps", r"\d{7}[A-W][A-IW]?", r"pps"),
    NationalId("ro.cnp", r"\d{13}", r"cnp|cod numeric"),
    NationalId("ca.sin", r"\d{3}[- ]?\d{3}[- ]?\d{3}", r"\bsin\b|social insurance"),
    NationalId("au.tfn", r"\d{3} ?\d{3} ?\d{3}", r"tfn|tax file"),
    NationalId("in_.aadhaar", r"\d{4} ?\d{4} ?\d{4}", r"aadhaa?r"),
    NationalId("br.cpf", r"\d{3}\.\d{3}\.\d{3}-\d\d"),
    NationalId("br.cpf", r"\d{11}", r"cpf"),
    NationalId("mx.curp", r"[A-Z]{4}\d{6}[HM][A-Z]{5}[A-Z0-9]\d"),
    NationalId("za.idnr", r"\d{13}", r"\bid\b|identity"),
    NationalId("cn.ric", r"\d{17}[\dX]"),
    NationalId("kr.rrn", r"\d{6}-\d{7}"),
    NationalId("tr.tckimlik", r"\d{11}", r"kimlik|\btckn?\b"),
)
_FORMS = [
    (
        each,
        re.compile(rf"(?<![\w.-])(?:{each.form})(?![\w]|[.-]\d)"),
        each.word and re.compile(each.word, re.IGNORECASE),
    )
    for each in NATIONAL_IDS
]


def find_ibans(text: str) -> Iterator[Place]:
    """IBANs with right check digits and the length of their country."""
    for match in _IBAN.finditer(text):
        ends = [group.end() for group in _GROUP.finditer(match[0])]
        end = next((end for end in reversed(ends) if _is_valid("iban", match[0][:end])), None)
        if end:  # words in capitals may follow it
            yield match.start(), match.start() + end


def find_cards(text: str) -> Iterator[Place]:
    """Payment card numbers: of a network's beginning and length, with a right check digit (Luhn)."""
    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match[0])
        if _ISSUERS.fullmatch(digits) and len(set(digits)) > 1 and _is_valid("luhn", digits):
            yield match.span()


def find_national_ids(text: str) -> Iterator[Place]:
    """Identity numbers with right check digits, in a form of their own or announced by their name."""
    if not _PART_OF_AN_ID.search(text):
        return
    for each, form, word in _FORMS:
        for match in form.finditer(text):
            is_announced = not word or word.search(text, max(0, match.start() - _CONTEXT), match.start())
            if is_announced and _is_valid(each.module, match[0]):
                yield match.span()


def _is_valid(module: str, number: str) -> bool:
    return bool(import_module(f"stdnum.{module}").is_valid(number))
