"""Every way to do a task that a run can recommend, on the real server with real models: it answers as tested."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import openai
import pytest

from burnish.classify import finetune
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
ARMS = ("zero_shot", "embedding", "few_shot", "retrieved", "specialist")


@dataclass(frozen=True)
class Served:
    """A run by the name of its task, and a client of the server that answers for it."""

    runs: dict[str, Run]
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
            yield Served(runs, openai.OpenAI(base_url=url, api_key="any", max_retries=0))


CASES = [
    *(("classification", arm) for arm in ARMS),
    *(("extraction", arm) for arm in ARMS if arm != "embedding"),
    ("encoder", "embedding"),
    ("encoder", "encoder"),
]


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


@pytest.mark.parametrize(("name", "arm"), [case for case in CASES if case[0] != "extraction"])
def test_a_label_comes_with_its_probability_and_confidence(served: Served, name: str, arm: str) -> None:
    model = served.recommend(name, arm)
    row = served.tested(name, arm)[0]
    reply = served.client.chat.completions.create(model=model, messages=row["prompt"][-1:], logprobs=True)
    choice = reply.choices[0]
    assert choice.logprobs is not None and choice.logprobs.content
    assert "".join(item.token for item in choice.logprobs.content) == choice.message.content
    assert 0 < (choice.model_extra or {})["burnish"]["confidence"] <= 1
