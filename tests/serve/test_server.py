"""The whole server, with nothing in place of its parts: the unmodified client uploads, trains, chats and deletes."""

import asyncio
import json
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from fastapi.testclient import TestClient
from scripts.live_server import make_jobs_quick

import burnish
from burnish.cli.serving import key_hash, list_names, name_models, remove_names
from burnish.errors import BurnishError, RunError
from burnish.files import read_json
from burnish.run_dir import RunDir, list_run_dirs
from burnish.serve.catalog import Catalog, public_id
from burnish.serve.jobs.models import add_model
from burnish.serve.jobs.store import Store, open_store
from burnish.serve.server import build_app, serve
from burnish.serve.settings import ServeSettings
from tests.serve.jobs.jobs_app import jsonl, wait_for
from tests.serve.wire.plain_backend import live
from tests.test_pipeline import rows
from tests.tiny import save_base


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> ServeSettings:
    folder = tmp_path_factory.mktemp("served")
    made = ServeSettings(runs=folder / "runs", base=str(save_base(folder / "tiny")))
    make_jobs_quick(made.runs)
    return made


@pytest.fixture(scope="module")
def store(settings: ServeSettings) -> Iterator[Store]:
    with open_store(settings.folder) as opened:
        yield opened


@pytest.fixture(scope="module")
def client(settings: ServeSettings, store: Store) -> Iterator[openai.OpenAI]:
    with live(build_app(settings, store)) as url:
        yield openai.OpenAI(base_url=url, api_key="any", max_retries=0)


@pytest.fixture(scope="module")
def job(client: openai.OpenAI) -> Any:
    """A job from its upload to its end."""
    file = client.files.create(file=("rows.jsonl", jsonl(rows("chat"))), purpose="fine-tune")
    client.files.wait_for_processing(file.id)
    begun = client.fine_tuning.jobs.create(model="tiny", training_file=file.id, suffix="first", seed=1)
    return wait_for(lambda: _ended(client, begun.id), timeout_s=240)


def _ended(client: openai.OpenAI, job_id: str) -> Any:
    found = client.fine_tuning.jobs.retrieve(job_id)
    return found if found.status in ("succeeded", "failed", "cancelled") else None


def run_of(settings: ServeSettings) -> RunDir:
    return list_run_dirs(settings.runs)[-1]


def question(text: str = "one") -> Any:
    return [{"role": "user", "content": text}]


def test_a_job_leads_to_a_model_that_answers_as_the_run_tested_it(
    client: openai.OpenAI, settings: ServeSettings, job: Any
) -> None:
    assert (job.status, job.error) == ("succeeded", None)
    told = [event.message for event in client.fine_tuning.jobs.list_events(job.id, limit=100)]
    assert told[0] == "The job has successfully completed"
    assert told[-1] == f"Created fine-tuning job: {job.id}"

    specialist = burnish.load(run_of(settings).path, arm="specialist")
    for text in ("one", "two", "something else"):
        asked = client.chat.completions.create(model=job.fine_tuned_model, messages=question(text), max_tokens=6)
        assert asked.choices[0].message.content == specialist.generate(question(text))
        stream = client.chat.completions.create(
            model=job.fine_tuned_model, messages=question(text), max_tokens=6, stream=True
        )
        parts = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
        assert "".join(parts).strip() == asked.choices[0].message.content


def test_its_names_are_listed_and_its_checkpoints_answer(
    client: openai.OpenAI, settings: ServeSettings, job: Any
) -> None:
    listed = [model.id for model in client.models.list()]
    checkpoints = [each.fine_tuned_model_checkpoint for each in client.fine_tuning.jobs.checkpoints.list(job.id)]
    assert {job.fine_tuned_model, run_of(settings).run_id, "tiny", "all-minilm-l6-v2", *checkpoints} <= set(listed)
    for name in (*checkpoints, run_of(settings).run_id, "tiny", settings.base):
        reply = client.chat.completions.create(model=name, messages=question(), max_tokens=4)
        assert reply.usage is not None and reply.usage.prompt_tokens > 3


def test_an_alias_is_served_at_once_and_gone_at_once(client: openai.OpenAI, settings: ServeSettings, job: Any) -> None:
    run_id = run_of(settings).run_id
    assert name_models(["support", "prod"], "latest", settings) == run_id
    assert list_names(settings) == {"prod": run_id, "support": run_id}
    assert client.chat.completions.create(model="prod", messages=question(), max_tokens=2).model == run_id
    with pytest.raises(RunError, match="a model has this name already"):
        name_models(["tiny"], run_id, settings)
    with pytest.raises(RunError, match="no such run"):
        name_models(["x"], "19990101", settings)
    remove_names(["prod", "support"], settings)
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="prod", messages=question())
    with pytest.raises(RunError, match="no such alias"):
        remove_names(["prod"], settings)


def test_many_clients_of_many_models_get_what_each_gets_alone(
    client: openai.OpenAI, settings: ServeSettings, job: Any
) -> None:
    asked = [(name, f"question {i}") for i in range(6) for name in (job.fine_tuned_model, "tiny")]

    async def together() -> list[Any]:
        async with openai.AsyncOpenAI(base_url=client.base_url, api_key="any") as asynchronous:
            return await asyncio.gather(
                *(
                    asynchronous.chat.completions.create(
                        model=name, messages=question(text), max_tokens=6, temperature=0
                    )
                    for name, text in asked
                )
            )

    mixed = [reply.choices[0].message.content for reply in asyncio.run(together())]
    alone = [
        client.chat.completions.create(model=name, messages=question(text), max_tokens=6, temperature=0)
        .choices[0]
        .message.content
        for name, text in asked
    ]
    assert mixed == alone
    assert len(set(alone)) > 2


