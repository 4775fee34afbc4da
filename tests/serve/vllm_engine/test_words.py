"""A request in vLLM's terms, and what is refused before it is asked."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from burnish.errors import AdapterError, BurnishError
from burnish.model.adapter import CONFIG_NAME
from burnish.serve.engine.request import GenerationRequest, SamplingParams, TokenChance
from burnish.serve.server import serve
from burnish.serve.settings import EngineKind, ServeSettings
from burnish.serve.vllm_engine.client import check_rank, rank_limit
from burnish.serve.vllm_engine.words import chance, continuation, next_among

REQUEST = GenerationRequest(
    prompt_ids=(1, 2),
    max_new_tokens=7,
    sampling=SamplingParams(
        temperature=0.7,
        top_p=0.9,
        top_k=40,
        min_p=0.1,
        seed=5,
        presence_penalty=1.0,
        frequency_penalty=-0.5,
        logit_bias={3: -100.0},
    ),
    stop=("x",),
    grammar="start: /a+/",
    num_top=2,
)


def test_a_request_is_told_in_vllms_words() -> None:
    asked = continuation(REQUEST, {9, 8})
    assert asked.grammar == "start: /a+/"
    assert asked.arguments() == {
        "max_tokens": 7,
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 40,
        "min_p": 0.1,
        "seed": 5,
        "presence_penalty": 1.0,
        "frequency_penalty": -0.5,
        "logit_bias": {3: -100.0},
        "stop_token_ids": [8, 9],
        "ignore_eos": True,
        "allowed_token_ids": None,
        "logprobs": 2,
        "prompt_logprobs": None,
        "detokenize": False,
    }


def test_the_ends_of_what_vllm_takes() -> None:
    plain = continuation(
        GenerationRequest(
            prompt_ids=(1,),
            max_new_tokens=1,
            sampling=SamplingParams(temperature=1e-6, top_p=0.0),
            ends_turn=False,
            num_top=0,
            echoes_prompt=True,
        ),
        {9},
    ).arguments()
    assert plain["temperature"] == 0 and 0 < plain["top_p"] < 1e-6
    assert plain["stop_token_ids"] == [] and plain["logit_bias"] is None
    assert plain["logprobs"] == plain["prompt_logprobs"] == 0


def test_one_of_a_few_tokens() -> None:
    asked = next_among({5, 3}, num_top=20).arguments()
    assert (asked["max_tokens"], asked["temperature"], asked["allowed_token_ids"]) == (1, 0, [3, 5])
    assert asked["logprobs"] == 20 and asked["prompt_logprobs"] is None
    assert next_among({5}, num_top=1, tells_prompt=True).arguments()["prompt_logprobs"] == 1


def test_the_chosen_token_is_told_also_where_it_is_none_of_the_likeliest() -> None:
    likely = {4: -3.0, 1: -0.5, 2: -1.0}
    assert chance(4, likely, 2) == TokenChance(4, -3.0, ((1, -0.5), (2, -1.0)))
    assert chance(4, likely, 0) == TokenChance(4, -3.0)
    assert chance(7, likely, 1).log_probability == float("-inf")


@pytest.mark.parametrize(("wanted", "limit"), [(1, 8), (8, 8), (9, 16), (64, 64), (300, 320), (400, 512)])
def test_a_rank_becomes_one_that_vllm_knows(wanted: int, limit: int) -> None:
    assert rank_limit(wanted) == limit


def test_an_adapter_that_is_too_wide_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / CONFIG_NAME).write_text(json.dumps({"r": 128}))
    check_rank(tmp_path, 128)
    with pytest.raises(AdapterError, match=r"rank 128, and vLLM was started for at most 64.*--vllm-rank 128"):
        check_rank(tmp_path, 64)
    (tmp_path / CONFIG_NAME).write_text("{}")
    with pytest.raises(AdapterError, match="cannot be read"):
        check_rank(tmp_path, 64)


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed")
def test_without_vllm_its_engine_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    settings = ServeSettings(runs=tmp_path / "runs", engine=EngineKind.VLLM)
    with pytest.raises(BurnishError, match=r'vLLM is not installed.*pip install "burnish\[vllm\]".*--engine burnish'):
        serve(settings, lambda text: None)
    assert not (tmp_path / "runs").exists()
