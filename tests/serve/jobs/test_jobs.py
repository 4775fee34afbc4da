"""Jobs through their routes: what is refused, every move, pages, events as they come."""

import json
import threading
from typing import Any

import pytest
from fastapi.testclient import TestClient

from burnish.serve.jobs.events import tell
from burnish.serve.jobs.job import (
    MAX_CRASHES,
    Lost,
    Status,
    change,
    claim,
    fail,
    holds,
    note_crash,
    put_back,
    settle,
)
from burnish.serve.jobs.models import set_alias
from burnish.serve.jobs.store import Store
from burnish.serve.settings import ServeSettings
from tests.serve.jobs.jobs_app import CHAT_ROW, client_of, create, jsonl, upload
from tests.serve.jobs.test_files import refused

JOBS = "/fine_tuning/jobs"
FIELDS = {
    "id", "object", "created_at", "model", "organization_id", "status", "training_file", "validation_file",
    "result_files", "fine_tuned_model", "finished_at", "trained_tokens", "estimated_finish", "seed", "error",
    "hyperparameters", "method", "integrations", "metadata", "user_provided_suffix",
}  # fmt: skip


@pytest.fixture
def file_id(client: TestClient) -> str:
    return str(upload(client, jsonl([CHAT_ROW] * 12)).json()["id"])


@pytest.fixture
def job_id(client: TestClient, file_id: str) -> str:
    return str(create(client, file_id).json()["id"])


def put(store: Store, job_id: str, status: Status) -> None:
    with store.transaction() as connection:
        connection.execute("UPDATE job SET status = ? WHERE id = ?", (status, job_id))


def messages(client: TestClient, job_id: str) -> list[str]:
    """Of all events, oldest first."""
    rows = client.get(f"{JOBS}/{job_id}/events", params={"limit": 1000}).json()["data"]
    return [row["message"] for row in rows][::-1]


def test_a_new_job_has_every_field_and_waits(client: TestClient, file_id: str) -> None:
    job = create(client, file_id).json()
    assert job.keys() == FIELDS
    auto = {"batch_size": "auto", "learning_rate_multiplier": "auto", "n_epochs": "auto"}
    assert job["hyperparameters"] == auto
    assert job["method"] == {"type": "supervised", "supervised": {"hyperparameters": auto}}
    assert (job["status"], job["error"], job["result_files"]) == ("validating_files", None, [])
    assert (job["model"], job["training_file"]) == ("tiny", file_id)
    assert 0 <= job["seed"] < 2**31
    assert client.get(f"{JOBS}/{job['id']}").json() == job
    told = [f"Created fine-tuning job: {job['id']}", f"Validating training file: {file_id}"]
    assert messages(client, job["id"]) == told


def test_what_is_asked_is_told_back(client: TestClient, file_id: str) -> None:
    wandb = {"type": "wandb", "wandb": {"project": "p", "tags": ["t"]}}
    other = upload(client, jsonl([CHAT_ROW] * 13)).json()["id"]
    method = {
        "type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2, "learning_rate_multiplier": 0.5}},
        "dpo": {"hyperparameters": {"beta": "auto"}}, "reinforcement": {"grader": {"type": "no grader"}},
    }  # fmt: skip
    job = create(
        client, file_id, method=method, hyperparameters={"n_epochs": 9, "batch_size": 4}, suffix="my-Suffix_1",
        seed=42, validation_file=other, metadata={"team": "a"}, integrations=[wandb],
    ).json()  # fmt: skip
    # The method's own count, and what it does not say is auto.
    hyperparameters = {"batch_size": "auto", "learning_rate_multiplier": 0.5, "n_epochs": 2}
    assert job["hyperparameters"] == hyperparameters
    assert job["method"] == {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}}
    assert (job["seed"], job["validation_file"], job["metadata"]) == (42, other, {"team": "a"})
    assert job["integrations"] == [wandb]
    assert messages(client, job["id"])[1:] == [
        f"Validating training file: {file_id} and validation file: {other}",
        "W&B integration not configured: the job is told here and in its report only",
    ]


def test_hyperparameters_at_the_top_are_heard(client: TestClient, file_id: str) -> None:
    job = create(client, file_id, hyperparameters={"n_epochs": 3, "batch_size": 256}).json()
    assert job["hyperparameters"] == {"batch_size": 256, "learning_rate_multiplier": "auto", "n_epochs": 3}


