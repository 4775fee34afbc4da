"""What the tests of OpenAI's own client find on a server that was asked for it."""

from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from burnish.serve.jobs import conformance_seed
from burnish.serve.jobs.models import delete_model, find_model
from burnish.serve.jobs.store import Store
from burnish.serve.settings import ServeSettings
from tests.serve.jobs_app import client_of, create, upload


@pytest.fixture
def settings(tmp_path: Path) -> ServeSettings:
    return ServeSettings(runs=tmp_path, base="tiny")


def test_a_reseed_undoes_what_was_done_and_leaves_what_is_not_its_own(store: Store, settings: ServeSettings) -> None:
    app = FastAPI()
    app.include_router(conformance_seed.build_router(store, settings))
    hooks, client = TestClient(app), client_of(store, settings)
    job = f"/fine_tuning/jobs/{conformance_seed.JOB}"
    mine = upload(client, b"x").json()["id"]
    for _ in range(2):
        assert hooks.post("/_test/reseed").status_code == 200
        assert client.get(job).json()["status"] == "queued"
        assert len(client.get(f"{job}/events").json()["data"]) == len(client.get(f"{job}/checkpoints").json()["data"]) == 1
        assert create(client, "file-abc123", model="gpt-4o-mini").status_code == 200
        assert find_model(store, conformance_seed.TUNED) is not None
        done = client.post("/uploads/upload_abc123/complete", json={"part_ids": ["string"]}).json()
        assert (done["status"], done["file"]["bytes"]) == ("completed", 0)
        client.post(f"{job}/cancel")
        client.delete("/files/file_id")
        delete_model(store, conformance_seed.TUNED)
        assert client.get("/files/file_id").status_code == 404
    assert client.get(f"/files/{mine}").status_code == 200


def test_the_hooks_are_there_only_where_the_environment_asks_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BURNISH_TEST_HOOKS", raising=False)
    assert not conformance_seed.is_wanted()
    monkeypatch.setenv("BURNISH_TEST_HOOKS", "1")
    assert conformance_seed.is_wanted()
