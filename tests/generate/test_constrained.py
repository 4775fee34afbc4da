"""Answers that must fit a JSON schema: always do, are the most likely that do, and are otherwise as they were."""

import json
import random
from typing import Any, cast

import jsonschema
import pytest
import torch

from burnish.conversation import Conversation, Role, build_conversation
from burnish.data import Renderer, infer_schema
from burnish.errors import BaseModelError, DataError
from burnish.generate.answer import Answer, answer_prompts
from burnish.generate.constrained import build_matchers, forbid, take
from tests.data.chat_models import FAITHFUL, build_chat_renderer
from tests.tiny import build_exact_model, build_model, build_model_without_interface, build_tokenizer

END = 256
SCHEMA = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["été", "hiver", None]},
        "counts": {"type": "array", "items": {"type": "boolean"}, "maxItems": 3},
        "of": {
            "type": ["object", "null"],
            "properties": {"is": {"type": "boolean"}},
            "required": ["is"],
            "additionalProperties": False,
        },
    },
    "required": ["kind", "counts", "of"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(build_tokenizer(), frozenset({END}))


def prompts(count: int, seed: int = 0) -> list[Conversation]:
    chance = random.Random(seed)
    texts = ["".join(chance.choices("abcdefgh ", k=chance.randrange(1, 30))) for _ in range(count)]
    return [build_conversation("extract", (Role.USER, text)) for text in texts]


def answers(model: Any, renderer: Renderer, asked: list[Conversation], schema: Any, **changes: Any) -> list[Answer]:
    limits = {"max_new_tokens": 70, "batch_size": 4, **changes}
    return answer_prompts(model, renderer, asked, labels=(), schema=schema, **limits)


def random_value(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.choice(["word", "number", "boolean", "null", "list", "object"][: 6 if depth < 2 else 4])
    if kind == "list":
        return [random_value(chance, 2) for _ in range(chance.randrange(3))]
    if kind == "object":
        return {key: random_value(chance, depth + 1) for key in chance.sample("abcdé", chance.randrange(1, 4))}
    return {"word": chance.choice(["x", 'ü"', "\n"]), "number": chance.choice([3, -0.5]), "boolean": True}.get(kind)


@pytest.mark.parametrize("seed", range(12))
def test_every_answer_fits_a_random_schema(renderer: Renderer, seed: int) -> None:
    """The schema of rows that are drawn at random; an answer that was cut need not be whole."""
    chance = random.Random(seed)
    rows = [{key: random_value(chance) for key in "pqr"} for _ in range(20)]
    schema = infer_schema([json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows])
    assert schema is not None
    got = answers(build_model(seed), renderer, prompts(6, seed), schema)
    for answer in got:
        if answer.has_ended:
            jsonschema.validate(json.loads(answer.text), schema)
            text = json.dumps(json.loads(answer.text), ensure_ascii=False, separators=(",", ":"))
            assert list(json.loads(text)) == ["p", "q", "r"]
        else:
            assert answer.text.startswith('{"p":')


def test_each_token_is_the_most_likely_that_is_allowed(renderer: Renderer) -> None:
    """No cache, no batch, no mask: tokens are tried from the most likely on."""
    model, asked = build_exact_model(), prompts(7)
    wanted = [tried_greedily(model, renderer, prompt) for prompt in asked]
    for batch_size in (1, 3, 32):
        got = answers(model, renderer, asked, SCHEMA, batch_size=batch_size)
        assert [(a.text, a.has_ended) for a in got] == wanted
    assert len(set(wanted)) > 2
    for text, has_ended in wanted:
        assert has_ended
        jsonschema.validate(json.loads(text), SCHEMA)


@torch.no_grad()
def tried_greedily(model: Any, renderer: Renderer, prompt: Conversation) -> tuple[str, bool]:
    (matcher,) = build_matchers(renderer, SCHEMA, [prompt])
    ids = renderer.prompt_ids(prompt)
    start = len(ids)
    while len(ids) < start + 70:
        if matcher.is_stopped():
            return renderer.decode(ids[start:]), True
        order = model(input_ids=torch.tensor([ids])).logits[0, -1].float().sort(descending=True, stable=True).indices
        token = next(token for token in order.tolist() if matcher.validate_tokens([token]) == 1)
        matcher.consume_token(token)
        ids.append(token)
    return renderer.decode(ids[start:]), False


@pytest.mark.parametrize(("kind", "has_lengths"), [("bloom", True), ("qwen3_next", False)])
def test_models_that_cannot_pack_are_held_to_it_too(renderer: Renderer, kind: str, has_lengths: bool) -> None:
    """Prompts of one length; where answers differ in theirs, one is padded until the others have ended."""
    model = build_model_without_interface(kind)
    asked = [build_conversation("extract", (Role.USER, text)) for text in ("abc", "ged", "hh ", "cba", "yes")]
    got = answers(model, renderer, asked, SCHEMA)
    assert [(a.text, a.has_ended) for a in got] == [tried_greedily(model, renderer, prompt) for prompt in asked]
    assert all(a.has_ended for a in got)
    assert (len({len(a.text) for a in got}) > 1) is has_lengths


def test_an_answer_that_fits_anyway_stays_as_it_is(renderer: Renderer) -> None:
    """A model that has learned a few rows by heart."""
    asked = prompts(3)
    targets = [f'{{"kind":{kind},"n":{n},"name":"{name}"}}' for kind, n, name in LEARNED]
    model = learn(build_model(dtype=torch.float32), [(renderer, p, t) for p, t in zip(asked, targets, strict=True)])
    free = answers(model, renderer, asked, None)
    assert [answer.text for answer in free] == targets
    held = answers(model, renderer, asked, infer_schema(targets))
    assert [(a.text, a.has_ended) for a in held] == [(a.text, a.has_ended) for a in free]
    narrow = infer_schema(targets) or {}
    narrow["properties"]["n"] = {"enum": [7]}
    other = [answer.text for answer in answers(model, renderer, asked, narrow)]
    assert [text == target for text, target in zip(other, targets, strict=True)] == [True, False, True]


LEARNED = [("null", "7", "Zoë"), ('"b"', "-1.5", 'a \\"b\\"'), ('"c"', "7", "")]


def learn(model: Any, rows: list[tuple[Renderer, Conversation, str]]) -> Any:
    """All weights, until the rows are known by heart."""
    model.requires_grad_(True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    pairs = [(renderer.prompt_ids(prompt), renderer.answer_ids(prompt, text)) for renderer, prompt, text in rows]
    for _ in range(300):
        loss = torch.zeros(())
        for prompt, answer in pairs:
            labels = torch.tensor([[-100] * len(prompt) + answer])
            loss = loss + model(input_ids=torch.tensor([prompt + answer]), labels=labels).loss
        if loss < 0.05:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.requires_grad_(False)


@pytest.mark.parametrize("thinking", [False, True])
@pytest.mark.parametrize("name", FAITHFUL)
def test_answers_as_templates_write_them_are_allowed(name: str, thinking: bool) -> None:
    """Through the end of the turn, with what the template puts around the answer; and nothing ends it earlier."""
    renderer = build_chat_renderer(name, thinking=thinking)
    (asked,) = prompts(1)
    text = '{"kind":"été","counts":[true],"of":null}'
    ids = renderer.answer_ids(asked, text)
    (matcher,) = build_matchers(renderer, SCHEMA, [asked])
    assert matcher.validate_tokens(ids) == len(ids)
    cut = [*renderer.answer_ids(asked, text)[: len(ids) // 2], renderer.end_of_turn_id]
    assert matcher.validate_tokens(cut) == len(cut) - 1


def test_spaces_are_where_the_targets_have_them(renderer: Renderer) -> None:
    (asked,) = prompts(1)
    texts = ['{"a": 1, "b": [2, 3]}', '{"a":1,"b":[2,3]}', '{"a": 1,"b": [2,3]}']
    allowed = {
        form: [renderer_allows(renderer, asked, infer_schema(form_texts), text) for text in texts]
        for form, form_texts in {"spaced": texts[:1], "compact": texts[1:2], "mixed": texts}.items()
    }
    assert allowed == {"spaced": [True, False, False], "compact": [False, True, False], "mixed": [True, True, True]}


def renderer_allows(renderer: Renderer, asked: Conversation, schema: Any, text: str) -> bool:
    (matcher,) = build_matchers(renderer, schema, [asked])
    ids = renderer.answer_ids(asked, text)
    return matcher.validate_tokens(ids) == len(ids)


def test_tokens_beyond_the_vocabulary_are_never_chosen(renderer: Renderer) -> None:
    logits_BV = torch.zeros(1, 300)
    forbid(logits_BV, build_matchers(renderer, SCHEMA, prompts(1)))
    assert logits_BV.isfinite().nonzero().tolist() == [[0, renderer.ids("{")[0]]]


def test_a_schema_that_cannot_be_followed_is_refused(renderer: Renderer) -> None:
    with pytest.raises(DataError) as caught:
        build_matchers(renderer, {"type": "array", "uniqueItems": True}, prompts(1))
    assert str(caught.value) == (
        'the JSON schema cannot be followed token by token: Unimplemented keys: ["uniqueItems"]. '
        "Take that out of the schema."
    )


def test_a_token_that_does_not_fit_is_told(renderer: Renderer) -> None:
    (matcher,) = build_matchers(renderer, SCHEMA, prompts(1))
    with pytest.raises(DataError, match=r"^the JSON schema can no longer be followed: .*\. Use a simpler one\.$"):
        take(matcher, renderer.ids("x")[0])


def test_a_tokenizer_that_keeps_its_tokens_to_itself_is_refused() -> None:
    with pytest.raises(BaseModelError) as caught:
        build_matchers(Renderer(cast(Any, SlowTokenizer()), frozenset({END})), SCHEMA, prompts(1))
    assert str(caught.value) == (
        "the tokenizer does not tell what its tokens spell (Only fast tokenizers are supported). Use a fast one."
    )


class SlowTokenizer:
    """None of the tokenizers library."""
