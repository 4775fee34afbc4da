"""Fields of a request's body: every door knows its own by name, and refuses any other with the nearest one it knows.

A field that is passed over in silence gives another answer than the one that was asked for.
"""

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from burnish.serve.errors import UNKNOWN_PARAMETER, unknown_parameter

REMEDIES = {
    "args": "Use 'arguments'",
    "chat_template_kwargs": "No switch of a template can be set by a request",
    "continue_final_message": "Send the beginning of the answer to /v1/completions as a part of the prompt",
    "enable_thinking": "No switch of a template can be set by a request",
    "extra_body": "OpenAI's client puts what is in extra_body beside the other fields: send those themselves",
    "format": "Use response_format with type json_schema",
    "grammar": "Use response_format with type json_schema",
    "guided_grammar": "Use response_format with type json_schema",
    "guided_json": "Use response_format with type json_schema",
    "guided_regex": "Use response_format with type json_schema and a pattern in the schema",
    "ignore_eos": "Nothing makes an answer longer; leave it out",
    "input_schema": "Use 'parameters'",
    "input_type": "The encoder reads all texts alike",
    "max_length": "Use 'max_tokens', which counts the answer alone",
    "max_new_tokens": "Use 'max_tokens'",
    "max_output_tokens": "Use 'max_tokens'",
    "messages": "Send messages to /v1/chat/completions",
    "min_tokens": "Nothing makes an answer longer; leave it out",
    "num_predict": "Use 'max_tokens'",
    "n_predict": "Use 'max_tokens'",
    "options": "Send what is in it beside the other fields, by the names of OpenAI's API",
    "prompt": "Send a text that is to go on to /v1/completions",
    "reasoning": "Use 'reasoning_effort'",
    "repeat_penalty": "Use 'frequency_penalty' or 'presence_penalty'",
    "repetition_penalty": "Use 'frequency_penalty' or 'presence_penalty'",
    "stop_sequences": "Use 'stop'",
    "structured_outputs": "Use response_format with type json_schema, or guided_choice",
    "system": "Send it as the first message, with role system",
    "think": "No switch of a template can be set by a request",
    "thinking": "Use 'reasoning_effort'",
}
"""What to do in place of fields of other servers."""


class Shape(BaseModel):
    """A JSON object whose fields are all known; null says nothing, so it may stand under any name."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _knows_every_field(cls, value: Any) -> Any:
        if isinstance(value, dict):
            known = _names(cls)
            for name, given in value.items():
                if name not in known and given is not None:
                    raise _unknown(cls, str(name), given)
        return value


def check_names(given: Collection[str], known: Collection[str], within: str = "") -> None:
    """The same for the fields of a form, or of an object that has no shape; `within` is where it stands.

    Raises:
        ApiError: one is not known.
    """
    for name in given:
        if name not in known:
            raise unknown_parameter(within + name, _remedy(name, {each: each for each in known}))


def _unknown(shape: type[BaseModel], name: str, given: Any) -> ValidationError:
    problem = PydanticCustomError(UNKNOWN_PARAMETER, "{remedy}", {"remedy": _remedy(name, _places(shape))})
    return ValidationError.from_exception_data(
        shape.__name__, [InitErrorDetails(type=problem, loc=(name,), input=given)]
    )


def _remedy(name: str, places: Mapping[str, str]) -> str:
    """`places`: the known fields, each with its place as a client writes it."""
    if name in places:
        return f"Its place is '{places[name]}'."
    if name in REMEDIES:
        return f"{REMEDIES[name]}."
    near = _nearest(name, {known: place for known, place in places.items() if known == place}, cutoff=0.7)
    near = near or _nearest(name, places, cutoff=0.85)
    if near:
        return f"Did you mean '{near}'?"
    return "Leave it out; /openapi.json lists the fields."


def _nearest(name: str, places: Mapping[str, str], *, cutoff: float) -> str | None:
    """The place of the field whose name is most like it, or is a part of it, or has it as a part."""
    asked, plain = _plain(name), {_plain(known): place for known, place in places.items()}
    close = difflib.get_close_matches(asked, plain, n=1, cutoff=cutoff)
    close = close or [
        known for known in plain if min(len(known), len(asked)) > 2 and (asked in known or known in asked)
    ]
    return plain[close[0]] if close else None


def _plain(name: str) -> str:
    """Without what naming styles differ in: maxTokens, max-tokens and MAX_TOKENS are alike."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _names(shape: type[BaseModel]) -> set[str]:
    return {name for name, _ in _fields(shape)}


def _places(shape: type[BaseModel]) -> dict[str, str]:
    """The place of every field that does something; of those further down, where there is only one of that name."""
    inner: dict[str, list[str]] = {}
    for name, place in _inner_places(shape, "", 2):
        inner.setdefault(name, []).append(place)
    own = {name: name for name, annotation in _fields(shape) if annotation is not Any}
    return {name: places[0] for name, places in inner.items() if len(places) == 1} | own


def _inner_places(shape: type[BaseModel], within: str, levels: int) -> Iterator[tuple[str, str]]:
    for name, annotation in _fields(shape) if levels else ():
        for inner in _shapes_in(annotation):
            place = f"{within}{name}."
            yield from ((each, place + each) for each, kind in _fields(inner) if kind is not Any)
            yield from _inner_places(inner, place, levels - 1)


def _fields(shape: type[BaseModel]) -> list[tuple[str, Any]]:
    return [(field.alias or name, field.annotation) for name, field in shape.model_fields.items()]


def _shapes_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, Shape):
        yield annotation
    for inner in get_args(annotation):
        yield from _shapes_in(inner)
