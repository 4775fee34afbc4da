"""What is private is found, where it begins and ends; what only looks like it is left in peace."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.data.privacy import PrivateKind, find_private
from burnish.data.privacy.numbers import NATIONAL_IDS

# Keys are put together here, so that no scanner of this repository takes them for real ones.
LETTERS = "aB3dE6gH9kLmN2pQ4sTuV5xYz8"
PRIVATE_KEY = f"-----BEGIN RSA {'PRIVATE'} KEY-----\nMIIB{LETTERS}\n{LETTERS}==\n-----END RSA {'PRIVATE'} KEY-----"
JSON_WEB_TOKEN = "eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxMjMifQ" + ".c2lnbmF0dXJlLW9mLXRoaXM"

PRIVATE = {
    PrivateKind.EMAIL: [
        "write to «jane.roe@example.com».",
        "«j.q.public+bank@mail.example.org» asks",
        "mailto:«max_m@example.net»?subject=x",
        "<«info@bücher.example»>",
    ],
    PrivateKind.PHONE: [
        "Ring me on «+44 20 7946 0018»",
        "my number is «(202) 555-0147», thanks",
        "«1-800-555-0199» (toll free)",
        "TTY-«1-800-555-0199»",
        "MD 20892-3655 «301-555-0147» E-mail",
        "call «07700 900123»",
        "Tel.: «030 23125 000»",
        "or (from abroad) «+49 (0)30 23125 000».",
        "phone «2025550147», please",
        "«020 7946 0018» 24 hours",
        "call «555-0147» now",
        '{"phone":"«07700900123»"}',
    ],
    PrivateKind.IBAN: ["to «GB82 WEST 1234 5698 7654 32» AT ONCE", "to «DE89370400440532013000» today"],
    PrivateKind.CARD: [
        "with «4111 1111 1111 1111» failed",
        "«5555-5555-5555-4444».",
        "«378282246310005»",
        "Amex «3782 822463 10005», exp 12/26",
        "«6011111111111117» is missing",
    ],
    PrivateKind.IP: ["from «8.8.8.8».", "host «2606:4700:4700::1111»", "http://«1.1.1.1»:8080/"],
    PrivateKind.SECRET: [
        "key «AKIAIOSFODNN7EXAMPLE» is",
        f"«ghp_{'a1B2' * 9}»",
        f"Bearer «{JSON_WEB_TOKEN}»",
        f"see «{PRIVATE_KEY}» above",
        f"export OPENAI_API_KEY=«sk-proj-{LETTERS * 3}»",
        f"«sk_{'live'}_{LETTERS[:24]}»",
        "https://bot:«hunter22»@git.example.com/x.git",
        "my password is «Tr0ub4dor&3».",
        f'api_key = "«{LETTERS}»"',
    ],
}
HARMLESS = [
    *("Transfer 1234 5678 9012 3456 is declined", "GB00 WEST 1234 5698 7654 32 is rejected", "0000 0000 0000 0000"),
    *("£1,250.00 on 12/05/2023 at 14:30", "Order REF-2024-000123", "@ the branch", "statement 20230512"),
    *(
        "call me at 7.30 on 12.05.2023",
        "please call on 2023-05-12",
        "order 202-555-0147",
        "a table for 2 at 19:30-21:30",
    ),
    *(
        "I called about order 987654321",
        "phone case 123456789 pages",
        "1234567890",
        "3.14159265358979",
        "pages 212-555",
    ),
    *("48/2=<<48/2=24>>24", "in 2004 2005 2006 2007", "0.0123456789", "1 000 000 000", "10 20 30 40 50 60"),
    *("version 8.8.8.8", "192.168.0.1 and 10.0.0.7", "203.0.113.9", "at 12:30:45", "a::b", "std::vector"),
    *("photo@2x.png", "git@example.com:owner/repository.git", "a@b", "5 @ 3.50", "decorated with @property.setter"),
    *(
        "I forgot my password",
        "the password is wrong",
        "token: placeholder",
        "api_key = <your key>",
        "password: ********",
    ),
    *("123456789 people", "12345678A", "2024-01-01-123456", "ISBN 978-3-16-148410-0", "000-12-3456"),
    *("https://www.example.com/a/b/c/d/e/f/12345/index.html", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca4"),
]
# The examples of python-stdnum, in the order of NATIONAL_IDS, with the words that announce some of them.
IDS = """536-90-4399|SSN 536904399|NHS 943-476-5870|2 95 10 99 126 111 93|54362315-K|X-2482300W|RCCMNL83S18D969H|
Steuer-ID 36 574 261 809|BSN 111222333|85.07.30-033.28|756.9217.0769.85|PESEL 44051401359|personnummer 880320-0016|
131052-308T|national id 151086 95088|CPR 211062-5629|NIF 501964843|PPS 6433435F|CNP 1630615123457|SIN 123-456-782|
TFN 123 456 782|Aadhaar 2341 2341 2346|390.533.447-05|CPF 39053344705|BOXW310820HNERXN09|ID 7503305044089|
360426199101010071|971013-9019902|kimlik 17291716060"""


def found(text: str) -> list[tuple[PrivateKind, str]]:
    return [(span.kind, text[span.start : span.end]) for span in find_private(text)]


@pytest.mark.parametrize(("kind", "marked"), [(kind, text) for kind, texts in PRIVATE.items() for text in texts])
def test_finds_the_value_and_nothing_around_it(kind: PrivateKind, marked: str) -> None:
    value = marked[marked.index("«") + 1 : marked.index("»")]
    assert found(marked.replace("«", "").replace("»", "")) == [(kind, value)]


@pytest.mark.parametrize("text", HARMLESS)
def test_leaves_what_only_looks_private_in_peace(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(("number", "written"), enumerate(IDS.replace("\n", "").split("|")))
def test_each_national_id_is_found_and_with_another_digit_is_not(number: int, written: str) -> None:
    assert [kind for kind, _ in found(f"is {written}, born")] == [PrivateKind.NATIONAL_ID]
    last = max(i for i, character in enumerate(written) if character.isdigit())
    if NATIONAL_IDS[number].module not in ("us.ssn", "dk.cpr"):  # which have no check digit
        wrong = written[:last] + str((int(written[last]) + 1) % 10) + written[last + 1 :]
        assert PrivateKind.NATIONAL_ID not in [kind for kind, _ in found(f"is {wrong}, born")]


def test_each_national_id_has_an_example() -> None:
    assert len(IDS.split("|")) == len(NATIONAL_IDS)


def test_a_word_must_announce_an_id_whose_form_others_have() -> None:
    assert found("BSN 111222333") and not found("parcel 111222333")


@settings(max_examples=200)
@given(st.text(alphabet="0123456789 ()+-./@:abAB\nx=", max_size=120))
def test_spans_are_in_order_and_apart(text: str) -> None:
    spans = find_private(text)
    assert all(0 <= span.start < span.end <= len(text) for span in spans)
    assert all(one.end <= other.start for one, other in pairwise(spans))
