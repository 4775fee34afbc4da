"""What a reasoning model thinks, apart from what it says."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from burnish.data import Renderer
from burnish.data.rendering.template import template_source
from burnish.serve.engine.text import overlap

OPEN, CLOSE = "<think>", "</think>"
NUM_LAST = 8
"""Tokens of a prompt that spell a thought's beginning."""


class Thoughts(Enum):
    """Whether an answer begins with a thought."""

    NEVER = "the base's template knows none"
    MAYBE = "the model decides"
    BEGUN = "the prompt has begun one"


@dataclass(frozen=True)
class Thought:
    """What a thought goes on with."""

    text: str


def thoughts_of(renderer: Renderer, prompt_ids: Sequence[int], *, has_grammar: bool) -> Thoughts:
    """By the base's template, and by how the prompt ends; a grammar lets the model think only within an answer."""
    if CLOSE not in template_source(renderer.tokenizer):
        return Thoughts.NEVER
    end = str(renderer.tokenizer.decode(list(prompt_ids[-NUM_LAST:])))
    return Thoughts.BEGUN if end.rstrip().endswith(OPEN) and not has_grammar else Thoughts.MAYBE


class ThoughtReader:
    """Reads one answer, whose text comes in pieces."""

    def __init__(self, thoughts: Thoughts) -> None:
        self._thoughts = thoughts
        self._unread = ""

    def feed(self, text: str, *, is_last: bool) -> tuple[str, str]:
        """What `text`, which goes on where the last one ended, adds to the thought and to the answer."""
        unread, self._unread = self._unread + text, ""
        if self._thoughts is Thoughts.MAYBE:
            start = unread.lstrip()
            if OPEN.startswith(start) and not is_last and start != OPEN:
                self._unread = unread
                return "", ""
            is_thought = start.startswith(OPEN)
            self._thoughts = Thoughts.BEGUN if is_thought else Thoughts.NEVER
            unread = start.removeprefix(OPEN) if is_thought else unread
        if self._thoughts is Thoughts.NEVER:
            return "", unread
        thought, close, said = unread.partition(CLOSE)
        if close:
            self._thoughts = Thoughts.NEVER
            return thought, said
        held = 0 if is_last else overlap(thought, CLOSE)
        self._unread = thought[len(thought) - held :]
        return thought[: len(thought) - held], said
