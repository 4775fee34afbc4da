"""JSON schemas: what no answer could follow, told before one is asked for; and whether an answer fits."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from burnish.data.reading.strict_json import parse_strict
from burnish.errors import DataError

MAX_INTEGER = 2**63
"""From here on integers are no longer exact in the programs that read JSON, nor in the grammar that writes it."""
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "const", "enum")
_BY_NAME = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_SINGLE = ("items", "additionalProperties", "contains", "not", "if", "then", "else", "propertyNames")

Schema = Mapping[str, Any]


def check_schema(schema: Any) -> None:
    """Refuse a schema that says nothing, or that no answer can follow.

    Raises:
        DataError: names the part, as a JSON path, and what to do.
    """
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for

    if not isinstance(schema, Mapping):
        raise DataError("at $: a JSON schema is an object. Write {...}.")
    try:
        validator_for(schema).check_schema(dict(schema))
        for path, part in _parts(schema, "$"):
            _check_reference(schema, part, path)
            _check_numbers(part, path)
        endless = _endless_parts(schema)
    except SchemaError as error:
        raise DataError(f"at {error.json_path}: no JSON schema ({error.message}). Mend this part.") from None
    except RecursionError:
        raise DataError("the JSON schema is nested too deeply. Flatten it.") from None
    if endless:
        raise DataError(
            f"at {endless[0]}: this part refers to itself without an end, so no finite JSON fits. "
            "Make the reference optional, or allow null."
        )


def find_breach(schema: Schema, answer: str) -> str | None:
    """Where an answer breaks the schema, and how; None if it fits."""
    from jsonschema.exceptions import best_match

    try:
        value = parse_strict(answer)
    except ValueError:
        return "the answer is not JSON."
    try:
        error = best_match(_validator(schema).iter_errors(value))
    except (re.error, RecursionError):
        return None  # a pattern of another dialect than Python's cannot be tried here
    return f"the answer's {error.json_path}: {error.message}." if error else None


def find_refused(schema: Schema, refusal: Callable[[Schema], str | None]) -> tuple[str, str] | None:
    """The JSON path of the smallest part that is refused by itself, and why; None if the whole is not refused."""
    path, part, reason = "$", schema, refusal(schema)
    if reason is None:
        return None
    is_smallest = False
    while not is_smallest:
        is_smallest = True
        for inner, child in _children(part, path):
            why = refusal({**_definitions(schema), **child}) if isinstance(child, Mapping) else None
            if why is not None:
                path, part, reason, is_smallest = inner, child, why, False
                break
    return path, reason


def _definitions(schema: Schema) -> dict[str, Any]:
    return {key: schema[key] for key in ("$defs", "definitions", "$schema") if key in schema}


def _validator(schema: Schema) -> Any:
    """With exact multiples: 0.07 is a multiple of 0.01."""
    from jsonschema.exceptions import ValidationError
    from jsonschema.validators import extend, validator_for

    def is_multiple(validator: Any, unit: Any, value: Any, part: Any) -> Iterator[ValidationError]:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and Decimal(str(value)) % Decimal(str(unit)):
            yield ValidationError(f"{value!r} is not a multiple of {unit}")

    make: Any = extend  # which tells no types
    return make(validator_for(schema), {"multipleOf": is_multiple})(schema)


def _parts(schema: Any, path: str) -> Iterator[tuple[str, Schema]]:
    """The schema and each schema in it, with its JSON path."""
    if isinstance(schema, Mapping):
        yield path, schema
        for inner, child in _children(schema, path):
            yield from _parts(child, inner)


def _children(schema: Schema, path: str) -> Iterator[tuple[str, Any]]:
    for key in _BY_NAME:
        if isinstance(named := schema.get(key), Mapping):
            yield from ((f"{path}.{key}.{name}", child) for name, child in named.items())
    for key in _LISTS:
        if isinstance(listed := schema.get(key), list):
            yield from ((f"{path}.{key}[{i}]", child) for i, child in enumerate(listed))
    yield from ((f"{path}.{key}", schema[key]) for key in _SINGLE if key in schema)


def _check_reference(root: Schema, part: Schema, path: str) -> None:
    reference = str(part.get("$ref", ""))
    if _is_pointer(reference) and _resolve(root, reference) is None:
        raise DataError(f"at {path}: {reference!r} is nowhere in the schema. Add it, or mend the reference.")


def _check_numbers(part: Schema, path: str) -> None:
    for key in _NUMBERS:
        for value in _numbers_in(part.get(key)):
            if isinstance(value, int) and abs(value) >= MAX_INTEGER:
                raise DataError(f"at {path}.{key}: {value} has more than 64 bits. Use smaller numbers, or text.")
            if not math.isfinite(value):
                raise DataError(f"at {path}.{key}: {value} is no JSON number. Use a finite one.")


def _numbers_in(value: Any) -> Iterator[int | float]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield value
    for item in value if isinstance(value, list) else value.values() if isinstance(value, Mapping) else ():
        yield from _numbers_in(item)


def _is_pointer(reference: str) -> bool:
    """Names and addresses of other documents are for the grammar to find, or to refuse."""
    return reference == "#" or reference.startswith("#/")


def _resolve(root: Any, reference: str) -> Any:
    """What a reference inside the document points to (RFC 6901); None if there is nothing."""
    found = root
    for step in reference.split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and step.isdigit() and int(step) < len(found):
            found = found[int(step)]
        elif isinstance(found, Mapping) and step in found:
            found = found[step]
        else:
            return None
    return found


def _endless_parts(root: Schema) -> list[str]:
    """The parts that only infinite JSON would fit, outermost first: a least fixed point over all parts."""
    parts = dict(_parts(root, "$"))
    ends = dict.fromkeys(map(id, parts.values()), False)

    def has_end(part: Any) -> bool:
        return ends.get(id(part), True) if isinstance(part, Mapping) else True

    has_changed = True
    while has_changed:
        has_changed = False
        for part in parts.values():
            if not ends[id(part)] and _can_end(root, part, has_end):
                ends[id(part)] = has_changed = True
    return [path for path, part in parts.items() if not ends[id(part)]]


def _can_end(root: Schema, part: Schema, has_end: Callable[[Any], bool]) -> bool:
    """Whether some finite value fits, as far as the parts that are known to have an end tell."""
    reference = str(part.get("$ref", ""))
    if _is_pointer(reference) and not has_end(_resolve(root, reference)):
        return False
    if not all(map(has_end, part.get("allOf", ()))):
        return False
    if any(key in part and not any(map(has_end, part[key])) for key in ("anyOf", "oneOf")):
        return False
    kinds = part.get("type", [])
    kinds = {kinds} if isinstance(kinds, str) else set(kinds)
    if "enum" in part or "const" in part or not kinds or kinds - {"object", "array"}:
        return True
    return ("object" in kinds and _object_can_end(part, has_end)) or ("array" in kinds and _list_can_end(part, has_end))


def _object_can_end(part: Schema, has_end: Callable[[Any], bool]) -> bool:
    known = part.get("properties", {})
    return all(has_end(known.get(name, part.get("additionalProperties"))) for name in part.get("required", ()))


def _list_can_end(part: Schema, has_end: Callable[[Any], bool]) -> bool:
    first = part.get("prefixItems", [])
    needed = [first[i] if i < len(first) else part.get("items") for i in range(min(part.get("minItems", 0), 100))]
    return all(map(has_end, needed))
