"""Every way to do a task that a run can recommend, on the real server with real models: it answers as tested."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import openai
import pytest

from burnish.classify import finetune
from burnish.cli.serving import name_models
from burnish.files import read_json, read_jsonl, write_json
from burnish.pipeline import Run, run
from burnish.recipe import build_recipe
from burnish.serve.jobs.store import open_store
from burnish.serve.server import build_app
from burnish.serve.settings import ServeSettings
from tests.serve.wire.plain_backend import live
from tests.test_encoding import recipe_values as encoder_values
from tests.test_pipeline import recipe_values
from tests.tiny import own_cache, save_base

pytestmark = pytest.mark.real  # the encoder
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
ARMS = ("zero_shot", "embedding", "few_shot", "retrieved", "specialist")


@dataclass(frozen=True)
class Served:
    """A run by the name of its task, and a client of the server that answers for it."""

    runs: dict[str, Run]
    settings: ServeSettings
    client: openai.OpenAI

    def recommend(self, name: str, arm: str) -> str:
        """The model's id, once the run recommends that arm."""
        path = self.runs[name].dir.evaluation
        evaluation = read_json(path)
        write_json(path, {**evaluation, "verdict": {**evaluation["verdict"], "recommended_arm": arm}})
        return self.runs[name].dir.run_id

    def tested(self, name: str, arm: str) -> list[dict[str, Any]]:
        return read_jsonl(self.runs[name].dir.predictions(arm))[:6]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("solutions")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BURNISH_CACHE", own_cache(tmp_path_factory.mktemp("own")))
        patch.setattr(finetune, "MIN_STEPS", 8)
        patch.setattr(finetune, "STEPS_PER_ROOT", 0.0)
        base = save_base(folder / "tiny")
        runs = {}
        for task in ("classification", "extraction"):
            values = recipe_values(task, base, folder)
            arms = [arm for arm in ARMS[:-1] if task == "classification" or arm != "embedding"]
            runs[task] = run(build_recipe(values, overrides=[f"evaluate.arms={json.dumps(arms)}"]))
        values = encoder_values(folder)
        runs["encoder"] = run(build_recipe({**values, "output": {"folder": str(folder / "runs")}}))
        settings = ServeSettings(runs=folder / "runs", base=str(base))
        with open_store(settings.folder) as store, live(build_app(settings, store)) as url:
            yield Served(runs, settings, openai.OpenAI(base_url=url, api_key="any", max_retries=0))


CASES = [
    *(("classification", arm) for arm in ARMS),
    *(("extraction", arm) for arm in ARMS if arm != "embedding"),
    ("encoder", "embedding"),
    ("encoder", "encoder"),
]
LABELLED = [case for case in CASES if case[0] != "extraction"]


@pytest.mark.parametrize(("name", "arm"), CASES)
def test_what_a_run_recommends_answers_by_chat_and_stream_as_it_was_tested(served: Served, name: str, arm: str) -> None:
    model = served.recommend(name, arm)
    for row in served.tested(name, arm):
        asked: Any = {"model": model, "messages": row["prompt"][-1:], "temperature": 0}
        reply = served.client.chat.completions.create(**asked)
        assert (reply.model, reply.choices[0].message.content) == (model, row["prediction"])
        assert reply.choices[0].finish_reason == "stop" or name == "extraction"
        assert reply.system_fingerprint and reply.system_fingerprint.startswith("fp_")
        chunks = list(served.client.chat.completions.create(**asked, stream=True))
        streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert streamed == reply.choices[0].message.content
    assert model in {each.id for each in served.client.models.list()}


@pytest.mark.parametrize(("name", "arm"), LABELLED)
def test_a_label_comes_with_its_probability_and_confidence(served: Served, name: str, arm: str) -> None:
    model = served.recommend(name, arm)
    row = served.tested(name, arm)[0]
    reply = served.client.chat.completions.create(model=model, messages=row["prompt"][-1:], logprobs=True)
    choice = reply.choices[0]
    assert choice.logprobs is not None and choice.logprobs.content
    assert "".join(item.token for item in choice.logprobs.content) == choice.message.content
    assert 0 < (choice.model_extra or {})["burnish"]["confidence"] <= 1


