"""What an answer must fit, as a grammar for llguidance."""

from collections.abc import Mapping
from typing import Any

from burnish.conversation import Role, build_conversation
from burnish.data import Renderer
from burnish.errors import DataError
from burnish.generate.constrained import build_matcher
from burnish.generate.constrained import json_grammar as grammar_of
from burnish.serve.errors import ApiError

ANY_OBJECT: Mapping[str, Any] = {"type": "object"}
_ANY_PROMPT = build_conversation(None, (Role.USER, "a"))


def json_grammar(renderer: Renderer, schema: Mapping[str, Any]) -> str:
    """The grammar of an answer that is JSON by `schema`.

    Raises:
        ApiError: the schema says something that cannot be followed token by token.
    """
    try:
        grammar = grammar_of(renderer, schema, _ANY_PROMPT)
        build_matcher(renderer, grammar)
    except DataError as error:
        raise ApiError(str(error), param="response_format") from None
    return grammar
