"""What many requests get together is what each gets alone, by the ways that were tested before."""

import asyncio
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.errors import AdapterError
from burnish.generate.decode import decode
from burnish.generate.labels import choose_labels
from burnish.serve.engine import engine as engine_module
from burnish.serve.engine.grammar import MAX_DIGITS, json_grammar
from burnish.serve.engine.request import (
    AdapterRef,
    EngineBusy,
    EngineClosed,
    FinishReason,
    GenerationRequest,
    LabelRequest,
    SamplingParams,
)
from tests.serve.engine.engines import (
    END,
    RENDERER,
    answers_of,
    engine,
    pieces_of,
    prompt,
    run,
    save_adapter,
    with_adapter,
)
from tests.serve.engine.plain_engine import PlainEngine
from tests.tiny import EXACT_KINDS, build_exact_model, build_model


def texts(count: int, seed: int = 0, shared: str = "") -> list[str]:
    chance = random.Random(seed)
    return [shared + "".join(chance.choices("abcdefgh ,.", k=chance.randint(1, 90))) for _ in range(count)]


def greedy(text: str, adapter: AdapterRef | None = None, **changes: Any) -> GenerationRequest:
    return GenerationRequest(
        prompt_ids=prompt(text), max_new_tokens=changes.pop("tokens", 12), adapter=adapter, **changes
    )


def expected(model: Any, text: str, num_tokens: int = 12) -> str:
    (found,) = decode(model, [prompt(text)], max_new_tokens=num_tokens, end_ids=frozenset({END}), batch_size=1)
    return RENDERER.decode(found.token_ids)


@pytest.mark.parametrize("kind", EXACT_KINDS)
@pytest.mark.parametrize("window", [None, 24])
def test_requests_answered_together_get_what_each_gets_alone(kind: str, window: int | None) -> None:
    if kind == "llama" and window:
        pytest.skip("a Llama has no window")
    asked = texts(20, shared="a beginning that all of them have in common, some forty tokens long. ")
    alone = [expected(build_exact_model(kind, sliding_window=window), text) for text in asked]

    with engine(build_exact_model(kind, sliding_window=window), max_batch=5) as made:
        together = run(answers_of(made, [greedy(text) for text in asked]))
        again = run(answers_of(made, [greedy(text) for text in asked]))
        stats = made.stats()

    assert together == alone
    assert again == alone
    assert stats.cached_tokens > len(prompt("".join(asked))) / 2


def test_an_answer_tells_its_probability_where_it_is_asked_for() -> None:
    """Of exactly these tokens, before what a grammar forbids."""
    grammar = json_grammar(RENDERER, {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]})
    asked = [greedy(text, grammar=form, tells_probability=True) for text in texts(3) for form in (None, grammar)]
    model = build_model()
    with engine(max_batch=4) as made:
        for request in asked:
            found = run(pieces_of(made, request))
            plain = list(PlainEngine(model, RENDERER, max_length=512).pieces(model, request))
            assert [piece.probability for piece in found[:-1]] == [None] * (len(found) - 1)
            assert found[-1].probability == pytest.approx(plain[-1].probability, rel=1e-3)
        assert run(pieces_of(made, greedy("hello")))[-1].probability is None


def test_adapters_mixed_in_one_batch_answer_as_each_does_alone_under_peft(tmp_path: Path) -> None:
    refs = [save_adapter(tmp_path, seed, rank=2 + seed) for seed in range(7)]
    refs.append(save_adapter(tmp_path, 7, target_modules=["q_proj", "down_proj"]))
    asked = [(text, ref) for text in texts(2) for ref in [*refs, None]]
    alone = [expected(with_adapter(ref), text) for text, ref in asked]

    with engine(max_batch=9) as made:
        together = run(answers_of(made, [greedy(text, ref) for text, ref in asked]))

    assert together == alone
    assert len(set(alone)) > 12  # adapters that change nothing would prove nothing


