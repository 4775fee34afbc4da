"""Checks of the rendered rows together: what the template and the tokenizer do to them without a word."""

import re
from collections.abc import Sequence

from burnish.conversation import Conversation, Message, Role, build_conversation
from burnish.data.example import Example
from burnish.data.finding import Check, Finding, Severity
from burnish.data.formats.learned import THOUGHT_KEYS
from burnish.data.rendering.fidelity import THOUGHT_END, thought_of
from burnish.data.rendering.render import Renderer, Rendering
from burnish.data.rendering.system import SYSTEM_MARK, USER_MARK
from burnish.data.rendering.template import template_source
from burnish.errors import RenderError

SPECIAL_TOKENS = Check(
    "special_tokens_in_text",
    Severity.WARNING,
    "texts that hold the model's control tokens",
    "If it is left from another tool's chat format, take it out; else the model sees a turn begin or end there.",
)
DOUBLED_BOS = Check(
    "doubled_bos",
    Severity.ERROR,
    "more than one beginning-of-sequence token",
    "Mend the base model's chat template.",
)
MISSING_BOS = Check(
    "missing_bos",
    Severity.WARNING,
    "no beginning-of-sequence token where the tokenizer puts one before any other text",
    "Compare the base model's chat template with its publisher's.",
)
TOOLS_IGNORED = Check(
    "tools_ignored",
    Severity.WARNING,
    "tools that the chat template does not write",
    "Use a base model whose template knows tools, or describe them in the system message.",
)
UNASKED_THOUGHTS = Check(
    "unasked_thoughts",
    Severity.WARNING,
    "answers with thoughts while thinking is switched off",
    "Set prompt.thinking = true, or take the thoughts out.",
)
NO_THOUGHTS = Check(
    "no_thoughts",
    Severity.ERROR,
    "answers with thoughts for a base model whose chat template has none",
    "Use a base model that thinks, take the thoughts out with `burnish check --fix`, or set prompt.thinking = true to "
    "learn them as text, which a server then sends with the answer.",
)
DEFAULT_SYSTEM = Check(
    "default_system_message",
    Severity.NOTE,
    "a system message that the chat template adds by itself",
    "To have another one, set prompt.system; an empty one does not take it away.",
)
NO_SYSTEM_ROLE = Check(
    "no_system_role",
    Severity.NOTE,
    "a base model whose chat template has no place for system messages",
    "Nothing need be done. Another server must do the same: the instruction, an empty line, then the user's message.",
)
PROMPT_TRIMMED = Check(
    "prompt_trimmed",
    Severity.NOTE,
    "questions and system messages whose white space at the edges the chat template takes away",
    "Nothing need be done: serving takes it away as well. If it has a meaning, put it inside the text.",
)
DATED_PROMPT = Check(
    "dated_prompt",
    Severity.NOTE,
    "a chat template that writes today's date into every prompt",
    "The model is trained with the date of the run and will be used with later ones.",
)
TURNS_APART = Check(
    "turns_apart",
    Severity.NOTE,
    "conversations whose earlier turns the chat template rewrites",
    'Each answer is an example of its own, behind what the model then saw. Set data.supervise = "last" to learn one.',
)


def check_rendering(renderer: Renderer, rendering: Rendering) -> list[Finding]:
    """The findings about rows that could be rendered."""
    examples = [example for example, row in zip(rendering.examples, rendering.rows, strict=True) if row]
    findings = [
        _bos(renderer, rendering),
        _tools_ignored(renderer, examples),
        _default_system(renderer, examples),
        _no_system_role(renderer, examples),
        _prompt_trimmed(renderer, examples),
        _dated_prompt(renderer, examples),
        _turns_apart(rendering),
    ]
    return [*_special_tokens(renderer, examples), *_thoughts(renderer, examples), *filter(None, findings)]


def has_thoughts(examples: Sequence[Example]) -> bool:
    """Whether an answer holds a thought, as reasoning models write them."""
    return any(_has_thought(example) for example in examples)


def check_thoughts(renderer: Renderer, examples: Sequence[Example]) -> list[Finding]:
    """The rows with thoughts, empty ones too, that the base's template could not tell from the answer."""
    source = template_source(renderer.tokenizer)
    if not source or any(mark in source for mark in (THOUGHT_END, *THOUGHT_KEYS)):
        return []
    told = "an answer holds a thought (<think>), and the chat template does not know thoughts."
    return [NO_THOUGHTS.found(told, e.id) for e in examples if _has_thought(e, may_be_empty=True)]


def default_system(renderer: Renderer) -> str:
    """The system message that the template writes where a conversation has none; "" if it writes none."""
    try:
        alone = renderer.prompt_text(_probe(None))
        head, _, tail = renderer.prompt_text(_probe(SYSTEM_MARK)).partition(SYSTEM_MARK)
    except RenderError:
        return ""
    is_alike = alone.startswith(head) and alone.endswith(tail) and len(alone) > len(head) + len(tail)
    return alone[len(head) : len(alone) - len(tail)].strip() if is_alike else ""


def _probe(system: str | None) -> Conversation:
    return build_conversation(system, (Role.USER, USER_MARK))


def _special_tokens(renderer: Renderer, examples: Sequence[Example]) -> list[Finding]:
    """Told, not refused: "<s>" is also HTML, the same text reads alike at inference, and it is the user's to judge."""
    tokens = special_tokens(renderer)
    if not tokens:
        return []
    pattern = re.compile("|".join(map(re.escape, sorted(tokens, key=len, reverse=True))))
    findings = []
    for example in examples:
        for n, message in enumerate(example.messages, start=1):
            if found := list(dict.fromkeys(pattern.findall(message.content))):
                told = f"message {n} ({message.role.value}) holds {', '.join(found)}."
                findings.append(SPECIAL_TOKENS.found(told, example.id))
    return findings


