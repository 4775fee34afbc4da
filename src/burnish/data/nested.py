"""A JSON value as what it says, so that two values that say the same are equal however they are written."""

import json
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

MAX_DEPTH = 50
"""What lies deeper is compared as one piece of text."""


@dataclass(frozen=True)
class Leaf:
    """A value that holds no others, with its place: "order.id", "items[].name"."""

    path: str
    kind: str
    text: str


@dataclass(frozen=True)
class Fields:
    """An object, by key in one order."""

    parts: tuple[tuple[str, "Node"], ...]


@dataclass(frozen=True)
class Items:
    """A list; in one order, so that lists of the same items are equal, unless their order says something."""

    path: str
    parts: tuple["Node", ...]
    is_ordered: bool


Node = Leaf | Fields | Items


def build_tree(value: Any, path: str = "", ordered: Collection[str] = (), depth: int = 0) -> Node | None:
    """What a value says; None where it says nothing, as null and an empty list or object do.

    Numbers are equal by value, texts after Unicode normalization (NFC) and without white space around them; a text is
    never a number, true is not 1. `ordered` are the paths of lists whose order counts: there each item keeps its
    place, also null.
    """
    if value is None:
        return None
    if depth == MAX_DEPTH:
        return Leaf(path, "json", json.dumps(value, sort_keys=True, default=str))
    if isinstance(value, Mapping):
        found = ((key, build_tree(value[key], f"{path}.{key}" if path else key, ordered, depth + 1)) for key in value)
        parts = [(key, node) for key, node in found if node]
        return Fields(tuple(sorted(parts, key=lambda part: part[0]))) if parts else None
    if isinstance(value, list | tuple):
        return _list(value, path, ordered, depth)
    return _leaf(value, path)


def leaves(node: Node | None) -> Iterator[Leaf]:
    """The values of a tree that hold no others."""
    if isinstance(node, Leaf):
        yield node
    elif isinstance(node, Fields):
        for _, part in node.parts:
            yield from leaves(part)
    elif node is not None:
        for part in node.parts:
            yield from leaves(part)


def list_paths(value: Any, path: str = "") -> Iterator[str]:
    """The places of the lists in a value: "items", "order.items", "table[]"."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from list_paths(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        yield path
        for inner in value:
            yield from list_paths(inner, f"{path}[]")


def ordered_lists(schema: Mapping[str, Any]) -> frozenset[str]:
    """The paths of the lists whose order a JSON schema fixes: those with `prefixItems`, or `items` one by one."""
    return frozenset(_ordered_in(schema, schema, "", 0))


def _list(value: Any, path: str, ordered: Collection[str], depth: int) -> Items | None:
    inside = f"{path}[]"
    parts = [build_tree(item, inside, ordered, depth + 1) for item in value]
    if path in ordered:
        kept = tuple(part or Leaf(inside, "null", "") for part in parts)
        return Items(path, kept, is_ordered=True) if any(parts) else None
    some = sorted((part for part in parts if part), key=repr)
    return Items(path, tuple(some), is_ordered=False) if some else None


def _leaf(value: Any, path: str) -> Leaf:
    if isinstance(value, bool):
        return Leaf(path, "boolean", str(value))
    if isinstance(value, int | float | Decimal):
        return Leaf(path, "number", _number(Decimal(str(value)) if isinstance(value, float) else Decimal(value)))
    return Leaf(path, "text", unicodedata.normalize("NFC", str(value).strip()))


def _number(value: Decimal) -> str:
    """One spelling for each value: 10, 10.0 and 1e1 are "1e1"."""
    sign, digits, exponent = value.as_tuple()
    if isinstance(exponent, str):  # NaN and Infinity, which Python's JSON reads
        return str(value)
    text = "".join(map(str, digits))
    short = text.rstrip("0")
    return f"{'-' if sign else ''}{short.lstrip('0')}e{exponent + len(text) - len(short)}" if short else "0"


def _ordered_in(schema: Any, root: Mapping[str, Any], path: str, depth: int) -> Iterator[str]:
    if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
        return
    if isinstance(reference := schema.get("$ref"), str):
        yield from _ordered_in(_resolve(reference, root), root, path, depth + 1)
    for key, inner in _mapping(schema.get("properties")).items():
        yield from _ordered_in(inner, root, f"{path}.{key}" if path else key, depth + 1)
    for word in ("anyOf", "allOf", "oneOf"):
        for inner in _sequence(schema.get(word)):
            yield from _ordered_in(inner, root, path, depth + 1)
    one_by_one = [*_sequence(schema.get("prefixItems")), *_sequence(schema.get("items"))]
    if one_by_one:
        yield path
    for inner in [*one_by_one, schema.get("items")]:
        yield from _ordered_in(inner, root, f"{path}[]", depth + 1)


def _resolve(reference: str, root: Mapping[str, Any]) -> Any:
    """A part of the same schema; None where there is no such part."""
    value: Any = root
    for name in reference.removeprefix("#").split("/")[1:]:
        value = _mapping(value).get(name.replace("~1", "/").replace("~0", "~"))
    return value if reference.startswith("#") else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _sequence(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
