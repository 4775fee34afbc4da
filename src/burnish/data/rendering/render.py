"""Example -> token ids with a loss mask, through the base model's own chat template.

An answer is learned behind exactly the ids that the model is given at inference. What templates do to a conversation
as it grows decides the rest: where a later render begins with all of an earlier one, a conversation is one rendered
example; where a template rewrites earlier turns (drops their thoughts, moves the tools), it is one for each answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from burnish.conversation import Conversation, Message, Role, build_conversation
from burnish.data.example import Example
from burnish.data.finding import Finding
from burnish.data.rendering.faults import (
    END_IN_ANSWER,
    LEFT_OUT,
    NO_EMBEDDING,
    NO_END_OF_TURN,
    NOTHING_LEARNED,
    PROMPT_DIFFERS,
    TEMPLATE_REFUSES,
    TEXT_AFTER_END,
    NoEmbeddingError,
    RowError,
)
from burnish.data.rendering.fidelity import answer_behind, describe_difference, left_out
from burnish.data.rendering.system import fold_system, needs_folding
from burnish.data.rendering.template import Tokenizer, apply_template, plain_text
from burnish.errors import RenderError


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
        """Tokens that are learned; the first of all is not, since nothing predicts it."""
        return sum(self.loss_mask[1:])

    @cached_property
    def length(self) -> int:
        """Tokens that have to be fed: nothing after the last supervised token matters, nor does that one itself."""
        return max(i for i, learned in enumerate(self.loss_mask) if learned)


@dataclass(frozen=True)
class Rendering:
    """Rows with what they became: mostly one rendered example each, none where a finding says why."""

    examples: list[Example]
    rows: list[tuple[RenderedExample, ...]]
    findings: list[Finding]

    @property
    def rendered(self) -> list[RenderedExample]:
        """All of them in order."""
        return [rendered for row in self.rows for rendered in row]


@dataclass(frozen=True)
class Turn:
    """One answer: what the model is given, what it has to write, and how much of that is learned."""

    prompt: list[int]
    answer: list[int]
    num_learned: int


@dataclass(frozen=True)
class Renderer:
    """A tokenizer with its chat template, the ids that end a turn, and whether answers begin with a thought."""

    tokenizer: Tokenizer
    end_of_turn_ids: frozenset[int]
    thinking: bool = False
    num_embeddings: int | None = None
    """Ids from this one on have no embedding; None where that is not known."""

    def prompt_text(self, messages: Conversation, tools: Sequence[str] = ()) -> str:
        """What the model is given to answer `messages`.

        Raises:
            RenderError: the template refuses them.
        """
        return self._text(messages, tools, add_generation_prompt=True)

    def prompt_ids(self, messages: Conversation, tools: Sequence[str] = ()) -> list[int]:
        """The ids that the model is given to answer `messages`; without any, those that begin a text."""
        return self.ids(self.prompt_text(messages, tools)) if messages else [self.start_id]

    def answer_ids(self, prompt: Conversation, text: str) -> list[int]:
        """The ids of an answer to `prompt` as it is learned: as the template writes it, through the end of the turn."""
        example = Example("answer", (*prompt, Message(Role.ASSISTANT, text)))
        (rendered,) = self.render(example, supervise_all=False)
        return [t for t, learned in zip(rendered.input_ids, rendered.loss_mask, strict=True) if learned]

    def ids(self, text: str) -> list[int]:
        """The ids of a text as it stands.

        Raises:
            NoEmbeddingError: the base does not know one of them.
        """
        ids = list(self.tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []
        if self.num_embeddings is not None and ids and max(ids) >= self.num_embeddings:
            token = str(self.tokenizer.decode([max(ids)]))
            raise NoEmbeddingError(f"the base model has no embedding for the token {token!r} (id {max(ids):,}).")
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of generated ids."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    @cached_property
    def bos_id(self) -> int | None:
        """The id that the tokenizer itself puts before a text, None where it puts none there."""
        bos = self.tokenizer.bos_token_id
        return bos if bos is not None and list(self.tokenizer("")["input_ids"])[:1] == [bos] else None

    @cached_property
    def folds_system(self) -> bool:
        """Whether system messages are written into the user's turn, since the template has no place for them."""
        return bool(self.tokenizer.chat_template) and needs_folding(self.tokenizer)

    @cached_property
    def start_id(self) -> int:
        """What a text without a prompt begins with; without a BOS the end token, which parts texts in pretraining."""
        return min(self.end_of_turn_ids) if self.bos_id is None else self.bos_id

    @cached_property
    def end_of_turn_id(self) -> int:
        """The one of `end_of_turn_ids` that the template writes."""
        return self.answer_ids(build_conversation(None, (Role.USER, "a")), "b")[-1]

    def render(self, example: Example, *, supervise_all: bool = True) -> list[RenderedExample]:
        """The ids and loss mask of an example; answers are learned with their end-of-turn token.

        Several where the template rewrites earlier turns: one for each answer, behind the prompt of its own.

        Raises:
            RowError: the row cannot be learned from; names it.
        """
        try:
            return self._render(example, supervise_all=supervise_all)
        except NoEmbeddingError as error:
            raise RowError(NO_EMBEDDING.found(str(error), example.id)) from error

    def _render(self, example: Example, *, supervise_all: bool) -> list[RenderedExample]:
        if not example.prompt:
            return [self._render_text(example)]
        learned = [i for i, m in enumerate(example.messages) if m.role is Role.ASSISTANT and m.is_learned]
        if not learned:
            raise RowError(NOTHING_LEARNED.found("every answer has a weight of 0.", example.id))
        turns = [self._turn(example, i) for i in (learned if supervise_all else learned[-1:])]
        together = _join(example, turns)
        return [together] if together else [alone for turn in turns if (alone := _join(example, [turn]))]

    def _render_text(self, example: Example) -> RenderedExample:
        """An answer to nothing is plain text: no template, all of it learned, closed by the end token."""
        text = self.ids(example.target)
        if not text:
            raise RowError(NOTHING_LEARNED.found("the text is empty.", example.id))
        ids = [self.start_id, *text, min(self.end_of_turn_ids)]
        self._num_learned(example, ids[1:])
        return RenderedExample(example.id, tuple(ids), (False, *[True] * (len(ids) - 1)), 1)

    def _turn(self, example: Example, i: int) -> Turn:
        """The answer that message `i` is."""
        before = self._placed(example.messages[:i])
        try:
            prompt = self._text(before, example.tools, add_generation_prompt=True)
            whole = self._text(example.messages[: i + 1], example.tools, add_generation_prompt=False)
        except RenderError as error:
            raise RowError(TEMPLATE_REFUSES.found(f"{error}.", example.id)) from error
        answer = whole[len(prompt) :] if whole.startswith(prompt) else answer_behind(before[-1], prompt, whole)
        if answer is None:
            raise RowError(PROMPT_DIFFERS.found(describe_difference(prompt, whole), example.id))
        if lost := left_out(before, prompt, example.messages[i], answer) or self._calls_left_out(example, i, prompt):
            raise RowError(LEFT_OUT.found(f"the chat template does not write {lost}.", example.id))
        prompt_ids, answer_ids = self._ids_of_both(prompt, answer)
        return Turn(prompt_ids, answer_ids, self._num_learned(example, answer_ids))

    def _ids_of_both(self, prompt: str, answer: str) -> tuple[list[int], list[int]]:
        """The prompt as it is at inference, and the answer as it is behind it, unless tokens reach over the edge."""
        prompt_ids, whole_ids = self.ids(prompt), self.ids(prompt + answer)
        num_prompt = len(prompt_ids)
        is_prefix = whole_ids[:num_prompt] == prompt_ids
        return prompt_ids, whole_ids[num_prompt:] if is_prefix else self.ids(answer)

    def _calls_left_out(self, example: Example, i: int, prompt: str) -> str | None:
        """Earlier tool calls, if the prompt reads the same without them. (Names do not tell: tools have them too.)"""
        before = example.messages[:i]
        silent = tuple(replace(message, tool_calls=()) for message in before)
        if silent == before:
            return None
        try:
            is_same = self.prompt_text(silent, example.tools) == prompt
        except RenderError:  # it wants an answer, or a call for the tool's
            return None
        return "earlier tool calls" if is_same else None

    def _num_learned(self, example: Example, answer: Sequence[int]) -> int:
        """How many ids of a rendered answer are learned: all through the end-of-turn token."""
        ends = [j for j, token in enumerate(answer) if token in self.end_of_turn_ids]
        if not ends:
            reason = "the chat template writes no end-of-turn token after the answer, so the model would never learn to"
            raise RowError(NO_END_OF_TURN.found(f"{reason} stop.", example.id))
        rest = str(self.tokenizer.decode(list(answer[ends[-1] + 1 :])))
        if rest.strip():
            reason = f"the chat template writes {rest.strip()!r} after the end of the turn."
            raise RowError(TEXT_AFTER_END.found(reason, example.id))
        if len(ends) > 1:
            found = str(self.tokenizer.decode([answer[ends[0]]]))
            raise RowError(END_IN_ANSWER.found(f"the answer holds the end-of-turn token {found!r} itself.", example.id))
        return ends[-1] + 1

    def _text(self, messages: Sequence[Message], tools: Sequence[str], *, add_generation_prompt: bool) -> str:
        if self.tokenizer.chat_template:
            return apply_template(
                self.tokenizer,
                self._placed(messages),
                tools=tools,
                thinking=self.thinking,
                add_generation_prompt=add_generation_prompt,
            )
        start = "" if self.bos_id is None else str(self.tokenizer.decode([self.bos_id]))
        return plain_text(messages, start=start, end=str(self.tokenizer.decode([min(self.end_of_turn_ids)])))

    def _placed(self, messages: Sequence[Message]) -> Conversation:
        """The messages as the template takes them."""
        has_system = any(message.role is Role.SYSTEM for message in messages)
        return fold_system(messages) if has_system and self.folds_system else tuple(messages)


def render_rows(renderer: Renderer, examples: Sequence[Example], *, supervise_all: bool) -> Rendering:
    """Render examples in order; a row that cannot be rendered has a finding in place of ids."""
    rendering = Rendering(list(examples), [], [])
    for example in examples:
        try:
            rendering.rows.append(tuple(renderer.render(example, supervise_all=supervise_all)))
        except RowError as fault:
            rendering.rows.append(())
            rendering.findings.append(fault.finding)
    return rendering


def _join(example: Example, turns: Sequence[Turn]) -> RenderedExample | None:
    """Turns as one example; None if one's prompt does not begin, id by id, with all that came before."""
    ids, mask, prompt_length = list[int](), list[bool](), 0
    for turn in turns:
        if turn.prompt[: len(ids)] != ids:
            return None
        mask += [False] * (len(turn.prompt) - len(ids)) + [j < turn.num_learned for j in range(len(turn.answer))]
        ids, prompt_length = turn.prompt + turn.answer, len(turn.prompt)
    return RenderedExample(example.id, tuple(ids), tuple(mask), prompt_length)
