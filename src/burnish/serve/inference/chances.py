"""Probabilities of tokens as the wire tells them."""

import codecs
import math
from collections.abc import Iterable, Sequence
from typing import Any

from burnish.data import Renderer
from burnish.generate.constrained import spelling
from burnish.serve.engine.request import TokenChance

LEAST = -9999.0
"""In place of minus infinity, which JSON cannot say."""


class TokenTexts:
    """What tokens spell, by the bytes: a character may lie in several."""

    def __init__(self, renderer: Renderer) -> None:
        self._spelling = spelling(renderer)

    def bytes_of(self, token: int) -> bytes:
        """The bytes of one token."""
        return self._spelling.decode_bytes([token])

    def chat_items(self, chances: Iterable[TokenChance]) -> list[dict[str, Any]]:
        """`logprobs.content` of a chat answer."""
        return [
            {
                **self._item(chance.token_id, chance.log_probability),
                "top_logprobs": [self._item(token, value) for token, value in chance.top],
            }
            for chance in chances
        ]

    def completion_logprobs(self, chances: Sequence[TokenChance], offset: int) -> dict[str, Any]:
        """`logprobs` of a completion, whose first token begins at character `offset`."""
        tokens = [self.bytes_of(chance.token_id) for chance in chances]
        return {
            "tokens": [_as_text(token) for token in tokens],
            "token_logprobs": [_finite(chance.log_probability) for chance in chances],
            "top_logprobs": [self._top(chance) for chance in chances],
            "text_offset": _offsets(tokens, offset),
        }

    def _item(self, token: int, log_probability: float) -> dict[str, Any]:
        raw = self.bytes_of(token)
        return {"token": raw.decode(errors="replace"), "bytes": list(raw), "logprob": _finite(log_probability)}

    def _top(self, chance: TokenChance) -> dict[str, float]:
        """The likeliest, and the chosen one where it is not among them."""
        top = dict[str, float]()
        for token, value in (*chance.top, (chance.token_id, chance.log_probability)):
            top.setdefault(_as_text(self.bytes_of(token)), _finite(value))
        return top


def label_items(label: str, probability: float) -> list[dict[str, Any]]:
    """`logprobs.content` of a label: to its model it is one choice, however many tokens spell it."""
    logprob = math.log(probability) if probability > 0 else LEAST
    return [{"token": label, "bytes": list(label.encode()), "logprob": logprob, "top_logprobs": []}]


def _finite(value: float) -> float:
    return max(value, LEAST)


def _as_text(raw: bytes) -> str:
    """A token as text; parts of a character by their bytes, as OpenAI writes them, since keys must differ."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in raw)


def _offsets(tokens: Sequence[bytes], offset: int) -> list[int]:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    offsets = []
    for token in tokens:
        offsets.append(offset)
        offset += len(decoder.decode(token))
    return offsets