def test_a_block_is_taken_over_by_the_next_adapter_and_the_budget_is_kept(tmp_path: Path) -> None:
    refs = [save_adapter(tmp_path, seed) for seed in range(5)]
    with engine(max_batch=2, adapter_bytes=50_000) as made:
        for ref in [*refs, *refs]:
            (found,) = run(answers_of(made, [greedy("hello", ref)]))
            assert found == expected(with_adapter(ref), "hello")
        assert 0 < made.stats().adapter_bytes <= 50_000


def test_memory_that_was_given_back_is_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "IDLE_BYTES", 0)
    asked = texts(3, shared="the beginning that all of them have in common. ")
    with engine() as made:
        for text in [*asked, "x" * 700, *asked]:
            assert run(answers_of(made, [greedy(text)])) == [expected(build_model(), text)]
        assert made.stats().cached_tokens > 96


def test_labels_are_chosen_as_the_search_alone_chooses_them(tmp_path: Path) -> None:
    labels = tuple((*prompt(label), END) for label in ["cards", "carry", "cashy", "trams", "topup", "other", "cardy"])
    refs = [None, save_adapter(tmp_path, 1), save_adapter(tmp_path, 2)]
    asked = [
        (text, ref) for text in texts(6, shared="the same instruction for all of these texts, again: ") for ref in refs
    ]
    alone = [
        choose_labels(with_adapter(ref), [prompt(text)], labels, pad_id=END, batch_size=1)[0] for text, ref in asked
    ]

    with engine(max_batch=7) as made:
        requests = [LabelRequest(prompt_ids=prompt(text), label_ids=labels, adapter=ref) for text, ref in asked]
        mixed = run(answers_of(made, [*requests, greedy("meanwhile")]))

    assert [choice.index for choice in mixed[:-1]] == [choice.label_index for choice in alone]
    assert [choice.probability for choice in mixed[:-1]] == pytest.approx(
        [torch.tensor(choice.log_probability).exp().item() for choice in alone], rel=1e-4
    )
    assert len({choice.label_index for choice in alone}) > 1
    assert mixed[-1] == expected(build_model(), "meanwhile")


def test_a_long_prompt_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "PROMPT_TOKENS_PER_PASS", 64)
    long, order = "x" * 900, list[str]()

    async def both() -> None:
        async def one(text: str, tokens: int) -> None:
            await pieces_of(made, greedy(text, tokens=tokens))
            order.append(text[0])

        await asyncio.gather(one(long, 1), one("short", 8))

    with engine() as made:
        run(both())

    assert order == ["s", "x"]


def test_a_seed_gives_the_same_answer_whatever_else_is_asked() -> None:
    sampling = SamplingParams(temperature=1.0, top_p=0.9, seed=-9007199254740991)
    asked = greedy("tell me", sampling=sampling, tokens=30)
    other = greedy("tell me", sampling=SamplingParams(temperature=1.0, seed=1), tokens=30)
    with engine() as made:
        (alone,) = run(answers_of(made, [asked]))
        among = run(answers_of(made, [other, asked, greedy("more"), asked]))

    assert among[1] == among[3] == alone
    assert among[0] != alone


def test_probabilities_are_those_of_the_model() -> None:
    text, model = "once upon a time", build_model()
    with engine() as made:
        pieces = run(pieces_of(made, greedy(text, num_top=3, tokens=6)))
        echoed = run(pieces_of(made, greedy(text, num_top=2, tokens=0, echoes_prompt=True)))

    ids = torch.tensor([prompt(text)])
    chosen = [token for piece in pieces for token in piece.tokens]
    for told in chosen:
        values = model(ids).logits[0, -1].float().log_softmax(-1)
        assert told.log_probability == pytest.approx(values[told.token_id].item(), abs=1e-5)
        assert [token for token, _ in told.top] == values.topk(3).indices.tolist()
        ids = torch.cat([ids, torch.tensor([[told.token_id]])], dim=1)
    assert len(chosen) == 6
    assert sum(piece.num_tokens for piece in pieces) == 6

    ids = torch.tensor([prompt(text)])
    before = [model(torch.tensor([[RENDERER.start_id]])).logits[0], model(ids).logits[0]]
    values = torch.cat(before).float().log_softmax(-1)
    told = echoed[-1].tokens
    assert [token.token_id for token in told] == list(prompt(text))
    assert [token.log_probability for token in told] == pytest.approx(
        [values[i, token].item() for i, token in enumerate(prompt(text))], abs=1e-5
    )