def special_tokens(renderer: Renderer) -> set[str]:
    """The control tokens of the tokenizer, as text."""
    added = getattr(renderer.tokenizer, "added_tokens_decoder", {})
    return {str(token) for token in added.values() if token.special}


def _thoughts(renderer: Renderer, examples: Sequence[Example]) -> list[Finding]:
    if renderer.thinking or "enable_thinking" not in template_source(renderer.tokenizer):
        return []
    told = "an answer holds a thought (<think>), and the prompt tells the model not to think."
    return [UNASKED_THOUGHTS.found(told, example.id) for example in examples if _has_thought(example)]


def _has_thought(example: Example, *, may_be_empty: bool = False) -> bool:
    answers = [m.content for m in example.messages if m.role is Role.ASSISTANT and m.is_learned]
    return any(thought_of(answer) or may_be_empty for answer in answers if THOUGHT_END in answer)


def _bos(renderer: Renderer, rendering: Rendering) -> Finding | None:
    bos, rendered = renderer.bos_id, rendering.rendered
    if bos is None or not rendered:
        return None
    doubled = [r.id for r in rendered if r.input_ids[:2] == (bos, bos)]
    if doubled:
        return DOUBLED_BOS.found(f"{_rows(doubled)} with two beginning-of-sequence tokens.", related=doubled)
    missing = [r.id for r in rendered if r.input_ids[0] != bos]
    text = renderer.tokenizer.decode([bos])
    return MISSING_BOS.found(f"{_rows(missing)} without {text!r}.", related=missing) if missing else None


def _tools_ignored(renderer: Renderer, examples: Sequence[Example]) -> Finding | None:
    having = [example for example in examples if example.tools]
    try:
        ignored = [e.id for e in having if renderer.prompt_text(e.prompt, e.tools) == renderer.prompt_text(e.prompt)]
    except RenderError:  # told row by row
        return None
    return (
        TOOLS_IGNORED.found(f"{_rows(ignored)} whose tools the model does not see.", related=ignored)
        if ignored
        else None
    )


def _default_system(renderer: Renderer, examples: Sequence[Example]) -> Finding | None:
    without = [e.id for e in examples if e.prompt and e.prompt[0].role is not Role.SYSTEM]
    added = default_system(renderer) if without else ""
    if not added:
        return None
    told = f"{_rows(without)} without a system message; the chat template adds {_shortened(added)!r}."
    return DEFAULT_SYSTEM.found(told, related=without)


def _no_system_role(renderer: Renderer, examples: Sequence[Example]) -> Finding | None:
    having = any(message.role is Role.SYSTEM for example in examples for message in example.messages)
    told = (
        "the chat template refuses system messages or leaves them out; the instruction, and system messages of the "
        "rows, stand at the beginning of the user's message, alike in training, test and serving."
    )
    return NO_SYSTEM_ROLE.found(told) if having and renderer.folds_system else None


def _prompt_trimmed(renderer: Renderer, examples: Sequence[Example]) -> Finding | None:
    """Each kind of edge is tried once, around words that no template writes."""
    is_trimmed: dict[tuple[Role, str, str], bool] = {}
    trimmed = []
    for example in examples:
        edges = [edge for m in example.prompt if m.role is not Role.ASSISTANT and (edge := _edges(m))]
        for edge in edges:
            if edge not in is_trimmed:
                is_trimmed[edge] = _trims(renderer, *edge)
        if any(is_trimmed[edge] for edge in edges):
            trimmed.append(example.id)
    if not trimmed:
        return None
    shown = ", ".join(trimmed[:3]) + (", ..." if len(trimmed) > 3 else "")
    told = f"{_rows(trimmed)} ({shown}): the model sees the text without it."
    return PROMPT_TRIMMED.found(told, related=trimmed)


def _edges(message: Message) -> tuple[Role, str, str] | None:
    text = message.content
    before, after = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    return (message.role, before, after) if text.strip() and (before or after) else None


def _trims(renderer: Renderer, role: Role, before: str, after: str) -> bool:
    if role not in (Role.USER, Role.SYSTEM):
        return False
    system = f"{before}{SYSTEM_MARK}{after}" if role is Role.SYSTEM else None
    user = f"{before}{USER_MARK}{after}" if role is Role.USER else USER_MARK
    try:
        text = renderer.prompt_text(build_conversation(system, (Role.USER, user)))
    except RenderError:
        return False
    return (system or user) not in text


def _dated_prompt(renderer: Renderer, examples: Sequence[Example]) -> Finding | None:
    is_dated = "strftime_now" in template_source(renderer.tokenizer) and any(example.prompt for example in examples)
    return DATED_PROMPT.found("the chat template writes today's date into every prompt.") if is_dated else None


def _turns_apart(rendering: Rendering) -> Finding | None:
    apart = [e.id for e, row in zip(rendering.examples, rendering.rows, strict=True) if len(row) > 1]
    if not apart:
        return None
    count = sum(len(row) for row in rendering.rows if len(row) > 1)
    told = f"{_rows(apart)} in which the chat template rewrites earlier turns; they are {count:,} rendered examples."
    return TURNS_APART.found(told, related=apart)


def _rows(ids: Sequence[str]) -> str:
    count = len(dict.fromkeys(ids))
    return "1 row" if count == 1 else f"{count:,} rows"


def _shortened(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."
