"""One JSON value -> its rows: a list, a list below a key, columns, a table of cells, as programs write them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from burnish.data.reading.header import column_name, num_usual_names

MAX_KEYS_DEEP = 4


@dataclass(frozen=True)
class Unwrapped:
    """The items of a value, each of which should be an object, and what was guessed about it; None for a plain list."""

    items: Sequence[Any]
    told: str | None = None
    is_one_row: bool = False


def unwrap(value: Any) -> Unwrapped | str | None:
    """The rows that a value holds. A text says why they cannot be told; None is for a value that is no container."""
    if isinstance(value, list):
        return _from_list(value)
    if not isinstance(value, dict):
        return None
    for way in (_from_table, _as_chat_row, _from_lists, _as_row, _below_a_key, _from_objects):
        if (found := way(value)) is not None:
            return found
    return Unwrapped([value], is_one_row=True) if value else "the object is empty."


def _from_list(items: list[Any]) -> Unwrapped | str:
    """Objects, also each below a key of its own (`row`); or cells below a list of names."""
    if items and all(isinstance(item, dict) and isinstance(item.get("row"), dict) for item in items):
        return Unwrapped([item["row"] for item in items], "each row is read from below the key 'row'.")
    if len(items) > 1 and all(isinstance(item, list) for item in items):
        names = items[0]
        if (
            not all(isinstance(name, str) for name in names)
            or len(set(names)) < len(names)
            or not num_usual_names(names)
        ):
            return "the file is a list of lists, whose first one does not name the columns."
        return Unwrapped(_cells(names, items[1:]), "the first list is read as the names of the columns.")
    return Unwrapped(items)


def _from_table(value: Mapping[str, Any]) -> Unwrapped | None:
    """Names of columns beside lists of cells, as pandas writes it (orient="split")."""
    names, cells = value.get("columns"), value.get("data", value.get("rows", value.get("values")))
    if not isinstance(names, list) or not isinstance(cells, list) or not cells:
        return None
    if not all(isinstance(name, str) for name in names) or not all(isinstance(row, list) for row in cells):
        return None
    return Unwrapped(_cells(names, cells), "'columns' is read as the names of the columns, the lists as rows.")


def _as_chat_row(value: Mapping[str, Any]) -> Unwrapped | None:
    """One conversation by itself: it has a list of messages."""
    firsts = [item[0] for item in value.values() if isinstance(item, list) and item]
    is_row = any(isinstance(first, dict) and ("role" in first or "from" in first) for first in firsts)
    return Unwrapped([value], is_one_row=True) if is_row else None


def _as_row(value: Mapping[str, Any]) -> Unwrapped | None:
    """One row by itself: it has a text or number, and two usual names."""
    is_row = num_usual_names(list(value)) > 1 and not all(isinstance(item, dict | list) for item in value.values())
    return Unwrapped([value], is_one_row=True) if is_row else None


def _below_a_key(value: Mapping[str, Any]) -> Unwrapped | str | None:
    """The only list of objects below the keys of the object, at most a few keys deep."""
    found = [(path, items) for path, items in _lists_in(value) if not _are_parts_of_a_row(path, items)]
    if not found:
        return None
    rows = [(path, items) for path, items in found if path[-1] == "rows"]
    found = rows if len(rows) == 1 else found
    if len(found) > 1:
        shown = ", ".join(repr(".".join(path)) for path, _ in found[:5])
        return f"there are lists of objects below {shown}, and nothing says which of them holds the rows."
    path, items = found[0]
    inner = _from_list(items)
    if isinstance(inner, str):
        return inner
    return Unwrapped(inner.items, f"the rows are read from below the key {'.'.join(path)!r}.")


def _lists_in(value: Mapping[str, Any], path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], list[Any]]]:
    found = []
    for key, item in value.items():
        if isinstance(item, list) and item and all(isinstance(row, dict) for row in item):
            found.append(((*path, key), item))
        elif isinstance(item, dict) and len(path) + 1 < MAX_KEYS_DEEP and len(value) <= 20:
            found += _lists_in(item, (*path, key))
    return found


def _are_parts_of_a_row(path: Sequence[str], items: Sequence[Mapping[str, Any]]) -> bool:
    """Messages, tools, spans and what else is a list of objects inside one row; and the fields of a schema."""
    first = items[0]
    if "role" in first or "from" in first or path[0] in ("schema", "features") or path[-1] in ("tools", "functions"):
        return True
    return "start" in first and "end" in first


def _from_lists(value: Mapping[str, Any]) -> Unwrapped | str | None:
    """Columns, each a list of its cells."""
    lists = {key: cells for key, cells in value.items() if isinstance(cells, list)}
    if len(lists) < len(value) or (len(lists) == 1 and not num_usual_names(list(lists))):
        return None
    if all(isinstance(cells[0], dict) for cells in lists.values() if cells):
        return None
    sizes = {len(cells) for cells in lists.values()}
    if len(sizes) > 1:
        shown = ", ".join(f"{key!r} {len(cells):,}" for key, cells in list(lists.items())[:5])
        return f"the columns are lists of different lengths ({shown})."
    rows = [dict(zip(lists, cells, strict=True)) for cells in zip(*lists.values(), strict=True)]
    return Unwrapped(rows, "each list is read as a column.")


def _from_objects(value: Mapping[str, Any]) -> Unwrapped | None:
    """Columns, or rows, each an object: pandas' orient="columns", its default, and orient="index"."""
    if len(value) < 1 or not all(isinstance(item, dict) and item for item in value.values()):
        return None
    inner = list(dict.fromkeys(key for item in value.values() for key in item))
    is_shared = all(2 * len(item) >= len(inner) for item in value.values())
    if not is_shared:
        return None
    if num_usual_names(list(value)) > num_usual_names(inner) or (_are_numbers(inner) and not _are_numbers(list(value))):
        rows = [{column: cells.get(key) for column, cells in value.items()} for key in inner]
        return Unwrapped(rows, "each object is read as a column, and its keys as rows.")
    if num_usual_names(inner) or _are_numbers(list(value)):
        return Unwrapped(list(value.values()), "each object is read as a row; the keys before them are not used.")
    return None


def _are_numbers(keys: Sequence[str]) -> bool:
    return all(key.lstrip("-").isdigit() for key in keys)


def _cells(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[Any]:
    """Rows of cells by name; one of another length stays a list, which is told as no row."""
    columns = [column_name(name) for name in names]
    return [dict(zip(columns, row, strict=True)) if len(row) == len(columns) else row for row in rows]
