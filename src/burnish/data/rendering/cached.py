"""Rendered examples, kept between runs: the same rows through the same tokenizer are tokenized once."""

from collections.abc import Sequence
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

from burnish.cache import tolerate_unwritable
from burnish.conversation import Role, build_conversation, to_dicts
from burnish.data.example import Example
from burnish.data.rendering.render import RenderedExample, Renderer, Rendering, render_rows
from burnish.errors import RenderError
from burnish.files import keep_newest, read_jsonl, sha256_of_json, write_jsonl

# Files that stay in the cache; the ones that were used longest ago go.
MAX_FILES = 64


def render_cached(
    renderer: Renderer, examples: Sequence[Example], *, supervise_all: bool, cache: Path, fingerprint: str
) -> Rendering:
    """What `render_rows` gives, read from `cache` where the same rows of the same base (`fingerprint`) are there.

    Rows of which one cannot be rendered are not kept.
    """
    key = sha256_of_json(
        [
            fingerprint,
            sorted(renderer.end_of_turn_ids),
            [version("transformers"), version("tokenizers")],
            [supervise_all, renderer.thinking, renderer.folds_system],
            _prompt_of_today(renderer),
            [[to_dicts(example.messages), example.tools] for example in examples],
        ]
    )
    path = cache / "rendered" / f"{key}.jsonl"
    rows = _read(path, examples)
    if rows is not None:
        return Rendering(list(examples), rows, [])
    rendering = render_rows(renderer, examples, supervise_all=supervise_all)
    if not rendering.findings:
        _write(path, rendering)
    return rendering


def _prompt_of_today(renderer: Renderer) -> str:
    """Some templates write the date into every prompt."""
    try:
        return renderer.prompt_text(build_conversation(None, (Role.USER, "a")))
    except RenderError as error:
        return str(error)


def _read(path: Path, examples: Sequence[Example]) -> list[tuple[RenderedExample, ...]] | None:
    """None where there is no such file, or it is damaged."""
    try:
        rows = read_jsonl(path)
        path.touch()  # so that it is not the next to go
        return [
            tuple(_from_dict(example.id, part) for part in row["parts"])
            for example, row in zip(examples, rows, strict=True)
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, rendering: Rendering) -> None:
    with tolerate_unwritable():
        write_jsonl(path, ({"parts": [_to_dict(part) for part in row]} for row in rendering.rows))
        keep_newest(path.parent, MAX_FILES)


def _to_dict(rendered: RenderedExample) -> dict[str, Any]:
    """The mask as runs of equal values."""
    runs = [(learned, len(list(run))) for learned, run in groupby(rendered.loss_mask)]
    return {"ids": rendered.input_ids, "runs": runs, "prompt_length": rendered.prompt_length}


def _from_dict(id: str, row: dict[str, Any]) -> RenderedExample:
    mask = tuple(learned for learned, count in row["runs"] for _ in range(count))
    return RenderedExample(id, tuple(row["ids"]), mask, row["prompt_length"])