@pytest.mark.parametrize(("name", "arm"), LABELLED)
def test_fields_that_a_label_cannot_follow_are_named_or_refused(served: Served, name: str, arm: str) -> None:
    model, row = served.recommend(name, arm), served.tested(name, arm)[0]
    asked: Any = {"model": model, "messages": row["prompt"][-1:]}
    create = served.client.chat.completions.with_raw_response.create
    plain = create(**asked, temperature=0, n=2)
    assert "x-burnish-ignored" not in plain.headers
    labels = [choice.message.content for choice in plain.parse().choices]
    assert labels == [row["prediction"]] * 2
    drawn: Any = {"temperature": 1.5, "seed": 3, "stop": ["e"], "max_tokens": 1, "tools": [TOOL]}
    for stream in (False, True):
        told = create(**asked, **drawn, stream=stream)
        assert told.headers["x-burnish-ignored"] == "tools, temperature, seed, stop, max_tokens"
    assert create(**asked, **drawn).parse().choices[0].message.content == row["prediction"]
    empty = create(**asked, max_tokens=0).parse().choices[0]
    assert (empty.message.content, empty.finish_reason) == ("", "length")
    for refused in ({"response_format": {"type": "json_object"}}, {"tools": [TOOL], "tool_choice": "required"}):
        with pytest.raises(openai.BadRequestError, match="Take out"):
            create(**asked, **refused)
    with pytest.raises(openai.BadRequestError, match="continues no texts"):
        served.client.completions.create(model=model, prompt="a")
    with pytest.raises(openai.BadRequestError, match="makes no embeddings"):
        served.client.embeddings.create(model=model, input="a")


@pytest.mark.parametrize("arm", [arm for arm in ARMS if arm != "embedding"])
def test_a_written_answer_follows_the_fields_of_its_request(served: Served, arm: str) -> None:
    """Also behind examples that are shown: they change the prompt, and nothing else."""
    model, row = served.recommend("extraction", arm), served.tested("extraction", arm)[0]
    asked: Any = {"model": model, "messages": row["prompt"][-1:]}
    create = served.client.chat.completions.create
    cut = create(**asked, max_tokens=2)
    assert cut.choices[0].finish_reason == "length"
    assert cut.usage is not None and cut.usage.completion_tokens == 2
    drawn = create(**asked, temperature=1.5, n=3, seed=1, max_tokens=6)
    assert len({choice.message.content for choice in drawn.choices}) == 3
    form: Any = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"enum": ["a"]}}}
    held = create(**asked, response_format=form).choices[0]
    assert (held.message.content, held.finish_reason) == ('"a"', "stop")
    chances = create(**asked, max_tokens=1, logprobs=True, top_logprobs=3).choices[0].logprobs
    assert chances is not None and chances.content and len(chances.content[0].top_logprobs) == 3
    pieces = [chunk for chunk in create(**asked, stream=True, max_tokens=4) if chunk.choices]
    assert len(pieces) >= 3


def test_an_alias_of_a_classifier_answers(served: Served) -> None:
    model, row = served.recommend("encoder", "encoder"), served.tested("encoder", "encoder")[0]
    name_models(["intent"], model, served.settings)
    reply = served.client.chat.completions.create(model="intent", messages=row["prompt"][-1:])
    assert (reply.model, reply.choices[0].message.content) == (model, row["prediction"])
    assert reply.usage is not None and reply.usage.prompt_tokens > 0 and reply.usage.completion_tokens == 0


def test_a_run_whose_recommended_arm_is_gone_still_serves_its_specialist(served: Served) -> None:
    model = served.recommend("classification", "few_shot")
    folder = served.runs["classification"].dir.solution("few_shot")
    folder.rename(folder.with_name("away"))
    try:
        served.recommend("classification", "few_shot")
        asked: Any = {"messages": [{"role": "user", "content": "red box"}]}
        reply = served.client.chat.completions.create(model=f"{model}-specialist", **asked)
        assert reply.choices[0].message.content
        with pytest.raises(openai.NotFoundError):
            served.client.chat.completions.create(model=model, **asked)
    finally:
        folder.with_name("away").rename(folder)
