"""Rendering: what is learned is exactly each answer with its end, behind exactly the prompt of inference."""

from dataclasses import replace
from typing import Any

import pytest

from burnish.conversation import Message, Role, ToolCall
from burnish.data import Example, RenderedExample, Renderer, refuse_errors, render_rows
from burnish.errors import DataError
from tests.tiny import CHATML, build_tokenizer

END = 256
# Thoughts of earlier turns are dropped, as reasoning models' templates do.
FORGETFUL = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}"
    "{% if m['role'] == 'assistant' and not loop.last %}{{ m['content'].split('</think>')[-1] }}"
    "{% else %}{{ m['content'] }}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# An empty thought is put before an answer that is learned, but not before one that is asked for.
THOUGHTFUL = CHATML.replace(
    "+ message['content']", "+ ('(hm) ' if message['role'] == 'assistant' else '') + message['content']"
)


def build_renderer(chat_template: str | None = CHATML) -> Renderer:
    return Renderer(build_tokenizer(chat_template), frozenset({END}))


def example(*texts: str, system: str | None = "Be brief.") -> Example:
    """Turns of user and assistant."""
    roles = [Role.USER, Role.ASSISTANT] * (len(texts) // 2)
    head = (Message(Role.SYSTEM, system),) if system else ()
    return Example("x.jsonl:7", head + tuple(Message(r, t) for r, t in zip(roles, texts, strict=True)))


def render_one(renderer: Renderer, source: Example, **options: Any) -> RenderedExample:
    (rendered,) = renderer.render(source, **options)
    return rendered


def learned_runs(renderer: Renderer, source: Example, **options: Any) -> list[str]:
    """The texts of the unbroken stretches of supervised ids."""
    runs, previous = list[list[int]](), False
    for rendered in renderer.render(source, **options):
        for token, learned in zip(rendered.input_ids, rendered.loss_mask, strict=True):
            if learned and not previous:
                runs.append([])
            if learned:
                runs[-1].append(token)
            previous = learned
    return [renderer.tokenizer.decode(run) for run in runs]


def fault(renderer: Renderer, source: Example, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        renderer.render(source, **options)
    return str(caught.value)


class TestChatTemplate:
    def test_the_answer_and_its_end_are_learned_and_nothing_else(self) -> None:
        renderer = build_renderer()
        rendered = render_one(renderer, example("Straße? 🙂", "ja\n\n"))
        assert learned_runs(renderer, example("Straße? 🙂", "ja\n\n")) == ["ja\n\n<|im_end|>"]
        text = renderer.tokenizer.decode(list(rendered.input_ids))
        assert text == (
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nStraße? 🙂<|im_end|>\n"
            "<|im_start|>assistant\nja\n\n<|im_end|>\n"
        )
        assert rendered.input_ids[-2] == END, "the line end behind the turn"
        assert rendered.loss_mask[-2:] == (True, False)
        assert rendered.length == len(rendered.input_ids) - 2
        assert rendered.num_supervised == len(b"ja\n\n") + 1

    @pytest.mark.parametrize("texts", [("a", "b"), ("a", "b", "c", "d"), ("a ", " b", "<c>", "d\n", "ü", "🙂")])
    @pytest.mark.parametrize("supervise_all", [True, False])
    def test_the_prompt_of_inference_is_a_prefix(self, texts: tuple[str, ...], supervise_all: bool) -> None:
        renderer = build_renderer()
        source = example(*texts)
        rendered = render_one(renderer, source, supervise_all=supervise_all)
        assert list(rendered.prompt_ids) == renderer.prompt_ids(source.prompt)
        assert rendered.loss_mask[rendered.prompt_length]
        whole = renderer.tokenizer.apply_chat_template(
            [{"role": m.role.value, "content": m.content} for m in source.messages], tokenize=False
        )
        assert renderer.tokenizer.decode(list(rendered.input_ids)) == whole

    def test_all_answers_or_the_last(self) -> None:
        renderer, source = build_renderer(), example("a", "one", "b", "two")
        assert learned_runs(renderer, source) == ["one<|im_end|>", "two<|im_end|>"]
        assert learned_runs(renderer, source, supervise_all=False) == ["two<|im_end|>"]
        together, last = render_one(renderer, source), render_one(renderer, source, supervise_all=False)
        assert together.input_ids == last.input_ids

    def test_an_answer_of_weight_0_is_context_only(self) -> None:
        renderer, source = build_renderer(), example("a", "one", "b", "two", system=None)
        first, last = source.messages[1], source.messages[3]
        silent = replace(first, is_learned=False)
        spared = replace(source, messages=(source.messages[0], silent, *source.messages[2:]))
        assert learned_runs(renderer, spared) == ["two<|im_end|>"]
        assert render_one(renderer, spared).input_ids == render_one(renderer, source).input_ids
        ended = replace(source, messages=(*source.messages[:3], replace(last, is_learned=False)))
        assert learned_runs(renderer, ended) == ["one<|im_end|>"] == learned_runs(renderer, ended, supervise_all=False)
        assert render_one(renderer, ended).prompt_length == len(renderer.prompt_ids(source.messages[:1]))

    def test_a_generated_answer_reads_as_the_target(self) -> None:
        renderer, source = build_renderer(), example("a", "höre 🙂")
        rendered = render_one(renderer, source)
        learned = [t for t, is_learned in zip(rendered.input_ids, rendered.loss_mask, strict=True) if is_learned]
        assert learned == renderer.answer_ids(source.prompt, "höre 🙂") == [*renderer.ids("höre 🙂"), END]
        assert renderer.decode(learned) == "höre 🙂"

    def test_a_token_that_reaches_over_the_edge_does_not_change_the_prompt(self) -> None:
        template = (
            "{% for m in messages %}{{ m.content }}{% endfor %}{% if not add_generation_prompt %}<|im_end|>{% endif %}"
        )
        renderer, source = build_renderer(template), example("xa", "bx", system=None)
        renderer.tokenizer.add_tokens(["ab"])  # type: ignore[attr-defined]
        rendered = render_one(renderer, source)
        assert list(rendered.prompt_ids) == renderer.prompt_ids(source.prompt)
        assert [renderer.tokenizer.decode([token]) for token in rendered.input_ids] == [
            "x",
            "a",
            "b",
            "x",
            "<|im_end|>",
        ]
        assert rendered.loss_mask == (False, False, True, True, True)

    def test_the_first_token_is_never_counted(self) -> None:
        assert RenderedExample("a", (1, 2, 3), (True, True, True), 0).num_supervised == 2
        assert RenderedExample("a", (1, 2, 3), (False, True, True), 1).num_supervised == 2


class TestTemplatesThatRewriteEarlierTurns:
    def test_each_answer_is_an_example_behind_its_own_prompt(self) -> None:
        renderer, source = build_renderer(FORGETFUL), example("a", "<think>hm</think>one", "b", "two")
        first, second = renderer.render(source)
        assert learned_runs(renderer, source) == ["<think>hm</think>one<|im_end|>", "two<|im_end|>"]
        assert list(first.prompt_ids) == renderer.prompt_ids(source.messages[:2])
        assert list(second.prompt_ids) == renderer.prompt_ids(source.messages[:4])
        assert "hm" not in renderer.tokenizer.decode(list(second.input_ids))
        assert first.id == second.id == source.id

    def test_the_last_answer_alone_is_one_example(self) -> None:
        renderer, source = build_renderer(FORGETFUL), example("a", "<think>hm</think>one", "b", "two")
        assert learned_runs(renderer, source, supervise_all=False) == ["two<|im_end|>"]
        assert len(renderer.render(source, supervise_all=False)) == 1

    def test_what_is_not_rewritten_stays_together(self) -> None:
        assert len(build_renderer(FORGETFUL).render(example("a", "one", "b", "two"))) == 1


class TestRefusals:
    def test_no_end_of_turn(self) -> None:
        assert fault(build_renderer(CHATML.replace("<|im_end|>", "")), example("a", "b")) == (
            "x.jsonl:7: the chat template writes no end-of-turn token after the answer, so the model would never learn "
            "to stop. Mend the base model's chat template, or name its end-of-turn token as eos_token_id in "
            "generation_config.json."
        )

    def test_text_behind_the_end_of_turn(self) -> None:
        found = fault(build_renderer(CHATML.replace("<|im_end|>\n", "<|im_end|>\nNEXT")), example("a", "b"))
        assert found.startswith("x.jsonl:7: the chat template writes 'NEXT' after the end of the turn.")

    def test_a_generation_prompt_that_training_does_not_have(self) -> None:
        template = CHATML.replace("assistant\n'", "assistant\n<think>\n'")
        assert fault(build_renderer(template), example("a", "b")) == (
            "x.jsonl:7: the chat template renders the conversation differently for training and for inference: "
            "'b<|im_end|>\\n' where the prompt has '<think>\\n'. Set prompt.thinking to what the answers hold, mend "
            "the base model's chat template, or use another base model."
        )

    def test_what_the_template_puts_before_an_answer_is_learned_with_it(self) -> None:
        renderer = build_renderer(THOUGHTFUL)
        assert learned_runs(renderer, example("a", "b")) == ["(hm) b<|im_end|>"]
        assert renderer.decode(renderer.answer_ids(example("a", "b").prompt, "c")) == "(hm) c"

    @pytest.mark.parametrize("answer", ["one<|im_end|>", "<|im_end|>", "one<|im_end|>\ntwo"])
    def test_the_end_inside_an_answer(self, answer: str) -> None:
        assert fault(build_renderer(), example("a", answer)) == (
            "x.jsonl:7: the answer holds the end-of-turn token '<|im_end|>' itself. Remove it from the answer."
        )

    def test_the_end_inside_a_question_is_only_text_to_learn_from(self) -> None:
        assert learned_runs(build_renderer(), example("a<|im_end|>", "b")) == ["b<|im_end|>"]

    def test_a_template_that_refuses(self) -> None:
        renderer = build_renderer(
            "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        )
        found = fault(renderer, example("a", "b"))
        assert found.startswith("x.jsonl:7: the base model's chat template refuses a conversation: no system.")

    def test_nothing_to_learn(self) -> None:
        source = example("a", "b")
        silent = replace(source, messages=tuple(replace(m, is_learned=False) for m in source.messages))
        assert fault(build_renderer(), silent).startswith("x.jsonl:7: every answer has a weight of 0.")

    @pytest.mark.parametrize(
        "template, lost",
        [
            (CHATML.replace("message['content']", "(message['content'] if message['role'] != 'tool' else '')"), "tool"),
            (CHATML.replace("message['content']", "message['content'][:3]"), "user"),
        ],
    )
    def test_a_message_that_the_template_leaves_out(self, template: str, lost: str) -> None:
        asked = Message(Role.USER, "What is the weather?")
        call = Message(Role.ASSISTANT, "weather()")
        source = Example("x.jsonl:7", (asked, call, Message(Role.TOOL, "rain"), Message(Role.ASSISTANT, "It")))
        whole = build_renderer().render(source, supervise_all=False)
        assert len(whole) == 1
        found = fault(build_renderer(template), source, supervise_all=False)
        assert found.startswith(f"x.jsonl:7: the chat template does not write the {lost} message '")

    def test_an_answer_that_the_template_changes(self) -> None:
        template = CHATML.replace("message['content']", "message['content'] | upper")
        assert "does not write the answer 'b' as it stands" in fault(build_renderer(template), example("A", "b"))
        assert learned_runs(build_renderer(template), example("A", "B")) == ["B<|im_end|>"]

    def test_a_call_that_the_template_leaves_out(self) -> None:
        call = Message(Role.ASSISTANT, "", tool_calls=(ToolCall("1", "weather", "{}"),))
        source = Example("x.jsonl:7", (Message(Role.USER, "Rain?"), call))
        assert "does not write the call of 'weather'" in fault(build_renderer(), source)
        asked = replace(source, messages=(*source.messages, Message(Role.TOOL, "no"), Message(Role.ASSISTANT, "No.")))
        assert "does not write earlier tool calls" in fault(build_renderer(), asked, supervise_all=False)


class TestManyRows:
    def test_all_faults_are_told_at_once(self) -> None:
        rows = [example("a", "b"), *[replace(example("a", "<|im_end|>"), id=f"x.jsonl:{n}") for n in range(8, 31)]]
        rendering = render_rows(build_renderer(), rows, supervise_all=True)
        assert [len(row) for row in rendering.rows] == [1, *[0] * 23]
        assert rendering.rendered == list(rendering.rows[0])
        with pytest.raises(DataError) as caught:
            refuse_errors(rendering.findings)
        lines = str(caught.value).split("\n  ")
        assert lines[0] == "23 rows cannot be used:"
        assert lines[1].startswith("x.jsonl:8: the answer holds the end-of-turn token")
        assert (len(lines), lines[-1]) == (22, "... and 3 more")

    def test_sound_rows_are_not_refused(self) -> None:
        refuse_errors(render_rows(build_renderer(), [example("a", "b")], supervise_all=True).findings)


class TestWithoutChatTemplate:
    def test_the_texts_in_turn(self) -> None:
        renderer, source = build_renderer(None), example("a", "one", "b", "two")
        rendered = render_one(renderer, source)
        text = renderer.tokenizer.decode(list(rendered.input_ids))
        assert text == "Be brief.\na\none<|im_end|>b\ntwo<|im_end|>"
        assert learned_runs(renderer, source) == ["one<|im_end|>", "two<|im_end|>"]
        assert list(rendered.prompt_ids) == renderer.prompt_ids(source.prompt)


class TestPlainText:
    """An answer to nothing: continued pretraining."""

    @pytest.mark.parametrize("chat_template", [CHATML, None])
    def test_all_of_it_is_learned_behind_the_token_that_parts_texts(self, chat_template: str | None) -> None:
        renderer, source = build_renderer(chat_template), Example("a.md:1", (Message(Role.ASSISTANT, "Once.\n"),))
        rendered = render_one(renderer, source)
        assert renderer.tokenizer.decode(list(rendered.input_ids)) == "<|im_end|>Once.\n<|im_end|>"
        assert rendered.loss_mask == (False, *[True] * 7)
        assert list(rendered.prompt_ids) == renderer.prompt_ids(()) == [END]

    def test_empty_or_ended_text_is_refused(self) -> None:
        for text, told in [("", "the text is empty"), ("a<|im_end|>b", "holds the end-of-turn token")]:
            assert told in fault(build_renderer(), Example("a.md:1", (Message(Role.ASSISTANT, text),)))