def test_the_training_file_as_validation_file_is_warned_of(client: TestClient, file_id: str) -> None:
    again = upload(client, jsonl([CHAT_ROW] * 12)).json()["id"]  # the same under another name
    for validation in (file_id, again):
        job = create(client, file_id, validation_file=validation).json()
        assert "can tell nothing about new questions" in messages(client, job["id"])[-1]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"training_file": 3}, "training_file"), ({"model": ""}, "model"), ({"model": None}, "model"),
        ({"seed": -1}, "seed"), ({"seed": 2**31}, "seed"), ({"seed": 1.5}, "seed"), ({"suffix": ""}, "suffix"),
        ({"suffix": "x" * 65}, "suffix"), ({"suffix": "a:b"}, "suffix"), ({"suffix": "a\n"}, "suffix"),
        ({"hyperparameters": {"n_epochs": 0}}, "hyperparameters.n_epochs"),
        ({"hyperparameters": {"n_epochs": 51}}, "hyperparameters.n_epochs"),
        ({"hyperparameters": {"n_epochs": "3"}}, "hyperparameters.n_epochs"),
        ({"hyperparameters": {"n_epochs": True}}, "hyperparameters.n_epochs"),
        ({"hyperparameters": {"batch_size": 257}}, "hyperparameters.batch_size"),
        ({"hyperparameters": {"learning_rate_multiplier": 0}}, "hyperparameters.learning_rate_multiplier"),
        ({"hyperparameters": {"learning_rate_multiplier": -0.1}}, "hyperparameters.learning_rate_multiplier"),
        ({"method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 99}}}},
         "method.supervised.hyperparameters.n_epochs"),
        ({"method": {"type": "other"}}, "method.type"),
        ({"metadata": {str(i): "x" for i in range(17)}}, "metadata"), ({"metadata": {"a": 1}}, "metadata.a"),
        ({"metadata": {"a": "x" * 513}}, "metadata.a"),
        ({"integrations": [{"type": "other"}]}, "integrations.0.type"),
        ({"integrations": [{"type": "wandb", "wandb": {}}]}, "integrations.0.wandb.project"),
        ({"integrations": [{"type": "wandb", "wandb": {"project": "p"}}] * 6}, "integrations"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_with_its_place(client: TestClient, file_id: str, body: Any, param: str) -> None:
    refused(create(client, file_id, **body), 400, f"'{param}' is", param)


def test_what_is_missing_is_told(client: TestClient, file_id: str) -> None:
    refused(client.post(JOBS, json={"model": "tiny"}), 400, "'training_file' is missing", "training_file")
    refused(client.post(JOBS, json={"training_file": file_id}), 400, "'model' is missing", "model")
    refused(client.post(JOBS, content=b"no"), 400, "not valid JSON")


@pytest.mark.parametrize("kind", ["dpo", "reinforcement"])
def test_other_methods_are_refused_for_now(client: TestClient, file_id: str, kind: str) -> None:
    refused(create(client, file_id, method={"type": kind, kind: {}}), 400, f"the method {kind} yet", "method.type")


def test_files_that_cannot_be_used_are_refused_at_once(client: TestClient, file_id: str) -> None:
    other = upload(client, b"x", purpose="batch").json()["id"]
    refused(create(client, "file-none"), 400, "No such File object: file-none. Upload it first.", "training_file")
    refused(create(client, other), 400, "has the purpose batch; upload it with fine-tune", "training_file")
    refused(create(client, file_id, validation_file=other), 400, "has the purpose batch", "validation_file")


def test_models_that_cannot_be_trained_are_refused(client: TestClient, store: Store, file_id: str) -> None:
    reply = create(client, file_id, model="gpt-4o-mini-2024-07-18")
    refused(reply, 404, "The model `gpt-4o-mini-2024-07-18` does not exist or you do not have access to it.", "model")
    assert reply.json()["error"]["code"] == "model_not_found"
    set_alias(store, "gpt-4o-mini-2024-07-18", "tiny")
    assert create(client, file_id, model="gpt-4o-mini-2024-07-18").json()["model"] == "gpt-4o-mini-2024-07-18"
    refused(create(client, file_id, model="ft:tiny:burnish::abc"), 400, "from base models only", "model")
    refused(create(client, file_id, model="encoder"), 400, "is an encoder", "model")


def test_a_body_that_is_sent_once_more_gives_the_same_job(client: TestClient, file_id: str) -> None:
    job = create(client, file_id, suffix="a").json()
    retried = {"x-stainless-retry-count": "1"}
    assert create(client, file_id, headers=retried, suffix="a").json() == job
    others = [
        create(client, file_id, headers={"x-stainless-retry-count": "0"}, suffix="a"),
        create(client, file_id, headers=retried, suffix="b"),
        create(client, file_id, headers={**retried, "Authorization": "Bearer another"}, suffix="a"),
    ]
    assert len({job["id"], *(reply.json()["id"] for reply in others)}) == 4


MOVES = {
    "cancel": ({Status.VALIDATING, Status.QUEUED, Status.RUNNING, Status.PAUSED, Status.CANCELLED}, Status.CANCELLED),
    "pause": ({Status.QUEUED, Status.RUNNING, Status.PAUSED}, Status.PAUSED),
    "resume": ({Status.PAUSED, Status.QUEUED}, Status.QUEUED),
}


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("verb", list(MOVES))
def test_every_move_is_done_or_refused(
    client: TestClient, store: Store, job_id: str, verb: str, status: Status
) -> None:
    allowed, to = MOVES[verb]
    put(store, job_id, status)
    before = client.get(f"{JOBS}/{job_id}").json()
    reply = client.post(f"{JOBS}/{job_id}/{verb}")
    if status not in allowed:
        refused(reply, 400, f"Job {job_id} is {status.value} and cannot be")
        assert client.get(f"{JOBS}/{job_id}").json() == before
    elif status is to:
        assert reply.json() == before  # once more is the same
    else:
        assert reply.json()["status"] == to.value
        assert (reply.json()["finished_at"] is not None) == (to is Status.CANCELLED)


def test_an_unknown_job_is_told_in_openais_words(client: TestClient) -> None:
    for reply in [client.get(f"{JOBS}/ftjob-x{end}") for end in ("", "/events", "/checkpoints")] + [
        client.post(f"{JOBS}/ftjob-x/{verb}") for verb in MOVES
    ]:
        refused(reply, 404, "Could not find fine tune: ftjob-x", "fine_tune_id")
        assert reply.json()["error"]["code"] == "fine_tune_not_found"


def test_a_paused_job_may_be_called_queued(store: Store, settings: ServeSettings, job_id: str) -> None:
    from dataclasses import replace

    put(store, job_id, Status.PAUSED)
    client = client_of(store, replace(settings, says_paused=False))
    assert client.get(f"{JOBS}/{job_id}").json()["status"] == "queued"
    assert client.get(JOBS).json()["data"][0]["status"] == "queued"


def test_jobs_are_listed_by_metadata(client: TestClient, file_id: str) -> None:
    plain = create(client, file_id).json()["id"]
    odd = {"a[b]": "1", "it's": "x"}
    tagged, both = (create(client, file_id, metadata=each).json()["id"] for each in ({"foo": "s"}, {"foo": "s", **odd}))
    listed = lambda **query: [row["id"] for row in client.get(JOBS, params=query).json()["data"]]  # noqa: E731
    assert listed() == [both, tagged, plain]
    assert listed(**{"metadata[foo]": "s"}) == [both, tagged]
    assert listed(**{"metadata[foo]": "s", "metadata[a[b]]": "1", "metadata[it's]": "x"}) == [both]
    assert listed(**{"metadata[foo]": "t"}) == []
    assert listed(metadata="null") == [plain]
    assert listed(limit=1, after=both) == [tagged]
    assert client.get(JOBS, params={"limit": 2}).json()["has_more"] is True


def test_events_are_paged_newest_first(client: TestClient, store: Store, job_id: str) -> None:
    with store.transaction() as connection:
        for step in range(5):
            tell(connection, job_id, f"Step {step}", data={"step": step})
            tell(connection, job_id, "the same", once=True)
    page = client.get(f"{JOBS}/{job_id}/events", params={"limit": 1}).json()
    assert page["has_more"] is True
    newest = page["data"][0]
    assert newest.pop("id").startswith("ftevent-") and isinstance(newest.pop("created_at"), int)
    assert newest == {
        "object": "fine_tuning.job.event", "level": "info", "type": "metrics", "message": "Step 4", "data": {"step": 4},
    }  # fmt: skip
    assert messages(client, job_id)[2:] == ["Step 0", "the same", "Step 1", "Step 2", "Step 3", "Step 4"]


def test_events_are_streamed_as_they_come_until_the_job_is_over(client: TestClient, store: Store, job_id: str) -> None:
    timer = threading.Timer(0.7, lambda: client.post(f"{JOBS}/{job_id}/cancel"))
    timer.start()
    with client.stream("GET", f"{JOBS}/{job_id}/events", params={"stream": "true"}) as reply:
        assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
        lines = [line.removeprefix("data: ") for line in reply.iter_lines() if line]
    assert lines[-1] == "[DONE]"
    events = [json.loads(line) for line in lines[:-1]]
    assert [event["message"] for event in events] == messages(client, job_id)
    assert events[-1]["message"] == "The job was cancelled"
    behind = client.get(f"{JOBS}/{job_id}/events", params={"stream": "true", "after": events[1]["id"]}).text
    assert json.loads(behind.splitlines()[0].removeprefix("data: ")) == events[2]
    assert client.get(f"{JOBS}/{job_id}/events", params={"stream": "true", "after": "no"}).text == "data: [DONE]\n\n"


def test_only_one_of_many_workers_gets_a_job(store: Store, client: TestClient, job_id: str) -> None:
    put(store, job_id, Status.QUEUED)
    claims = list[Any]()
    threads = [threading.Thread(target=lambda: claims.append(claim(store, Status.QUEUED))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each[0] for each in claims if each] == [job_id]


def test_jobs_are_trained_one_at_a_time_in_their_order(client: TestClient, store: Store, file_id: str) -> None:
    ids = [create(client, file_id).json()["id"] for _ in range(3)]
    for each in ids:
        put(store, each, Status.QUEUED)
    first = claim(store, Status.QUEUED)
    assert first is not None and first[0] == ids[0]
    assert client.get(f"{JOBS}/{ids[0]}").json()["status"] == "running"
    assert claim(store, Status.QUEUED) is None
    put_back(store, *first, "again")
    second = claim(store, Status.QUEUED)
    assert second is not None and second[0] == ids[0] and second[1] != first[1]
    fail(store, *second, code="c", message="m")
    third = claim(store, Status.QUEUED)
    assert third is not None and third[0] == ids[1]


@pytest.mark.parametrize("verb", ["cancel", "pause"])
def test_a_worker_whose_job_was_taken_writes_nothing_more(
    client: TestClient, store: Store, job_id: str, verb: str
) -> None:
    put(store, job_id, Status.QUEUED)
    claimed = claim(store, Status.QUEUED)
    assert claimed is not None and holds(store, *claimed)
    after = client.post(f"{JOBS}/{job_id}/{verb}").json()
    assert not holds(store, *claimed)
    for write in (
        lambda connection: change(connection, *claimed, last_step=3),
        lambda connection: settle(connection, *claimed, Status.SUCCEEDED, fine_tuned_model="ft:x"),
    ):
        with pytest.raises(Lost), store.transaction() as connection:
            write(connection)
    with pytest.raises(Lost):
        fail(store, *claimed, code="c", message="m")
    put_back(store, *claimed, "no")
    note_crash(store, *claimed, progress=1, why="no")
    assert client.get(f"{JOBS}/{job_id}").json() == after
    assert "no" not in messages(client, job_id)


def test_a_cancel_beside_the_end_leaves_one_of_them_whole(client: TestClient, store: Store, file_id: str) -> None:
    for _ in range(10):
        job_id = create(client, file_id).json()["id"]
        put(store, job_id, Status.QUEUED)
        claimed = claim(store, Status.QUEUED)
        assert claimed is not None
        ended = list[bool]()

        def end(claimed: tuple[str, str] = claimed, ended: list[bool] = ended) -> None:
            try:
                with store.transaction() as connection:
                    settle(connection, *claimed, Status.SUCCEEDED, fine_tuned_model="ft:x")
                ended.append(True)
            except Lost:
                ended.append(False)

        threads = [
            threading.Thread(target=end),
            threading.Thread(target=client.post, args=(f"{JOBS}/{job_id}/cancel",)),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        job = client.get(f"{JOBS}/{job_id}").json()
        assert (job["status"], job["fine_tuned_model"]) == (("succeeded", "ft:x") if ended[0] else ("cancelled", None))


def test_a_job_that_crashes_thrice_without_progress_fails(client: TestClient, store: Store, job_id: str) -> None:
    put(store, job_id, Status.QUEUED)
    statuses = []
    for progress in (0, 5, 5, 9, 9, 9):
        claimed = claim(store, Status.QUEUED)
        assert claimed is not None
        note_crash(store, *claimed, progress=progress, why="It ended with code -9.")
        statuses.append(client.get(f"{JOBS}/{job_id}").json()["status"])
    assert statuses == ["queued"] * 5 + ["failed"]
    error = client.get(f"{JOBS}/{job_id}").json()["error"]
    assert error == {
        "code": "server_error", "param": None,
        "message": f"The training process ended {MAX_CRASHES} times without getting further. It ended with code -9.",
    }  # fmt: skip
    assert claim(store, Status.QUEUED) is None
