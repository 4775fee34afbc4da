"""TOML and `key=value` overrides -> one validated Recipe, with all problems told at once."""

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from burnish.errors import RecipeError
from burnish.recipe.origin import Origin, OriginKind
from burnish.recipe.schema import Recipe

PATH_KEYS = (
    "data.train",
    "data.validation",
    "data.test",
    "data.json_schema",
    "model.base",
    "evaluate.previous",
    "evaluate.recorded",
    "retention.general",
    "retention.keep",
)
NAMES_TOO = ("model.base", "evaluate.previous")
"""Of these a value that is no folder is a name."""


@dataclass(frozen=True)
class LoadedRecipe:
    """A valid recipe and, for each key that somebody set, where it was set."""

    recipe: Recipe
    origins: dict[str, Origin]
    folder: Path
    """Beside which the team's own metrics lie: that of the file, or the current one."""


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> LoadedRecipe:
    """Read a recipe file; paths in it are relative to the file, paths in overrides to the current folder.

    Raises:
        RecipeError: the file cannot be read or parsed, or any key or value is wrong; names all of them.
    """
    return build_recipe(_read_toml(path), overrides=overrides, base_folder=path.parent, name=str(path))


def build_recipe(
    values: Mapping[str, Any], *, overrides: Sequence[str] = (), base_folder: Path | None = None, name: str = "recipe"
) -> LoadedRecipe:
    """Validate nested `values` with `overrides` ("train.epochs=2") laid over them."""
    folder = (base_folder or Path.cwd()).resolve()
    merged = _anchor_paths(dict(values), folder)
    origins = {key: Origin(OriginKind.FILE, name) for key, _ in _walk(merged)}
    for key, value in map(_parse_override, overrides):
        _set(merged, key, value)
        origins[_key_of(key.split("."))] = Origin(OriginKind.COMMAND_LINE)
    merged = _anchor_paths(merged, Path.cwd())
    try:
        recipe = Recipe.model_validate(merged)
    except ValidationError as error:
        raise RecipeError(_explain_all(error, name, origins)) from None
    return LoadedRecipe(recipe, origins, folder)


def all_keys(model: type[BaseModel] = Recipe, prefix: str = "") -> list[str]:
    """Every dotted key of the recipe, in the order of declaration."""
    keys: list[str] = []
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys += all_keys(field.annotation, f"{prefix}{name}.")
        else:
            keys.append(prefix + name)
    return keys


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise RecipeError(f"{path}: no such recipe. Make one with `burnish init DATA`.") from None
    except IsADirectoryError:
        raise RecipeError(f"{path}: this is a folder. Name the recipe file in it.") from None
    except UnicodeDecodeError:
        raise RecipeError(f"{path}: not UTF-8 text. A recipe is a TOML file; save it as UTF-8.") from None
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror}). Check its permissions.") from None
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path}: not valid TOML: {error}. Text needs quotes; a table starts with [name].") from None


