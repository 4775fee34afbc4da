"""JSON schemas -> grammars, and answers that follow them token by token.

Shapes: V vocabulary.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from torch import Tensor

from burnish.conversation import Role, build_conversation
from burnish.data import Renderer
from burnish.data.json_schema import check_schema, find_refused
from burnish.errors import DataError
from burnish.generate import constrained
from burnish.generate.constrained import build_matcher, forbid, take
from burnish.serve.errors import ApiError

ANY_PROMPT = build_conversation(None, (Role.USER, "?"))
"""What a template writes around an answer does not depend on the question."""
MAX_DIGITS = 20
"""In a row, where anything else may follow: no number needs more, and a grammar lets a model write them for ever."""


def json_grammar(renderer: Renderer, schema: Mapping[str, Any], *, param: str = "response_format") -> str:
    """The grammar of an answer that is JSON by `schema`, and that ends where the JSON does.

    Raises:
        ApiError: the schema says something that cannot be followed; `param` is where the client wrote it.
    """
    try:
        check_schema(schema)
        if refused := find_refused(schema, lambda part: _refusal(renderer, part)):
            raise DataError("at {}: {}".format(*refused))
        return constrained.json_grammar(renderer, schema, ANY_PROMPT)
    except (DataError, RecursionError) as error:
        reason = str(error) if isinstance(error, DataError) else "the JSON schema is nested too deeply. Flatten it."
        raise ApiError(reason, param=param, code="invalid_schema") from error


def _refusal(renderer: Renderer, schema: Mapping[str, Any]) -> str | None:
    """Why a schema cannot be followed; None if it can."""
    try:
        constrained.build_matchers(renderer, schema, [ANY_PROMPT])
    except DataError as error:
        return str(error)
    return None


class Follower:
    """Keeps one answer to its grammar."""

    def __init__(self, renderer: Renderer, grammar: str) -> None:
        self._matcher = build_matcher(renderer, grammar)
        self._digits = _digit_tokens(renderer)
        self._num_digits = 0
        """That the answer ends with."""

    def forbid(self, logits_V: Tensor) -> None:
        """Set what must not come next to -inf, in place."""
        forbid(logits_V[None], [self._matcher])
        if self._num_digits >= MAX_DIGITS:
            others_V = logits_V.clone()
            others_V[list(self._digits)] = float("-inf")
            if others_V.isfinite().any():
                logits_V.copy_(others_V)

    def take(self, token: int) -> None:
        """Go on behind `token`.

        Raises:
            DataError: the grammar has grown beyond what can be followed.
        """
        take(self._matcher, token)
        self._num_digits = self._num_digits + self._digits[token] if token in self._digits else 0


@lru_cache(maxsize=4)  # every token is spelled once
def _digit_tokens(renderer: Renderer) -> Mapping[int, int]:
    """The tokens that are digits and nothing else, with their number."""
    spelling = constrained.spelling(renderer)
    texts = {token: spelling.decode_str([token]) for token in range(spelling.vocab_size)}
    return {token: len(text) for token, text in texts.items() if text.isascii() and text.isdigit()}
