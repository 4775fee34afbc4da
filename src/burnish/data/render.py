"""Example -> token ids with a loss mask, through the base model's own chat template.

The prompt that is rendered for inference is a prefix, id by id, of what is rendered for training; an example for
which the template cannot promise that is refused, since the model would be trained on what it never sees.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from burnish.conversation import Conversation, Message, Role, to_dicts
from burnish.data.example import Example
from burnish.errors import RenderError


class Tokenizer(Protocol):
    """The part of a transformers tokenizer that rendering needs."""

    chat_template: Any

    def apply_chat_template(self, conversation: Any, **kwargs: Any) -> Any: ...
    def __call__(self, text: Any, **kwargs: Any) -> Any: ...
    def decode(self, token_ids: Any, **kwargs: Any) -> Any: ...


@dataclass(frozen=True)
class RenderedExample:
    """`input_ids[i]` is learned where `loss_mask[i]`; `prompt_length` ids come before the last answer."""

    id: str
    input_ids: tuple[int, ...]
    loss_mask: tuple[bool, ...]
    prompt_length: int

    @property
    def prompt_ids(self) -> tuple[int, ...]:
        return self.input_ids[: self.prompt_length]

    @cached_property
    def num_supervised(self) -> int:
        return sum(self.loss_mask)

    @cached_property
    def length(self) -> int:
        """Tokens that have to be fed: nothing after the last supervised token matters, nor does that one itself."""
        return max(i for i, learned in enumerate(self.loss_mask) if learned)


@dataclass(frozen=True)
class Renderer:
    """A tokenizer with its chat template and the ids that end a turn."""

    tokenizer: Tokenizer
    end_of_turn_ids: frozenset[int]

    def prompt_ids(self, messages: Conversation) -> list[int]:
        """The ids that the model is given to answer `messages`."""
        return self._ids(self._text(messages, add_generation_prompt=True))

    def answer_ids(self, text: str) -> list[int]:
        """The ids of an answer, without the end of the turn."""
        return self._ids(text)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of generated ids."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def render(self, example: Example, *, supervise_all: bool = True) -> RenderedExample:
        """The ids and loss mask of an example; answers are learned with their end-of-turn token.

        Raises:
            RenderError: the template is not faithful for this example; names it.
        """
        messages = example.messages
        answers = [i for i, message in enumerate(messages) if message.role is Role.ASSISTANT]
        learned = answers if supervise_all else answers[-1:]
        ids: list[int] = []
        mask: list[bool] = []
        text_done, prompt_length = "", 0
        for i in learned:
            prompt = self._text(messages[:i], add_generation_prompt=True)
            whole = self._text(messages[: i + 1], add_generation_prompt=False)
            if not (prompt.startswith(text_done) and whole.startswith(prompt)):
                raise RenderError(f"{example.id}: {_UNFAITHFUL}")
            before = self._ids(prompt[len(text_done) :])
            answer = self._ids(whole[len(prompt) :])
            kept = self._through_end_of_turn(example, answer, messages[i])
            ids += before + answer
            mask += [False] * len(before) + [j < kept for j in range(len(answer))]
            text_done, prompt_length = whole, len(ids) - len(answer)
        if ids[:prompt_length] != self.prompt_ids(example.prompt):
            raise RenderError(f"{example.id}: {_UNFAITHFUL}")
        return RenderedExample(example.id, tuple(ids), tuple(mask), prompt_length)

    def _through_end_of_turn(self, example: Example, answer: Sequence[int], message: Message) -> int:
        """How many ids of a rendered answer are learned: all through the last end-of-turn token."""
        ends = [j for j, token in enumerate(answer) if token in self.end_of_turn_ids]
        if not ends:
            raise RenderError(
                f"{example.id}: the chat template writes no end-of-turn token after the answer, so the model would "
                "never learn to stop. Mend the base model's chat template."
            )
        rest = self.tokenizer.decode(list(answer[ends[-1] + 1 :]))
        if rest.strip():
            raise RenderError(f"{example.id}: the chat template writes {rest.strip()!r} after the end of the turn.")
        if len(ends) > 1:
            raise RenderError(
                f"{example.id}: the answer holds the end-of-turn token itself ({message.content[:40]!r}...). Remove it."
            )
        return ends[-1] + 1

    def _text(self, messages: Sequence[Message], *, add_generation_prompt: bool) -> str:
        if not self.tokenizer.chat_template:
            return self._plain_text(messages, add_generation_prompt=add_generation_prompt)
        try:
            text = self.tokenizer.apply_chat_template(
                to_dicts(messages), tokenize=False, add_generation_prompt=add_generation_prompt
            )
        except Exception as error:  # jinja templates raise what they like
            raise RenderError(f"the base model's chat template refuses a conversation: {error}") from error
        return str(text)

    def _plain_text(self, messages: Sequence[Message], *, add_generation_prompt: bool) -> str:
        """For base models without a chat template: the texts in turn, an answer closed by the end token."""
        end = self.tokenizer.decode([min(self.end_of_turn_ids)])
        parts = [m.content + (end if m.role is Role.ASSISTANT else "\n") for m in messages]
        return "".join(parts)

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []


_UNFAITHFUL = (
    "the chat template renders the conversation differently for training and for inference. "
    'Set data.supervise = "last", or use a base model whose template keeps earlier turns as they are.'
)


def render_all(renderer: Renderer, examples: Sequence[Example], *, supervise_all: bool) -> list[RenderedExample]:
    """Render examples in order."""
    return [renderer.render(example, supervise_all=supervise_all) for example in examples]


def check_lengths(rendered: Sequence[RenderedExample], max_length: int) -> None:
    """Refuse examples over `max_length` tokens: cutting them would cut answers.

    Raises:
        RenderError: names the examples.
    """
    long = [(r.id, len(r.input_ids)) for r in rendered if len(r.input_ids) > max_length]
    if long:
        shown = ", ".join(f"{name} ({length:,})" for name, length in long[:10]) + (", ..." if len(long) > 10 else "")
        raise RenderError(
            f"{len(long)} of {len(rendered)} examples are longer than data.max_length = {max_length:,} tokens: "
            f"{shown}. Shorten or remove them, or raise data.max_length; burnish never cuts an answer."
        )
