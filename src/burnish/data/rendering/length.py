"""Rows over `data.max_length`: refused, left out, or with a shorter prompt; never with a shorter answer."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace

from burnish.conversation import Role
from burnish.data.example import Example
from burnish.data.finding import Check, Finding, Severity
from burnish.data.rendering.faults import RowError
from burnish.data.rendering.render import RenderedExample, Renderer, Rendering
from burnish.recipe import OnTooLong

CUT_MARK = "\n[...]\n"
# No message is cut below this many characters: what is left would not be a question.
MIN_CHARACTERS = 200


TOO_LONG = Check(
    "too_long",
    Severity.ERROR,
    "rows over data.max_length",
    "Shorten or remove the row, raise data.max_length, or set data.on_too_long; burnish never cuts an answer.",
)
SHORTEN = "Shorten or remove the row, or use a base model that reads longer texts; burnish never cuts an answer."
RAISE = "Shorten or remove the row, or raise data.max_length; burnish never cuts an answer."
LEAVE_OUT = "Shorten or remove the row, or set data.on_too_long; burnish never cuts an answer."
DROPPED = Check(
    "dropped_too_long",
    Severity.WARNING,
    "rows over data.max_length that are not learned from",
    'To learn from it, shorten it, raise data.max_length, or set data.on_too_long = "truncate_prompt".',
)
DROPPED_BEYOND = 'To learn from it, shorten it, or set data.on_too_long = "truncate_prompt".'
TRUNCATED = Check(
    "prompt_truncated",
    Severity.WARNING,
    "rows over data.max_length whose prompt was cut",
    "Its answer is whole; see that it still follows from what is left.",
)
LONG_TEST_ROW = Check(
    "long_test_row",
    Severity.WARNING,
    "test rows over data.max_length",
    "It is asked whole: a test without its longest rows, or with shorter ones, would not be the test of the task.",
)


def fit_length(
    rendering: Rendering,
    renderer: Renderer,
    *,
    max_length: int,
    context_length: int,
    on_too_long: OnTooLong,
    supervise_all: bool,
) -> Rendering:
    """Rows of train or validation that fit `max_length` and the base; what was done to others is among the findings."""
    fitted = Rendering([], [], list(rendering.findings))
    limit = min(max_length, context_length)
    for example, row in zip(rendering.examples, rendering.rows, strict=True):
        if (length := _length(row)) > limit:
            fit = (
                _truncate(example, renderer, limit, supervise_all) if on_too_long is OnTooLong.TRUNCATE_PROMPT else None
            )
            told = _describe(length, max_length, context_length)
            fitted.findings.append(_told(example, fit, told, on_too_long, may_raise=length <= context_length))
            if fit is None:
                continue
            example, row = fit
        fitted.examples.append(example)
        fitted.rows.append(row)
    return fitted


def dropped_rows(rendering: Rendering) -> list[str]:
    """The ids of the rows that were left out because they are too long."""
    return [finding.row for finding in rendering.findings if finding.check == DROPPED.id and finding.row]


def check_test_length(
    rendering: Rendering, *, max_length: int, context_length: int, on_too_long: OnTooLong
) -> list[Finding]:
    """Test rows are never dropped or cut. One that fits the base is asked whole unless long rows are refused."""
    findings = []
    for example, row in zip(rendering.examples, rendering.rows, strict=True):
        length = _length(row)
        told = _describe(length, max_length, context_length)
        if length > context_length:
            findings.append(replace(TOO_LONG.found(told, example.id), remedy=SHORTEN))
        elif length > max_length:
            check = TOO_LONG if on_too_long is OnTooLong.REFUSE else LONG_TEST_ROW
            findings.append(check.found(told, example.id))
    return findings


def _told(
    example: Example,
    fit: tuple[Example, tuple[RenderedExample, ...]] | None,
    told: str,
    on_too_long: OnTooLong,
    *,
    may_raise: bool,
) -> Finding:
    """What was done about a row that is too long; each remedy is one that helps this row."""
    if on_too_long is OnTooLong.DROP:
        found = DROPPED.found(told, example.id)
        return found if may_raise else replace(found, remedy=DROPPED_BEYOND)
    if on_too_long is OnTooLong.REFUSE:
        found = TOO_LONG.found(told, example.id)
        return found if may_raise else replace(found, remedy=LEAVE_OUT)
    if fit is None:
        found = TOO_LONG.found(f"{told} Its messages cannot be cut that far.", example.id)
        return replace(found, remedy=RAISE if may_raise else SHORTEN)
    cut = [i for i, m in enumerate(fit[0].messages, start=1) if m != example.messages[i - 1]]
    what = f"message {cut[0]} was" if len(cut) == 1 else f"messages {', '.join(map(str, cut))} were"
    return TRUNCATED.found(f"{told} The middle of {what} cut.", example.id)


def _describe(length: int, max_length: int, context_length: int) -> str:
    if length > context_length:
        return f"{length:,} tokens; the base model reads at most {context_length:,}."
    return f"{length:,} tokens; data.max_length is {max_length:,}."


def _length(row: Sequence[RenderedExample]) -> int:
    return max((len(rendered.input_ids) for rendered in row), default=0)


def _truncate(
    example: Example, renderer: Renderer, max_length: int, supervise_all: bool
) -> tuple[Example, tuple[RenderedExample, ...]] | None:
    """The row with as little cut as is needed, the longest message first; None where that is not enough.

    Only what users and tools say is cut, and in its middle: turns stay as they are, so that the template and the calls
    of tools still fit, and the beginning and the end of a long text say most.
    """
    for i in _by_length(example):
        whole = example.messages[i].content
        least = _with_message(example, i, _without_middle(whole, MIN_CHARACTERS))
        if _fits(least, renderer, max_length, supervise_all):
            return _longest_fit(example, i, renderer, max_length, supervise_all)
        example = least
    return None


def _by_length(example: Example) -> Iterator[int]:
    """Messages of the prompt that may be cut, the longest first."""
    may_cut = [i for i, m in enumerate(example.prompt) if m.role in (Role.USER, Role.TOOL)]
    long = [i for i in may_cut if len(example.messages[i].content) > MIN_CHARACTERS + len(CUT_MARK)]
    return iter(sorted(long, key=lambda i: -len(example.messages[i].content)))


def _longest_fit(
    example: Example, i: int, renderer: Renderer, max_length: int, supervise_all: bool
) -> tuple[Example, tuple[RenderedExample, ...]]:
    """As much of message `i` as fits. Tokens need not grow evenly with characters: every count is tried out."""
    whole = example.messages[i].content

    def with_characters(count: int) -> Example:
        return _with_message(example, i, _without_middle(whole, count))

    counts = range(MIN_CHARACTERS, len(whole) - len(CUT_MARK))
    over = bisect_right(
        counts,
        False,
        key=lambda count: not _fits(with_characters(count), renderer, max_length, supervise_all),
    )
    fitting = with_characters(counts[max(0, over - 1)])
    return fitting, tuple(renderer.render(fitting, supervise_all=supervise_all))


def _fits(example: Example, renderer: Renderer, max_length: int, supervise_all: bool) -> bool:
    try:
        return _length(renderer.render(example, supervise_all=supervise_all)) <= max_length
    except RowError:
        return False


def _with_message(example: Example, i: int, content: str) -> Example:
    before, message, after = example.messages[:i], example.messages[i], example.messages[i + 1 :]
    changed = replace(message, content=content)
    return replace(example, messages=(*before, changed, *after))


def _without_middle(text: str, count: int) -> str:
    """The first and the last of the text, `count` characters in all, with a mark between."""
    half = count // 2
    return text[: count - half] + CUT_MARK + text[len(text) - half :]