def test_a_stop_text_ends_the_answer_and_is_never_shown() -> None:
    whole = expected(build_model(), "go on", 40)
    stop = whole[17:20]
    with engine() as made:
        pieces = run(pieces_of(made, greedy("go on", stop=(stop, "never said"), tokens=40)))

    assert "".join(piece.text for piece in pieces) == whole[: whole.index(stop)]
    assert pieces[-1].finish is FinishReason.STOP


def test_half_a_character_is_never_shown() -> None:
    with engine() as made:
        sampling = SamplingParams(temperature=1.5, seed=3)
        pieces = run(pieces_of(made, greedy("é", sampling=sampling, tokens=200)))
        ids = run(pieces_of(made, greedy("é", sampling=sampling, tokens=200, num_top=0)))

    told = [token.token_id for piece in ids for token in piece.tokens]
    assert "".join(piece.text for piece in pieces) == RENDERER.decode(told)
    assert all(not piece.text.endswith("\N{REPLACEMENT CHARACTER}") or piece.finish for piece in pieces[:1])


def test_who_leaves_early_makes_room() -> None:
    async def leave() -> str:
        ticket = made.submit(greedy("for ever", tokens=1500, ends_turn=False))
        async for _ in ticket.pieces():
            break
        ticket.cancel()
        return (await answers_of(made, [greedy("next")]))[0]

    with engine(max_batch=1) as made:
        assert run(leave()) == expected(build_model(), "next")
        assert made.stats().num_running == 0


def test_a_full_line_sends_away() -> None:
    async def fill() -> None:
        tickets = [made.submit(greedy("a", tokens=400, ends_turn=False)) for _ in range(2)]
        with pytest.raises(EngineBusy):
            for _ in range(3):
                made.submit(greedy("b"))
        for ticket in tickets:
            ticket.cancel()

    with engine(max_batch=1, max_waiting=2) as made:
        run(fill())


def test_a_damaged_adapter_fails_its_own_request_alone(tmp_path: Path) -> None:
    bad = AdapterRef("bad", tmp_path / "nothing")
    with engine() as made:
        with pytest.raises(AdapterError, match="cannot be read"):
            run(answers_of(made, [greedy("a", bad)]))
        assert run(answers_of(made, [greedy("a")])) == [expected(build_model(), "a")]


def test_closing_finishes_what_runs_and_refuses_what_waits() -> None:
    async def close() -> tuple[str, Exception]:
        first = asyncio.create_task(answers_of(made, [greedy("first", tokens=60)]))
        await asyncio.sleep(0.05)
        waiting = asyncio.create_task(answers_of(made, [greedy("second")]))
        await asyncio.sleep(0)
        await asyncio.to_thread(made.close)
        with pytest.raises(EngineClosed) as refused:
            await waiting
        return (await first)[0], refused.value

    with engine(max_batch=1) as made:
        answer, _ = run(close())
        assert answer == expected(build_model(), "first", 60)
        with pytest.raises(EngineClosed):
            run(answers_of(made, [greedy("late")]))


def test_a_number_ends_though_its_grammar_would_let_it_go_on() -> None:
    grammar = json_grammar(RENDERER, {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2})
    digits = {token: 50.0 for token in prompt("0123456789")}
    asked = greedy("a", grammar=grammar, sampling=SamplingParams(logit_bias=digits), tokens=120)
    with engine() as made:
        (text,) = run(answers_of(made, [asked]))
    assert len(json.loads(text)) == 2
    assert max(map(len, re.findall("[0-9]+", text))) == MAX_DIGITS
