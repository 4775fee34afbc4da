"""JSON schemas -> grammars that the engine follows token by token."""

from collections.abc import Mapping
from typing import Any

from burnish.conversation import Role, build_conversation
from burnish.data import Renderer
from burnish.errors import DataError
from burnish.generate import constrained
from burnish.serve.errors import ApiError

ANY_PROMPT = build_conversation(None, (Role.USER, "?"))
"""What a template writes around an answer does not depend on the question."""


def json_grammar(renderer: Renderer, schema: Mapping[str, Any], *, param: str = "response_format") -> str:
    """The grammar of an answer that is JSON by `schema`, and that ends where the JSON does.

    Raises:
        ApiError: the schema says something that cannot be followed; `param` is where the client wrote it.
    """
    try:
        constrained.build_matchers(renderer, schema, [ANY_PROMPT])
        return constrained.json_grammar(renderer, schema, ANY_PROMPT)
    except (DataError, RecursionError) as error:
        reason = str(error) if isinstance(error, DataError) else "the JSON schema is nested too deeply. Flatten it."
        raise ApiError(reason, param=param, code="invalid_schema") from error
