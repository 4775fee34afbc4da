"""What a private value in a text is: where it stands and of which kind it is."""

from dataclasses import dataclass
from enum import StrEnum


class PrivateKind(StrEnum):
    """The kinds that are looked for; the value is the id of the check, the name stands in the placeholder."""

    SECRET = "secret"
    IBAN = "pii_iban"
    CARD = "pii_card"
    EMAIL = "pii_email"
    IP = "pii_ip"
    NATIONAL_ID = "pii_national_id"
    PHONE = "pii_phone"


@dataclass(frozen=True, order=True)
class Span:
    """`text[start:end]` is private."""

    start: int
    end: int
    kind: PrivateKind
