"""The engine that the real one is compared with says what burnish's own decoding says."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.conversation import Role, build_conversation
from burnish.data import Renderer
from burnish.generate.answer import answer_prompts
from burnish.generate.decode import decode
from burnish.serve.engine.grammar import json_grammar
from burnish.serve.engine.request import (
    AdapterRef,
    FinishReason,
    GenerationRequest,
    LabelAnswer,
    LabelRequest,
    Piece,
    SamplingParams,
)
from tests.data.chat_models import build_chat_renderer
from tests.serve.engine.plain_engine import PlainEngine
from tests.serve.wire.plain_backend import END, LABELS, SCHEMA, save_tiny_adapter
from tests.tiny import adapt, build_model, build_tokenizer

PROMPT = build_conversation("Be kind.", (Role.USER, "Where is it?"))


@pytest.fixture(scope="module")
def engine() -> PlainEngine:
    return PlainEngine(build_model(), Renderer(build_tokenizer(), frozenset({END})))


def ids_of(engine: PlainEngine) -> tuple[int, ...]:
    return tuple(engine._renderer.prompt_ids(PROMPT))


def ask(engine: PlainEngine, **more: Any) -> list[Piece]:
    """Through a ticket, as the wire does."""

    async def read() -> list[Piece]:
        request = GenerationRequest(prompt_ids=ids_of(engine), **{"max_new_tokens": 30, **more})
        return [piece async for piece in engine.submit(request).pieces()]

    return asyncio.run(read())


def text(pieces: Sequence[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def test_greedily_it_says_what_decoding_says(engine: PlainEngine) -> None:
    (wanted,) = decode(engine._model, [ids_of(engine)], max_new_tokens=30, end_ids=frozenset({END}), batch_size=1)
    assert text(ask(engine)) == engine._renderer.decode(wanted.token_ids)


def test_with_a_schema_too(engine: PlainEngine) -> None:
    (wanted,) = answer_prompts(
        engine._model, engine._renderer, [PROMPT], labels=(), max_new_tokens=60, batch_size=1, schema=SCHEMA
    )
    pieces = ask(engine, grammar=json_grammar(engine._renderer, SCHEMA), max_new_tokens=60)
    assert text(pieces) == wanted.text and pieces[-1].finish is FinishReason.STOP


def test_it_chooses_the_label_that_burnish_chooses(engine: PlainEngine) -> None:
    async def choose() -> LabelAnswer:
        label_ids = tuple(tuple(engine._renderer.answer_ids(PROMPT, label)) for label in LABELS)
        return await engine.submit(LabelRequest(prompt_ids=ids_of(engine), label_ids=label_ids)).label()

    (wanted,) = answer_prompts(engine._model, engine._renderer, [PROMPT], labels=LABELS, max_new_tokens=1, batch_size=1)
    found = asyncio.run(choose())
    assert LABELS[found.index] == wanted.text and found.probability == pytest.approx(wanted.probability, rel=1e-6)


def test_an_adapter_answers_as_it_does_alone(engine: PlainEngine, tmp_path: Path) -> None:
    adapter = AdapterRef("one", save_tiny_adapter(tmp_path / "adapter"))
    model = adapt(build_model())
    (wanted,) = decode(model, [ids_of(engine)], max_new_tokens=30, end_ids=frozenset({END}), batch_size=1)
    assert text(ask(engine, adapter=adapter)) == engine._renderer.decode(wanted.token_ids) != text(ask(engine))


def test_draws_have_the_distribution_of_the_nucleus(engine: PlainEngine) -> None:
    """4,000 draws of a first token against the probabilities, computed otherwise."""
    from tests.serve.engine.plain_engine import _Chooser

    request = GenerationRequest(
        prompt_ids=(1,), max_new_tokens=1, sampling=SamplingParams(temperature=2.0, top_p=0.8, seed=0)
    )
    logits_V = torch.log(torch.tensor([0.5, 0.3, 0.1, 0.06, 0.04], dtype=torch.float64))
    root = torch.tensor([0.5, 0.3, 0.1, 0.06, 0.04], dtype=torch.float64).sqrt()
    share = root / root.sum()  # 0.35, 0.27, 0.16, 0.12, 0.10: the first four reach 0.8
    chooser = _Chooser(request, engine._renderer)
    counts = torch.bincount(torch.tensor([chooser.choose(logits_V.clone()) for _ in range(4000)]), minlength=5)
    num_kept = int((share.cumsum(0) < 0.8).sum()) + 1
    assert counts[num_kept:].sum() == 0 and num_kept == 4
    assert torch.allclose(counts[:num_kept].double() / 4000, share[:num_kept] / share[:num_kept].sum(), atol=0.03)


def test_a_stop_text_is_never_begun(engine: PlainEngine) -> None:
    bias = {i: 60.0 for i in range(32, 60)}
    whole = text(ask(engine, sampling=SamplingParams(logit_bias=bias)))
    stop = whole[5:9]
    pieces = ask(engine, sampling=SamplingParams(logit_bias=bias), stop=(stop,), num_top=0)
    assert text(pieces) == whole[: whole.index(stop)] and pieces[-1].finish is FinishReason.STOP
    assert sum(piece.num_tokens for piece in pieces) == whole.index(stop) + 4
    assert sum(len(piece.tokens) for piece in pieces) == whole.index(stop)


def test_the_end_of_the_turn_may_be_passed(engine: PlainEngine) -> None:
    sampling = SamplingParams(logit_bias={END: 100.0})
    assert [piece.num_tokens for piece in ask(engine, sampling=sampling)] == [1]
    passed = ask(engine, sampling=sampling, ends_turn=False, max_new_tokens=4)
    assert len(passed) == 4 and passed[-1].finish is FinishReason.LENGTH and text(passed) == ""


def test_characters_come_whole(engine: PlainEngine) -> None:
    """The two bytes of one letter, the second drawn because the first is penalised once it was said."""
    first, second = engine._renderer.ids("é")
    sampling = SamplingParams(logit_bias={first: 1000.0, second: 980.0}, frequency_penalty=50.0)
    pieces = ask(engine, sampling=sampling, max_new_tokens=4, num_top=0)
    assert [piece.text for piece in pieces] == ["", "é", "", "é"]
    assert [[chance.token_id for chance in piece.tokens] for piece in pieces] == [[], [first, second]] * 2


def test_a_bos_is_no_part_of_an_echo() -> None:
    """The tokenizer puts one before every text; the client has not sent it, and is told of its own tokens only."""
    from burnish.serve.catalog import ServedModel
    from burnish.serve.inference.chances import TokenTexts
    from burnish.serve.inference.completions.plan import plan_completion
    from burnish.serve.inference.completions.reply import Completion
    from burnish.serve.inference.shapes import CompletionRequest

    renderer = build_chat_renderer("Llama 3.1")
    model = build_model(vocab_size=300)
    body = CompletionRequest(model="tiny", prompt="héy", echo=True, logprobs=1, max_tokens=1, temperature=0)
    served = ServedModel(id="tiny", created=0, owned_by="burnish", base="tiny")
    plan = plan_completion(body, served, renderer, 100)
    assert plan.prompts[0].ids[0] == renderer.bos_id
    completion = Completion(plan.prompts[0], plan, TokenTexts(renderer))
    for piece in PlainEngine(model, renderer).pieces(model, plan.requests[0]):
        completion.take(piece)
    whole = completion.whole()
    assert whole["text"].startswith("héy") and whole["logprobs"]["tokens"][0] == "h"
    assert whole["logprobs"]["token_logprobs"][0] < 0 and whole["logprobs"]["text_offset"][:4] == [0, 1, 1, 2]
