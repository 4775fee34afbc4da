"""Recipe -> text: the saved recipe of a run, the commented recipe of a newcomer, the JSON schema for editors."""

import json
from typing import Any

import tomli_w
from pydantic import BaseModel

from burnish.conversation import Task
from burnish.recipe.schema import Recipe


def dump_recipe(recipe: Recipe) -> str:
    """The whole recipe as TOML; reading it gives an equal recipe."""
    return tomli_w.dumps(_without_none(recipe.model_dump(mode="json")))


STARTER_BASE = "smollm2-135m-instruct"


def starter_recipe(*, task: Task, data: str, notes: list[str], base: str = STARTER_BASE) -> str:
    """A short recipe with the knobs that newcomers turn, commented; the rest is `auto`."""
    lines = [
        "# A burnish recipe. Everything that is not set here is `auto`; `burnish explain` shows each value and why."
    ]
    lines += [f"# {note}" for note in notes]
    lines += [
        "",
        f'task = "{task.value}"',
        "",
        "[data]",
        f"train = {_quote(data)}",
        '# test = "held_out.jsonl"      # else a fifth of the rows is held out for the verdict',
        '# group_by = "customer_id"     # rows of one customer stay on one side of the split',
        "",
        "[prompt]",
        '# system = "You are ..."       # your best prompt: the base model is judged with it, too',
        "",
        "[model]",
        f"base = {_quote(base)}          # or a folder, or a hub id",
        "",
        "[train]",
        "# epochs = 3",
        "# learning_rate = 1e-3",
        "",
        "[evaluate]",
        "# target = 0.9                 # the score that is good enough; without one no verdict says to ship",
        "",
    ]
    return "\n".join(lines)


def json_schema() -> str:
    """The JSON schema of a recipe, for completion and checks in editors."""
    schema = Recipe.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "burnish recipe"
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def describe_keys(model: type[BaseModel] = Recipe, prefix: str = "") -> list[tuple[str, str]]:
    """Every dotted key with its meaning, in the order of declaration."""
    rows: list[tuple[str, str]] = []
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            rows += describe_keys(field.annotation, f"{prefix}{name}.")
        else:
            rows.append((prefix + name, field.description or ""))
    return rows


def _quote(text: str) -> str:
    return tomli_w.dumps({"x": text}).partition("= ")[2].strip()


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return value