def test_a_deleted_model_is_served_no_longer_and_its_run_stays(
    client: openai.OpenAI, settings: ServeSettings, job: Any
) -> None:
    name = client.fine_tuning.jobs.checkpoints.list(job.id).data[0].fine_tuned_model_checkpoint
    assert client.models.delete(name).deleted
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve(name)
    with pytest.raises(openai.PermissionDeniedError):
        client.models.delete("tiny")
    with pytest.raises(openai.PermissionDeniedError, match="remove its folder"):
        client.models.delete(run_of(settings).run_id)
    assert run_of(settings).adapter.is_dir()


def test_a_name_that_no_file_can_have_is_no_model(client: openai.OpenAI) -> None:
    for name in ("a" * 3000, "a\x00b"):
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model=name, messages=question())


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_whose_adapter_is_gone_says_so(
    client: openai.OpenAI, settings: ServeSettings, store: Store, stream: bool
) -> None:
    name = f"ft:tiny:burnish:gone:{stream}"
    with store.transaction() as connection:
        add_model(connection, name, base=settings.base, base_id="tiny", adapter=settings.runs / "gone")
    with pytest.raises(openai.NotFoundError, match="has lost its adapter") as fault:
        client.chat.completions.create(model=name, messages=question(), stream=stream)
    assert fault.value.code == "model_not_found"
    assert client.models.delete(name).deleted


def test_a_run_whose_evaluation_is_damaged_or_missing_is_not_served(store: Store, tmp_path: Path) -> None:
    run = RunDir(tmp_path / "20260101-000000-abcdef")
    run.path.mkdir()
    run.recipe.write_text("")
    catalog = Catalog(tmp_path, "tiny", store)
    assert catalog.find(run.run_id) is None
    run.evaluation.write_text("{")
    assert catalog.find(run.run_id) is None
    for name in ("../secret", "..", "/etc/passwd", ""):
        assert catalog.find(name) is None


def test_another_base_than_the_adapters_own_is_refused(settings: ServeSettings, store: Store, job: Any) -> None:
    run = run_of(settings)
    cards = [run.adapter / "burnish.json", run.solution("specialist") / "solution.json"]
    before = [card.read_text() for card in cards]
    for card in cards:
        card.write_text(json.dumps({**read_json(card), "base_fingerprint": "0" * 64}))
    try:
        with TestClient(build_app(settings, store), base_url="http://127.0.0.1") as fresh:
            body = {"model": job.fine_tuned_model, "messages": question()}
            reply = fresh.post("/v1/chat/completions", json=body)
    finally:
        for card, text in zip(cards, before, strict=True):
            card.write_text(text)
    assert reply.status_code == 400
    assert "is another one by now" in reply.json()["error"]["message"]


def test_public_names_have_neither_slash_nor_colon() -> None:
    assert public_id("org/base:7b") == "org--base-7b"
    assert public_id("/models/tiny") == "tiny"


def test_a_key_is_made_once_and_kept_as_its_hash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    console = Console(width=200)
    assert key_hash(None, "127.0.0.1", tmp_path, console) is None
    assert key_hash("mine", "127.0.0.1", tmp_path, console) == key_hash("mine", "0.0.0.0", tmp_path, console)
    made = key_hash(None, "0.0.0.0", tmp_path, console)
    shown = capsys.readouterr().out.split()[-1]
    assert shown.startswith("sk-burnish-") and key_hash(shown, "::", tmp_path, console) == made
    assert key_hash(None, "0.0.0.0", tmp_path, console) == made
    assert shown not in capsys.readouterr().out
    assert all(shown.encode() not in path.read_bytes() for path in tmp_path.iterdir())
    with pytest.raises(BurnishError, match="empty"):
        key_hash(" ", "0.0.0.0", tmp_path, console)


def test_the_page_of_routes_says_what_each_does_and_needs_nothing_else(client: openai.OpenAI) -> None:
    page = httpx2.get(str(client.base_url).replace("/v1/", "/docs")).text
    document = httpx2.get(str(client.base_url).replace("/v1/", "/openapi.json")).json()
    for path, methods in document["paths"].items():
        for route in methods.values():
            assert f"<code>{path}</code>" in page
            assert len(route["description"]) > 8, path
    assert "<script" not in page
    assert not re.findall(r"(?:src|href)=.https?:", page)


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(BurnishError, match=rf"127\.0\.0\.1:{port}: cannot listen there .* Give another --port"):
            serve(ServeSettings(runs=tmp_path, port=port), say=lambda _: None)


def test_threads_of_a_stopped_server_end(tmp_path: Path) -> None:
    made = ServeSettings(runs=tmp_path / "runs", base=str(save_base(tmp_path / "tiny")))
    with (
        open_store(made.folder) as opened,
        TestClient(build_app(made, opened), base_url="http://127.0.0.1") as fresh,
    ):
        body = {"model": "tiny", "messages": question(), "max_tokens": 2}
        assert fresh.post("/v1/chat/completions", json=body).status_code == 200
        assert any(thread.name == "engine" for thread in threading.enumerate())
    left = [thread.name for thread in threading.enumerate() if thread.name in ("engine", "burnish-jobs")]
    assert left.count("burnish-jobs") <= 1  # of the module's own server, if it runs
