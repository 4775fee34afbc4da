"""The texts that training may replay: what the base itself says to bundled prompts and openings, and to the team's."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.conversation import Role, build_conversation
from burnish.data import RenderedExample, Renderer
from burnish.evaluate.bundled import Half, general_prompts, openings
from burnish.evaluate.general import General
from burnish.evaluate.writing import Writing, answers_to, as_text, expect, texts_behind, write

TEXT_TOKENS = 96
"""Of a text that is replayed, behind its opening."""
MAX_OWN_TOKENS = 512
"""Of a text of the team's own: as much from its beginning is replayed."""


@dataclass(frozen=True)
class Replay:
    """What is to be written for it, and the texts that are taken as they are."""

    writings: tuple[Writing, ...]
    texts: tuple[RenderedExample, ...] = ()

    @property
    def num_written(self) -> int:
        """Answers and texts that the base writes."""
        return sum(len(writing.starts) for writing in self.writings)


def replay_of(renderer: Renderer, general: General | None, *, answer_tokens: int) -> Replay:
    """The bundled texts of the training half, and behind them the team's own."""
    bundled = [
        (row["id"], build_conversation(None, (Role.USER, row["prompt"]))) for row in general_prompts(Half.TRAINING)
    ]
    writings = [
        answers_to(bundled, renderer, answer_tokens),
        texts_behind(openings(), renderer, TEXT_TOKENS),
    ]
    rows = general.rows if general else ()
    if own := [(row.id, row.prompt) for row in rows if row.prompt]:
        writings.append(answers_to(own, renderer, answer_tokens))
    texts = [as_text(row.id, renderer.ids(row.text)[:MAX_OWN_TOKENS]) for row in rows if row.text]
    return Replay(tuple(writings), tuple(text for text in texts if text.num_supervised))


def write_replay(
    model: Any,
    renderer: Renderer,
    replay: Replay,
    *,
    batch_size: int,
    cache: Path,
    fingerprint: str,
    on_done: Callable[[int], None],
) -> list[RenderedExample]:
    """The texts, as `model` writes them; kept in `cache`."""
    written = [
        write(
            model,
            renderer,
            writing,
            batch_size=batch_size,
            cache=cache,
            fingerprint=fingerprint,
            on_done=on_done,
        )
        for writing in replay.writings
    ]
    return [*(example for part in written for example in part), *replay.texts]


def expect_replay(
    replay: Replay, *, cache: Path, fingerprint: str
) -> tuple[list[RenderedExample], list[RenderedExample]]:
    """The texts as far as they are known before the base is there, and those of them that it still has to write."""
    found = [expect(writing, cache=cache, fingerprint=fingerprint) for writing in replay.writings]
    texts = [example for part, _ in found for example in part]
    return [*texts, *replay.texts], [example for part, is_known in found if not is_known for example in part]
