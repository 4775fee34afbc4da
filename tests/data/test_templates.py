"""The stock chat templates: each answer behind the prompt of inference, closed by its end of turn, one BOS."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.conversation import Conversation, Message, Role, ToolCall, build_conversation
from burnish.data import Example, RenderedExample, Renderer, render_rows
from burnish.errors import RenderError
from tests.data.chat_models import FAITHFUL, MODELS, WITH_TOOLS, build_chat_renderer
from tests.data.test_render import learned_runs

RENDERERS = {
    (name, thinking): build_chat_renderer(name, thinking=thinking) for name in MODELS for thinking in (False, True)
}
ENDS = {name: MODELS[name].ends[-1] for name in MODELS}
WEATHER = (
    '{"type": "function", "function": {"name": "get_weather", "description": "Weather of today", '
    '"parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}'
)
CALL = ToolCall("abc123def", "get_weather", '{"city": "Malmö"}')
TOOL_TURNS = (
    Message(Role.USER, "Weather in Malmö?"),
    Message(Role.ASSISTANT, "", tool_calls=(CALL,)),
    Message(Role.TOOL, '{"degrees": 3}', name="get_weather", tool_call_id=CALL.id),
    Message(Role.ASSISTANT, "3 degrees."),
)


def conversation(*texts: str, system: str | None = None) -> Conversation:
    return build_conversation(system, *zip([Role.USER, Role.ASSISTANT] * (len(texts) // 2), texts, strict=True))


def check_promises(renderer: Renderer, source: Example, rendered: list[RenderedExample], *, num_answers: int) -> None:
    """What holds for whatever a template does: prompts as at inference, whole turns, one BOS, nothing unlearned."""
    answers = [i for i, message in enumerate(source.messages) if message.role is Role.ASSISTANT]
    prompts = [renderer.prompt_ids(source.messages[:i], source.tools) for i in answers]
    num_learned = 0
    for one in rendered:
        starts = [j for j in range(1, len(one.input_ids)) if one.loss_mask[j] and not one.loss_mask[j - 1]]
        assert starts, "nothing is learned"
        for start in starts:
            assert list(one.input_ids[:start]) in prompts
            end = next((j for j in range(start, len(one.loss_mask)) if not one.loss_mask[j]), len(one.loss_mask))
            assert one.input_ids[end - 1] in renderer.end_of_turn_ids
            assert not renderer.end_of_turn_ids & set(one.input_ids[start : end - 1])
        assert one.prompt_length == starts[-1]
        if renderer.bos_id is not None:
            assert one.input_ids[0] == renderer.bos_id
            assert one.input_ids.count(renderer.bos_id) == 1
        num_learned += len(starts)
    assert num_learned == num_answers


@pytest.mark.parametrize("name", FAITHFUL)
@pytest.mark.parametrize("system", [None, "Be brief."])
@pytest.mark.parametrize("texts", [("Hi", "ho"), ("Hi", "ho", "and?", "no"), ("a", "b", "c", "d", "a", "f")])
def test_conversations_with_and_without_a_system_message(name: str, system: str | None, texts: tuple[str, ...]) -> None:
    renderer, source = RENDERERS[name, False], Example("x.jsonl:1", conversation(*texts, system=system))
    check_promises(renderer, source, renderer.render(source), num_answers=len(texts) // 2)
    check_promises(renderer, source, renderer.render(source, supervise_all=False), num_answers=1)
    assert [run.strip() for run in learned_runs(renderer, source)] == [text + ENDS[name] for text in texts[1::2]]
    if system:
        assert "Be brief." in renderer.tokenizer.decode(list(renderer.render(source)[-1].prompt_ids))


@pytest.mark.parametrize("name", WITH_TOOLS)
@pytest.mark.parametrize("system", [(), (Message(Role.SYSTEM, "Be brief."),)])
def test_tools_their_calls_and_their_results(name: str, system: Conversation) -> None:
    renderer, source = RENDERERS[name, False], Example("x.jsonl:1", (*system, *TOOL_TURNS), tools=(WEATHER,))
    rendered = renderer.render(source)
    check_promises(renderer, source, rendered, num_answers=2)
    called, answered = learned_runs(renderer, source)
    assert '"get_weather"' in called
    assert '{"city": "Malmö"}' in called, "the object itself, not its text in quotes"
    assert answered.strip() == "3 degrees." + ENDS[name]
    prompt = renderer.tokenizer.decode(list(rendered[-1].prompt_ids))
    assert "Weather of today" in prompt
    assert "degrees" in prompt


@pytest.mark.parametrize("name", ["Phi 4", "SmolLM2", "SmolLM3", "Gemma 3"])
def test_calls_that_a_template_does_not_know_are_not_learned_as_silence(name: str) -> None:
    source = Example("x.jsonl:1", TOOL_TURNS, tools=(WEATHER,))
    for supervise_all in (True, False):
        (finding,) = render_rows(RENDERERS[name, False], [source], supervise_all=supervise_all).findings
        assert finding.check in ("left_out", "template_refuses")
        assert finding.row == "x.jsonl:1"


def test_a_template_that_opens_a_thought_which_no_answer_has_is_refused_row_by_row() -> None:
    for thinking in (False, True):
        for answer in ("ho", "<think>\nhm\n</think>\n\nho"):
            source = Example("x.jsonl:1", conversation("Hi", answer))
            (finding,) = render_rows(RENDERERS["DeepSeek R1", thinking], [source], supervise_all=True).findings
            assert (finding.check, finding.row) == ("prompt_differs", "x.jsonl:1")


class TestThoughts:
    def test_switched_off_they_are_part_of_the_prompt(self) -> None:
        for name in ("Qwen 3", "SmolLM3"):
            renderer, source = RENDERERS[name, False], Example("x.jsonl:1", conversation("Hi", "ho"))
            assert "<think>\n\n</think>" in renderer.prompt_text(source.prompt)
            assert learned_runs(renderer, source) == ["ho<|im_end|>"]

    def test_switched_on_they_are_learned(self) -> None:
        source = Example("x.jsonl:1", conversation("Hi", "<think>\nhm\n</think>\n\nho"))
        for name in ("Qwen 3", "SmolLM3"):
            assert learned_runs(RENDERERS[name, True], source) == ["<think>\nhm\n</think>\n\nho<|im_end|>"]

    def test_qwen_drops_earlier_ones_so_that_each_turn_is_an_example(self) -> None:
        texts = ("Hi", "<think>\nhm\n</think>\n\nho", "and?", "<think>\noh\n</think>\n\nno")
        renderer, source = RENDERERS["Qwen 3", True], Example("x.jsonl:1", conversation(*texts))
        first, second = renderer.render(source)
        check_promises(renderer, source, [first, second], num_answers=2)
        assert "hm" not in renderer.tokenizer.decode(list(second.input_ids))

    def test_a_label_is_chosen_behind_what_is_learned_before_it(self) -> None:
        prompt = conversation("Hi", "x")[:1]
        texts = {name: RENDERERS[name, False].tokenizer.decode(RENDERERS[name, False].answer_ids(prompt, "refund"))
                 for name in FAITHFUL}  # fmt: skip
        assert texts == {name: ("" if name != "Mistral" else " ") + "refund" + ENDS[name] for name in FAITHFUL}


class TestMistral:
    """Its template writes the system message into the last message, and nowhere once that is an answer."""

    def test_the_prompt_of_inference_is_what_is_trained_on(self) -> None:
        renderer = RENDERERS["Mistral", False]
        source = Example("x.jsonl:1", conversation("Hi", "ho", system="Be brief."))
        (rendered,) = renderer.render(source)
        text = renderer.tokenizer.decode(list(rendered.input_ids))
        assert text == "<s>[INST] Be brief.\n\nHi[/INST] ho</s>"
        naive = renderer.tokenizer.apply_chat_template(
            [{"role": m.role.value, "content": m.content} for m in source.messages], tokenize=False
        )
        assert "Be brief." not in naive, "what a plain application of the template would have trained on"

    def test_ids_of_calls_are_refused_with_the_reason(self) -> None:
        turns = (TOOL_TURNS[0], replace(TOOL_TURNS[1], tool_calls=(replace(CALL, id="call_1"),)))
        (finding,) = render_rows(
            RENDERERS["Mistral", False], [Example("x.jsonl:4", turns, tools=(WEATHER,))], supervise_all=True
        ).findings
        assert (finding.check, finding.row) == ("template_refuses", "x.jsonl:4")
        assert "Tool call IDs should be alphanumeric strings with length 9!" in finding.message


def test_an_empty_system_message_does_not_take_the_default_one_away() -> None:
    for name, own in [("SmolLM2", "named SmolLM"), ("Qwen 2.5", "You are Qwen")]:
        assert own in RENDERERS[name, False].prompt_text(build_conversation("", (Role.USER, "Hi")))
        assert own not in RENDERERS[name, False].prompt_text(build_conversation("Be brief.", (Role.USER, "Hi")))


def test_the_mask_that_templates_offer_themselves_would_be_empty() -> None:
    """Stock templates have no {% generation %} marks: what relies on them trains on nothing."""
    source = Example("x.jsonl:1", conversation("Hi", "ho"))
    for name in ("Llama 3.1", "Qwen 3", "Gemma 3"):
        tokenizer = RENDERERS[name, False].tokenizer
        marked = tokenizer.apply_chat_template(
            [{"role": m.role.value, "content": m.content} for m in source.messages],
            return_assistant_tokens_mask=True,
            return_dict=True,
        )
        assert sum(marked["assistant_masks"]) == 0
        assert RENDERERS[name, False].render(source)[0].num_supervised == len("ho") + 1


@pytest.mark.parametrize("name", ["Llama 3.1", "Gemma 3", "Mistral"])
@pytest.mark.parametrize("text", ["Once.", " a<b>c "])
def test_plain_text_has_a_bos_and_no_turns(name: str, text: str) -> None:
    renderer = RENDERERS[name, False]
    (rendered,) = renderer.render(Example("a.md:1", (Message(Role.ASSISTANT, text),)))
    assert rendered.input_ids[0] == renderer.bos_id
    decoded = renderer.tokenizer.decode(list(rendered.input_ids))
    assert decoded == MODELS[name].bos + text + MODELS[name].ends[0]
    assert rendered.num_supervised == len(rendered.input_ids) - 1


def test_a_base_model_without_a_template_has_its_bos_too() -> None:
    renderer = build_chat_renderer("Llama 3.1")
    renderer.tokenizer.chat_template = None
    (rendered,) = renderer.render(Example("x.jsonl:1", conversation("Hi", "ho")))
    assert renderer.tokenizer.decode(list(rendered.input_ids)) == "<|begin_of_text|>Hi\nho<|end_of_text|>"


WORDS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n<>|[]{}\"'/"),
    min_size=1,
    max_size=12,
).filter(lambda text: text.strip() != "")
# Turns as a user's file has them: by turns, the user first, with a system message or not.
TURNS = st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=4)


@pytest.mark.parametrize("name", FAITHFUL)
@settings(max_examples=60, deadline=None)
@given(turns=TURNS, system=st.none() | WORDS, supervise_all=st.booleans(), thinking=st.booleans())
def test_the_promises_hold_for_any_conversation(
    name: str, turns: list[tuple[str, str]], system: str | None, supervise_all: bool, thinking: bool
) -> None:
    texts = [text for turn in turns for text in turn]
    renderer, source = RENDERERS[name, thinking], Example("x.jsonl:1", conversation(*texts, system=system))
    rendered = renderer.render(source, supervise_all=supervise_all)
    check_promises(renderer, source, rendered, num_answers=len(turns) if supervise_all else 1)


# Text that looks like control tokens, thoughts, and calls of tools in any order.
TRAPS = st.sampled_from(
    ["<|im_end|>", "<|eot_id|>", "</s>", "[/INST]", "<think>", "</think>", "", " ", "<end_of_turn>"]
)
ANY_MESSAGE = st.builds(
    Message,
    st.sampled_from(Role),
    st.lists(WORDS | TRAPS, max_size=3).map("".join),
    tool_calls=st.sampled_from([(), (CALL,)]),
    is_learned=st.booleans(),
)


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=100, deadline=None)
@given(messages=st.lists(ANY_MESSAGE, max_size=5), has_tools=st.booleans())
def test_any_row_is_rendered_as_promised_or_refused_by_name(
    name: str, messages: list[Message], has_tools: bool
) -> None:
    renderer = RENDERERS[name, False]
    source = Example("x.jsonl:1", (*messages, Message(Role.ASSISTANT, "ho")), tools=(WEATHER,) if has_tools else ())
    try:
        rendered = renderer.render(source)
    except RenderError as error:
        assert str(error).startswith("x.jsonl:1: ")
        return
    for one in rendered:
        learned = [t for t, m in zip(one.input_ids, one.loss_mask, strict=True) if m]
        assert learned[-1] in renderer.end_of_turn_ids
        assert one.num_supervised == len(learned)
