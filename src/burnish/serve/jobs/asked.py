"""What a request asks for: its JSON body, the limits of a page. Whatever is wrong is a 400 that names the parameter."""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from burnish.serve.errors import UNKNOWN_PARAMETER, ApiError, first_problem, unknown_parameter
from burnish.serve.fields import check_names
from burnish.serve.json_values import check_json_value

MAX_LIMIT = 10_000
MAX_DIGITS = 18
"""Python refuses to read numbers of thousands of digits, with an error of its own; SQLite has no larger ones."""
Shape = TypeVar("Shape", bound=BaseModel)


def json_body(max_bytes: int) -> Callable[[Request], Awaitable[dict[str, Any]]]:
    """A dependency that reads the body as a JSON object; an empty body is an empty object."""

    async def read(request: Request) -> dict[str, Any]:
        content = bytearray()
        async for chunk in request.stream():
            content += chunk
            if len(content) > max_bytes:
                raise ApiError(f"The body is larger than {max_bytes:,} bytes.", status=413)
        try:
            value = json.loads(content, parse_constant=_refuse_constant) if content.strip() else {}
            check_json_value(value)
        except RecursionError:
            raise ApiError("The body is nested too deeply to be read.") from None
        except ValueError as error:
            raise ApiError(f"The body is not valid JSON ({error}).") from None
        if not isinstance(value, dict):
            raise ApiError("The body must be a JSON object.")
        return value

    return read


def no_body(max_bytes: int) -> Callable[[Request], Awaitable[None]]:
    """A dependency of routes that read no field at all."""
    read = json_body(max_bytes)

    async def check(request: Request) -> None:
        check_names(await read(request), ())

    return check


def parse(shape: type[Shape], body: Mapping[str, Any], within: str = "") -> Shape:
    """The body in its shape.

    Raises:
        ApiError: tells the first thing that is wrong, with its place in `param`.
    """
    try:
        return shape.model_validate(body)
    except ValidationError as error:
        problem = first_problem(error.errors())
        param = within + ".".join(str(part) for part in problem["loc"] if not _is_branch(part))
        if problem["type"] == UNKNOWN_PARAMETER:
            raise unknown_parameter(param, problem["msg"]) from None
        told = "is missing" if problem["type"] == "missing" else f"is not accepted: {problem['msg'].lower()}"
        raise ApiError(f"'{param}' {told}.", param=param) from None


def page_limit(query: Mapping[str, str], default: int) -> int:
    """`limit`, from 0 (clients may ask for nothing) to 10,000."""
    limit = whole_number(query.get("limit", str(default)))
    if limit is None or limit > MAX_LIMIT:
        raise ApiError(f"'limit' must be a whole number from 1 to {MAX_LIMIT:,}.", param="limit")
    return limit


def whole_number(text: str) -> int | None:
    """The number that plain digits spell; None for anything else, and for more than 18 of them."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS else None


def bracketed(query: Mapping[str, str], name: str) -> dict[str, str]:
    """The values of `name[key]=value`."""
    pattern = re.compile(rf"{re.escape(name)}\[(.+)\]", re.DOTALL)
    found = ((pattern.fullmatch(key), value) for key, value in query.items())
    return {match.group(1): value for match, value in found if match}


def _refuse_constant(name: str) -> None:
    """Python reads NaN and Infinity, which JSON does not have and no reply could say."""
    raise ValueError(f"{name} is no JSON")


def _is_branch(part: int | str) -> bool:
    """pydantic tells which kind of a union it tried, as if that were a key."""
    return isinstance(part, str) and (part.startswith(("literal[", "constrained-", "function-")) or part in _KINDS)


_KINDS = ("int", "float", "str")
