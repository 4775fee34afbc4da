"""What a request lets the model call, and what it makes it call."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from burnish.serve.errors import ApiError
from burnish.serve.fields import check_names
from burnish.serve.inference.shapes import ChatRequest, FunctionShape, NameShape


@dataclass(frozen=True, kw_only=True)
class Tools:
    """The functions that an answer may call."""

    declarations: tuple[str, ...] = ()
    """As JSON texts, for the template."""
    names: frozenset[str] = frozenset()
    is_parallel: bool = True
    """Whether one answer may make several calls."""
    is_legacy: bool = False
    """Whether the client speaks of functions, the wire's word before it had tools."""
    must_call: bool = False
    """Whether the answer must be a call."""
    schema: Mapping[str, Any] = field(default_factory=dict)
    """Of a call, as most models write it: an object with the name and the arguments."""
    promised: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Functions whose arguments fit their schema in every finished answer: where a call is forced, or strict."""


NO_TOOLS = Tools()


def tools_of(body: ChatRequest) -> Tools:
    """What the model may or must call; nothing where the client chose "none".

    Raises:
        ApiError: a choice that is unknown, or that names no function of the request.
    """
    is_legacy = not body.tools and bool(body.functions)
    functions = [tool.function for tool in body.tools or ()] or body.functions or []
    choice = body.function_call if is_legacy else body.tool_choice
    param = "function_call" if is_legacy else "tool_choice"
    must_call, wanted = _read_choice(choice, param)
    known = {function.name: function for function in functions}
    for name in wanted or ():
        if name not in known:
            raise ApiError(f"{param}: {name!r} is none of the functions of this request.", param=param)
    chosen = [function for function in functions if wanted is None or function.name in wanted]
    if must_call and not chosen:
        raise ApiError(f"{param}: there is no function to call. Send tools.", param=param)
    if not chosen:
        return NO_TOOLS
    return Tools(
        declarations=tuple(_declaration(function) for function in chosen),
        names=frozenset(function.name for function in chosen),
        is_parallel=body.parallel_tool_calls is not False and not is_legacy,
        is_legacy=is_legacy,
        must_call=must_call,
        schema=_call_schema(chosen),
        promised={function.name: _parameters(function) for function in chosen if must_call or function.strict},
    )


def call_or(tools: Tools, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of an answer that either calls a tool or fits `schema`."""
    either = {"call": tools.schema, "answer": schema}
    places = {name: f"#/$defs/{name}" for name in either}
    moved = {name: _moved(own, places[name]) for name, own in either.items()}
    return {"$defs": moved, "anyOf": [{"$ref": place} for place in places.values()]}


def _read_choice(choice: str | dict[str, Any] | NameShape | None, param: str) -> tuple[bool, list[str] | None]:
    """Whether a call must be made, and which functions may be called; None: all of the request."""
    if isinstance(choice, dict):
        _check_choice(choice, param)
    match choice.model_dump() if isinstance(choice, NameShape) else choice:
        case None | "auto":
            return False, None
        case "none":
            return False, []
        case "required":
            return True, None
        case {"type": "function", "function": {"name": str(name)}} | {"name": str(name)}:
            return True, [name]
        case {"type": "allowed_tools", "allowed_tools": {"mode": "auto" | "required" as mode, "tools": list(tools)}}:
            return mode == "required", [_allowed_name(tool, param) for tool in tools]
    raise ApiError(f"{param}: {json.dumps(choice)} is no choice. Use none, auto, required or a function.", param=param)


def _check_choice(choice: Mapping[str, Any], param: str) -> None:
    """Every field of a choice is known, those within it as well."""
    known: dict[str, tuple[str, ...]] = {
        "type": (),
        "name": (),
        "function": ("name",),
        "allowed_tools": ("mode", "tools"),
    }
    for within, fields in {"": (*known,), **known}.items():
        inner = choice.get(within) if within else choice
        if isinstance(inner, dict):
            check_names(inner, fields, f"{param}.{within}." if within else f"{param}.")


def _allowed_name(tool: Any, param: str) -> str:
    match tool:
        case {"function": {"name": str(name)}} | {"name": str(name)}:
            return name
    raise ApiError(f"{param}: an allowed tool has no name.", param=param)


def _declaration(function: FunctionShape) -> str:
    told = function.model_dump(include={"name", "description", "parameters"}, exclude_none=True)
    declared = {"type": "function", "function": told}
    return json.dumps(declared, ensure_ascii=False)


def _call_schema(functions: Sequence[FunctionShape]) -> dict[str, Any]:
    """A call of one of them."""
    calls = [
        {
            "type": "object",
            "properties": {"name": {"const": function.name}, "arguments": {"$ref": f"#/$defs/{i}"}},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for i, function in enumerate(functions)
    ]
    parameters = {str(i): _moved(_parameters(function), f"#/$defs/{i}") for i, function in enumerate(functions)}
    return {"$defs": parameters, **(calls[0] if len(calls) == 1 else {"anyOf": calls})}


def _parameters(function: FunctionShape) -> dict[str, Any]:
    return {"type": "object", **(function.parameters or {})}


def _moved(schema: Any, place: str) -> Any:
    """The schema with its references to itself as they read from a document in which it stands at `place`."""
    if isinstance(schema, list):
        return [_moved(item, place) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: place + value[1:]
        if key == "$ref" and isinstance(value, str) and value.startswith("#")
        else _moved(value, place)
        for key, value in schema.items()
    }
