"""Rendering: what is learned is exactly each answer with its end, behind exactly the prompt of inference."""

from typing import Any

import pytest

from burnish.conversation import Message, Role
from burnish.data import Example, Renderer, check_lengths, render_all
from burnish.errors import RenderError
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


def learned_runs(renderer: Renderer, source: Example, **options: Any) -> list[str]:
    """The texts of the unbroken stretches of supervised ids."""
    rendered = renderer.render(source, **options)
    runs, previous = list[list[int]](), False
    for token, learned in zip(rendered.input_ids, rendered.loss_mask, strict=True):
        if learned and not previous:
            runs.append([])
        if learned:
            runs[-1].append(token)
        previous = learned
    return [renderer.tokenizer.decode(run) for run in runs]


class TestChatTemplate:
    def test_the_answer_and_its_end_are_learned_and_nothing_else(self) -> None:
        renderer = build_renderer()
        rendered = renderer.render(example("Straße? 🙂", "ja\n\n"))
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
        rendered = renderer.render(source, supervise_all=supervise_all)
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
        assert renderer.render(source).input_ids == renderer.render(source, supervise_all=False).input_ids

    def test_a_generated_answer_reads_as_the_target(self) -> None:
        renderer = build_renderer()
        rendered = renderer.render(example("a", "höre 🙂"))
        learned = [t for t, is_learned in zip(rendered.input_ids, rendered.loss_mask, strict=True) if is_learned]
        assert learned == [*renderer.answer_ids("höre 🙂"), END]
        assert renderer.decode(learned) == "höre 🙂"


class TestRefusals:
    def test_no_end_of_turn(self) -> None:
        renderer = build_renderer(CHATML.replace("<|im_end|>", ""))
        with pytest.raises(RenderError) as caught:
            renderer.render(example("a", "b"))
        assert str(caught.value) == (
            "x.jsonl:7: the chat template writes no end-of-turn token after the answer, so the model would never learn "
            "to stop. Mend the base model's chat template."
        )

    def test_text_behind_the_end_of_turn(self) -> None:
        renderer = build_renderer(CHATML.replace("<|im_end|>\n", "<|im_end|>\nNEXT"))
        with pytest.raises(RenderError, match=r"x\.jsonl:7: the chat template writes 'NEXT' after the end of the turn"):
            renderer.render(example("a", "b"))

    def test_history_that_reads_differently_later(self) -> None:
        renderer = build_renderer(FORGETFUL)
        source = example("a", "hm</think>one", "b", "two")
        with pytest.raises(
            RenderError, match=r'differently for training and for inference. Set data.supervise = "last"'
        ):
            renderer.render(source)
        assert learned_runs(renderer, source, supervise_all=False) == ["two<|im_end|>"]

    def test_a_generation_prompt_that_training_does_not_have(self) -> None:
        template = CHATML.replace("assistant\n'", "assistant\n<think>\n'")
        with pytest.raises(RenderError, match=r"x\.jsonl:7: the chat template renders the conversation differently"):
            build_renderer(template).render(example("a", "b"))

    def test_what_the_template_puts_before_an_answer_is_learned_with_it(self) -> None:
        assert learned_runs(build_renderer(THOUGHTFUL), example("a", "b")) == ["(hm) b<|im_end|>"]

    @pytest.mark.parametrize("answer", ["one<|im_end|>", "<|im_end|>", "one<|im_end|>\ntwo"])
    def test_the_end_inside_an_answer(self, answer: str) -> None:
        with pytest.raises(RenderError) as caught:
            build_renderer().render(example("a", answer))
        assert "x.jsonl:7: the answer holds the end-of-turn token itself ('" in str(caught.value)
        assert str(caught.value).endswith("Remove it.")

    def test_the_end_inside_a_question_is_only_text_to_learn_from(self) -> None:
        assert learned_runs(build_renderer(), example("a<|im_end|>", "b")) == ["b<|im_end|>"]

    def test_a_template_that_refuses(self) -> None:
        renderer = build_renderer(
            "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        )
        with pytest.raises(RenderError, match="the base model's chat template refuses a conversation: no system"):
            renderer.render(example("a", "b"))

    def test_too_long(self) -> None:
        renderer = build_renderer()
        rendered = render_all(renderer, [example("a", "b" * n) for n in (1, 50, 60)], supervise_all=True)
        lengths = [len(r.input_ids) for r in rendered]
        check_lengths(rendered, max(lengths))
        with pytest.raises(RenderError) as caught:
            check_lengths(rendered, lengths[0])
        assert str(caught.value) == (
            f"2 of 3 examples are longer than data.max_length = {lengths[0]} tokens: x.jsonl:7 ({lengths[1]}), "
            f"x.jsonl:7 ({lengths[2]}). Shorten or remove them, or raise data.max_length; burnish never cuts an answer."
        )


class TestWithoutChatTemplate:
    def test_the_texts_in_turn(self) -> None:
        renderer, source = build_renderer(None), example("a", "one", "b", "two")
        text = renderer.tokenizer.decode(list(renderer.render(source).input_ids))
        assert text == "Be brief.\na\none<|im_end|>b\ntwo<|im_end|>"
        assert learned_runs(renderer, source) == ["one<|im_end|>", "two<|im_end|>"]
        assert list(renderer.render(source).prompt_ids) == renderer.prompt_ids(source.prompt)
