"""Rendered examples, kept between runs: the same rows through the same tokenizer are tokenized once."""

from collections.abc import Sequence
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

from burnish.conversation import to_dicts
from burnish.data.example import Example
from burnish.data.render import RenderedExample, Renderer, render_all
from burnish.errors import StorageError
from burnish.files import read_jsonl, sha256_of_json, write_jsonl

# Files that stay in the cache; the ones that were used longest ago go.
MAX_FILES = 64


def render_cached(
    renderer: Renderer, examples: Sequence[Example], *, supervise_all: bool, cache: Path, fingerprint: str
) -> list[RenderedExample]:
    """What `render_all` gives, read from `cache` where the same rows of the same base (`fingerprint`) are there.

    Raises:
        RenderError: the template is not faithful for an example; names it.
    """
    key = sha256_of_json(
        [
            fingerprint,
            sorted(renderer.end_of_turn_ids),
            [version("transformers"), version("tokenizers")],
            supervise_all,
            [to_dicts(example.messages) for example in examples],
        ]
    )
    path = cache / "rendered" / f"{key}.jsonl"
    found = _read(path, examples)
    if found is None:
        found = render_all(renderer, examples, supervise_all=supervise_all)
        _write(path, found)
    return found


def _read(path: Path, examples: Sequence[Example]) -> list[RenderedExample] | None:
    """None where there is no such file, or it is damaged."""
    try:
        rows = read_jsonl(path)
        path.touch()  # so that it is not the next to go
        return [
            RenderedExample(
                example.id,
                tuple(row["ids"]),
                tuple(learned for learned, count in row["runs"] for _ in range(count)),
                row["prompt_length"],
            )
            for example, row in zip(examples, rows, strict=True)
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, rendered: Sequence[RenderedExample]) -> None:
    """The mask as runs of equal values. A cache that cannot be written is no reason to stop."""
    try:
        write_jsonl(
            path,
            (
                {
                    "ids": example.input_ids,
                    "runs": [(learned, len(list(run))) for learned, run in groupby(example.loss_mask)],
                    "prompt_length": example.prompt_length,
                }
                for example in rendered
            ),
        )
        files = sorted(path.parent.glob("*.jsonl"), key=lambda file: file.stat().st_mtime, reverse=True)
        for file in files[MAX_FILES:]:
            file.unlink(missing_ok=True)
    except (StorageError, OSError):
        return