def _anchor_paths(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Make the paths absolute, so that a saved recipe works from anywhere."""
    anchored = {key: dict(value) if isinstance(value, Mapping) else value for key, value in values.items()}
    for section, key in (key.split(".") for key in PATH_KEYS):
        table = anchored.get(section)
        if isinstance(table, dict) and isinstance(text := table.get(key), str) and text:
            if text.startswith("hf://"):
                continue
            path = (folder / os.path.expanduser(text)).resolve()  # unlike Path's, leaves an unknown ~name as it is
            if f"{section}.{key}" not in NAMES_TOO or path.is_dir():
                table[key] = str(path)
    retention = anchored.get("retention")
    if isinstance(retention, dict) and isinstance(names := retention.get("lm_eval"), list | tuple):
        files = [folder / name if isinstance(name, str) else None for name in names]  # a task is a file or a name
        retention["lm_eval"] = [
            str(file.resolve()) if file and file.is_file() else name for file, name in zip(files, names, strict=True)
        ]
    return anchored


def _walk(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        dotted = f"{prefix}{key}"
        if isinstance(value, Mapping) and dotted in Recipe.model_fields:
            yield from _walk(value, f"{dotted}.")
        else:
            yield dotted, value


def _parse_override(text: str) -> tuple[str, Any]:
    key, equals, raw = text.partition("=")
    if not equals or not key.strip():
        raise RecipeError(f'"{text}": not an override. Write key=value, e.g. train.epochs=2.')
    try:
        value: Any = tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        value = raw  # a bare word or path needs no quotes on the command line
    return key.strip(), value


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    *tables, last = key.split(".")
    for table in tables:
        child = values.get(table)
        values[table] = dict(child) if isinstance(child, Mapping) else {}
        values = values[table]
    values[last] = value


def _explain_all(error: ValidationError, name: str, origins: Mapping[str, Origin]) -> str:
    """One line for each key at fault, however many branches of its type complained."""
    messages: dict[str, str] = {}
    for problem in error.errors():
        key = _key_of(problem["loc"])
        messages.setdefault(key, _explain(key, problem))
    lines = []
    for key, message in messages.items():
        where = "command line" if (o := origins.get(key)) and o.kind is OriginKind.COMMAND_LINE else name
        lines.append(f"{where}: {message}")
    head = f"{len(lines)} problems:\n  " if len(lines) > 1 else ""
    return head + "\n  ".join(lines)


def _key_of(location: Sequence[int | str]) -> str:
    """The longest beginning that is a key of the recipe; the rest names union branches, or a column."""
    parts = [str(part) for part in location]
    known = set(all_keys())
    for end in range(len(parts), 0, -1):
        if (key := ".".join(parts[:end])) in known:
            return key
    return ".".join(parts)


def _explain(key: str, problem: Any) -> str:
    if problem["type"] == "extra_forbidden":
        return f"`{key}` is not a key of a recipe.{_suggest(key)}"
    if problem["type"] == "missing":
        return f"`{key}` is missing. {_describe(key)}"
    found = problem["input"]
    return f"`{key}` = {found!r} is not accepted: expected {_expected(key)}. {_describe(key)}"


def _suggest(key: str) -> str:
    keys = all_keys()
    close = difflib.get_close_matches(key, keys, n=1, cutoff=0.8)
    by_last = {k.rsplit(".", 1)[-1]: k for k in keys}
    close = close or [by_last[m] for m in difflib.get_close_matches(key.rsplit(".", 1)[-1], by_last, n=1, cutoff=0.6)]
    return f" Did you mean `{close[0]}`?" if close else " `burnish explain --keys` lists all."


def _describe(key: str) -> str:
    model: type[BaseModel] = Recipe
    *tables, last = key.split(".")
    for table in tables:
        annotation = model.model_fields[table].annotation if table in model.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return ""
        model = annotation
    text = (field.description or field.annotation.__doc__ or "") if (field := model.model_fields.get(last)) else ""
    text = text.strip().rstrip(".")
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _expected(key: str) -> str:
    model: type[BaseModel] = Recipe
    *tables, last = key.split(".")
    for table in tables:
        model = model.model_fields[table].annotation  # type: ignore[assignment]
    schema = model.model_json_schema()
    return _words(schema["properties"][last], schema.get("$defs", {}))


def _words(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> str:
    """A JSON schema of one value, in words."""
    if "$ref" in schema:
        return _words(defs[schema["$ref"].rsplit("/", 1)[-1]], defs)
    if "allOf" in schema:
        return _words(schema["allOf"][0], defs)
    if "anyOf" in schema:
        return " or ".join(_words(branch, defs) for branch in schema["anyOf"])
    if "enum" in schema:
        return "one of " + ", ".join(f'"{value}"' for value in schema["enum"])
    if "const" in schema:
        return f'"{schema["const"]}"'
    names = {
        "string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false",
        "array": "a list", "object": "a table", "null": "nothing",
    }  # fmt: skip
    words = names.get(str(schema.get("type")), "a value")
    limits = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    if "examples" in schema:
        words += f' like "{schema["examples"][0]}"'
    bounds = [f"{text} {schema[limit]:g}" for limit, text in limits.items() if limit in schema]
    return " ".join([words, " and ".join(bounds)]).strip()
