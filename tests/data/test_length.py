"""Rows over the limit: refused by name, dropped, or with a shorter prompt; answers and test rows are never cut."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.conversation import Message, Role
from burnish.data import Example, Rendering, check_test_length, fit_length, render_rows
from burnish.data.rendering.length import CUT_MARK, MIN_CHARACTERS
from burnish.recipe import OnTooLong
from tests.data.chat_models import build_chat_renderer
from tests.data.test_render import build_renderer, example

RENDERER = build_renderer()
SHORT = example("a", "b")
LONG = replace(example("begin " + "word " * 400 + "end", "the answer"), id="x.jsonl:8")
LIMIT = 1000


def fit(on_too_long: OnTooLong, *rows: Example, max_length: int = LIMIT) -> Rendering:
    rendering = render_rows(RENDERER, rows, supervise_all=True)
    return fit_length(
        rendering, RENDERER, max_length=max_length, context_length=10_000, on_too_long=on_too_long, supervise_all=True
    )


def told(rendering: Rendering) -> list[tuple[str, str | None]]:
    return [(finding.check, finding.row) for finding in rendering.findings]


@pytest.mark.parametrize("on_too_long", OnTooLong)
def test_rows_that_fit_stay_as_they_are(on_too_long: OnTooLong) -> None:
    rows = [SHORT, LONG]
    fitted = fit(on_too_long, *rows, max_length=len(RENDERER.render(LONG)[0].input_ids))
    assert fitted == render_rows(RENDERER, rows, supervise_all=True)


def test_refused_by_name() -> None:
    found = fit(OnTooLong.REFUSE, SHORT, LONG)
    length = len(RENDERER.render(LONG)[0].input_ids)
    assert told(found) == [("too_long", "x.jsonl:8")]
    assert str(found.findings[0]) == (
        f"{length:,} tokens; data.max_length is 1,000. Shorten or remove the row, raise data.max_length, or set "
        "data.on_too_long; burnish never cuts an answer."
    )


def test_dropped_and_told() -> None:
    found = fit(OnTooLong.DROP, SHORT, LONG, SHORT)
    assert found.examples == [SHORT, SHORT]
    assert [len(row) for row in found.rows] == [1, 1]
    assert told(found) == [("dropped_too_long", "x.jsonl:8")]
    assert found.findings[0].severity == "warning"


class TestTruncatedPrompts:
    def test_the_middle_of_the_longest_question_goes_and_no_more_than_needed(self) -> None:
        found = fit(OnTooLong.TRUNCATE_PROMPT, LONG)
        (row,), ((rendered,),) = found.examples, found.rows
        asked = row.messages[1].content
        assert asked.startswith("begin word")
        assert asked.endswith("word end")
        assert asked.count(CUT_MARK) == 1
        assert LIMIT - 1 <= len(rendered.input_ids) <= LIMIT, "a byte is a token here"
        assert (row.messages[0], row.messages[-1]) == (LONG.messages[0], LONG.messages[-1])
        assert list(rendered.prompt_ids) == RENDERER.prompt_ids(row.prompt)
        assert told(found) == [("prompt_truncated", "x.jsonl:8")]
        assert found.findings[0].message.endswith("The middle of message 2 was cut.")

    def test_the_next_longest_follows_where_one_is_not_enough(self) -> None:
        rows = replace(example("x" * 2000, "one", "y" * 1500, "two"), id="x.jsonl:9")
        found = fit(OnTooLong.TRUNCATE_PROMPT, rows)
        first, second = (found.examples[0].messages[i].content for i in (1, 3))
        assert len(first) == MIN_CHARACTERS + len(CUT_MARK)
        assert MIN_CHARACTERS < len(second) < 1000
        assert [m.content for m in found.examples[0].messages if m.role is Role.ASSISTANT] == ["one", "two"]
        assert found.findings[0].message.endswith("The middle of messages 2, 4 were cut.")

    @pytest.mark.parametrize(
        "row",
        [
            example("a", "b" * 2000),
            example("a" * 2000, "b", system="c" * 2000),
            example("a" * MIN_CHARACTERS, "b" * 900),
            Example("x.jsonl:7", (Message(Role.ASSISTANT, "b" * 2000),)),
        ],
    )
    def test_answers_and_system_messages_are_never_cut(self, row: Example) -> None:
        found = fit(OnTooLong.TRUNCATE_PROMPT, SHORT, row)
        assert told(found) == [("too_long", "x.jsonl:7")]
        assert "Its messages cannot be cut that far." in found.findings[0].message

    @settings(max_examples=30, deadline=None)
    @given(
        texts=st.lists(
            st.tuples(st.text("ab ü\n", max_size=900), st.text("xyz", min_size=1, max_size=300)), min_size=1
        ),
        name=st.sampled_from(["Mistral", "Qwen 3", "Gemma 3"]),
    )
    def test_what_fits_has_whole_answers_under_any_template(self, texts: list[tuple[str, str]], name: str) -> None:
        renderer = build_chat_renderer(name)
        turns = [text for question, answer in texts for text in (question, answer)]
        rendering = render_rows(renderer, [example(*turns)], supervise_all=True)
        fitted = fit_length(
            rendering,
            renderer,
            max_length=LIMIT,
            context_length=10_000,
            on_too_long=OnTooLong.TRUNCATE_PROMPT,
            supervise_all=True,
        )
        for row, rows in zip(fitted.examples, fitted.rows, strict=True):
            assert [m.content for m in row.messages if m.role is Role.ASSISTANT] == turns[1::2]
            assert all(len(rendered.input_ids) <= LIMIT for rendered in rows)
        assert len(fitted.examples) == 1 or told(fitted) == [("too_long", "x.jsonl:7")]


@pytest.mark.parametrize(
    ("on_too_long", "context", "expected"),
    [
        (OnTooLong.REFUSE, 8000, "too_long"),
        (OnTooLong.DROP, 8000, "long_test_row"),
        (OnTooLong.TRUNCATE_PROMPT, 8000, "long_test_row"),
        (OnTooLong.DROP, 1500, "too_long"),
        (OnTooLong.TRUNCATE_PROMPT, 1500, "too_long"),
    ],
)
def test_a_test_row_is_asked_whole_or_refused(on_too_long: OnTooLong, context: int, expected: str) -> None:
    rendering = render_rows(RENDERER, [SHORT, LONG], supervise_all=False)
    found = check_test_length(rendering, max_length=LIMIT, context_length=context, on_too_long=on_too_long)
    assert [(finding.check, finding.row) for finding in found] == [(expected, "x.jsonl:8")]
    assert len(rendering.examples) == 2
