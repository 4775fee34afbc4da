"""A trained specialist, ready to answer: what `burnish.load` gives."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.conversation import Conversation, Message, Role, Task, build_conversation
from burnish.data import Renderer
from burnish.errors import AdapterError
from burnish.evaluate.metrics.fields import find_object
from burnish.generate.answer import answer_prompts
from burnish.model.adapter import AdapterCard, adapter_off, load_adapter, read_card
from burnish.model.base import find_base, load_model, load_tokenizer
from burnish.model.device import choose_device

BATCH_SIZE = 16


@dataclass(frozen=True)
class Specialist:
    """A base model with its adapter, and the instruction that it was trained with."""

    model: Any
    renderer: Renderer
    card: AdapterCard

    def generate(self, messages: Sequence[Message] | Sequence[dict[str, str]], *, use_adapter: bool = True) -> str:
        """The answer to a conversation, greedily decoded; a system message is added where there is none."""
        conversation = self._with_system(tuple(_as_message(message) for message in messages))
        return self._answers([conversation], use_adapter)[0]

    def classify(self, texts: Iterable[str]) -> list[str]:
        """The most likely label of each text.

        Raises:
            AdapterError: the specialist is not a classifier.
        """
        self._check_task(Task.CLASSIFICATION)
        return self._answers([self._ask(text) for text in texts], use_adapter=True)

    def extract(self, texts: Iterable[str]) -> list[dict[str, Any] | None]:
        """The fields of each text; None where the answer holds no JSON object.

        Raises:
            AdapterError: the specialist does not extract.
        """
        self._check_task(Task.EXTRACTION)
        return [find_object(answer) for answer in self._answers([self._ask(text) for text in texts], use_adapter=True)]

    def _answers(self, conversations: list[Conversation], use_adapter: bool) -> list[str]:
        if not use_adapter:
            with adapter_off(self.model):
                return self._answers(conversations, use_adapter=True)
        answers = answer_prompts(
            self.model,
            self.renderer,
            conversations,
            labels=self.card.labels,
            max_new_tokens=self.card.max_new_tokens,
            batch_size=BATCH_SIZE,
        )
        return [answer.text for answer in answers]

    def _ask(self, text: str) -> Conversation:
        return build_conversation(self.card.system, (Role.USER, text.strip()))

    def _with_system(self, messages: Conversation) -> Conversation:
        if not self.card.system or (messages and messages[0].role is Role.SYSTEM):
            return messages
        return (Message(Role.SYSTEM, self.card.system), *messages)

    def _check_task(self, task: Task) -> None:
        if self.card.task != task:
            raise AdapterError(f"this specialist was trained for {self.card.task}, not for {task}. Use `generate`.")


def load_specialist(adapter: Path) -> Specialist:
    """The specialist in an adapter folder, on its own base model, in fp32.

    Raises:
        AdapterError: no adapter of burnish, or its base has changed.
    """
    import torch

    card = read_card(adapter)
    base = find_base(card.base_model)
    renderer = Renderer(*load_tokenizer(base), thinking=card.thinking)
    model = load_adapter(load_model(base, dtype=torch.float32, device=choose_device()), adapter, base)
    return Specialist(model, renderer, card)


def _as_message(value: Message | dict[str, str]) -> Message:
    return value if isinstance(value, Message) else Message(Role(value["role"]), value["content"])
