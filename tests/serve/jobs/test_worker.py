"""Jobs that are worked on: a real run of the tiny model in a process of its own, disturbed in every way."""

import base64
import csv
import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree
from typing import Any

import psutil
import pytest
import torch
from fastapi.testclient import TestClient
from scripts.live_server import make_jobs_quick

from burnish.files import read_json, read_jsonl, sha256_of_file, write_json
from burnish.journal import count_openings, expect_openings
from burnish.pipeline import open_run
from burnish.recipe import build_recipe
from burnish.run_dir import RunDir, list_run_dirs
from burnish.serve.jobs.job import Status, claim, note_crash
from burnish.serve.jobs.models import TrainedModel, find_model, list_models
from burnish.serve.jobs.store import Store, open_store
from burnish.serve.jobs.worker import Supervisor
from burnish.serve.jobs.worker.checkpoints import export_adapter
from burnish.serve.jobs.worker.child import work
from burnish.serve.jobs.worker.job_recipe import DEFAULT_LEARNING_RATE
from burnish.serve.jobs.worker.narration import JobScreen
from burnish.serve.jobs.worker.order import Order, Phase
from burnish.serve.jobs.worker.progress import progress_of
from burnish.serve.jobs.worker.steps import MAX_STEP_EVENTS, RunLength, StepTeller
from burnish.serve.settings import ServeSettings
from tests.serve.jobs.jobs_app import CHAT_ROW, client_of, create, jsonl, upload, wait_for
from tests.test_pipeline import rows
from tests.tiny import own_cache, save_base

JOBS = "/fine_tuning/jobs"
LONG = {"n_epochs": 8, "learning_rate_multiplier": 10}


@dataclass
class Place:
    """A server's folder, without the server."""

    settings: ServeSettings
    store: Store
    client: TestClient

    def job(self, **body: Any) -> str:
        """A new job on sixty conversations."""
        file_id = upload(self.client, jsonl(rows("chat"))).json()["id"]
        return str(create(self.client, file_id, seed=0, **body).json()["id"])

    def get(self, job_id: str) -> Any:
        return self.client.get(f"{JOBS}/{job_id}").json()

    def ask(self, job_id: str, verb: str) -> Any:
        return self.client.post(f"{JOBS}/{job_id}/{verb}").json()

    def told(self, job_id: str) -> list[Any]:
        """Of all events, oldest first."""
        return list(self.client.get(f"{JOBS}/{job_id}/events", params={"limit": 1000}).json()["data"][::-1])

    def messages(self, job_id: str) -> list[str]:
        return [event["message"] for event in self.told(job_id)]

    def wait(self, job_id: str, *statuses: str) -> Any:
        def ended() -> Any:
            job = self.get(job_id)
            assert job["status"] in statuses or job["status"] != "failed", job["error"]
            return job if job["status"] in statuses else None

        return wait_for(ended)

    def wait_for_step(self, job_id: str, step: int) -> None:
        wait_for(lambda: any(m.startswith(f"Step {step}/") for m in self.messages(job_id)))

    def child(self, job_id: str) -> psutil.Process:
        """The process that works on a job."""
        return psutil.Process(int((self.settings.folder / "jobs" / job_id / "child.pid").read_text()))

    def model(self, job: Any) -> TrainedModel:
        found = find_model(self.store, job["fine_tuned_model"])
        assert found is not None
        return found


@contextmanager
def place_in(folder: Path, base: Path) -> Iterator[Place]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BURNISH_CACHE", own_cache(folder))
        settings = ServeSettings(runs=folder / "runs")
        make_jobs_quick(settings.runs)
        with open_store(settings.folder) as store:
            yield Place(settings, store, client_of(store, settings, str(base)))


@contextmanager
def supervised(place: Place) -> Iterator[Supervisor]:
    supervisor = Supervisor(place.store, place.settings)
    supervisor.start()
    try:
        yield supervisor
    finally:
        supervisor.stop()


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_base(tmp_path_factory.mktemp("base"))


@pytest.fixture
def place(base: Path, tmp_path: Path) -> Iterator[Place]:
    with place_in(tmp_path, base) as made:
        yield made


@pytest.fixture(scope="module")
def undisturbed(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, Any]]:
    """A job of eight epochs that nothing has come between."""
    with place_in(tmp_path_factory.mktemp("undisturbed"), base) as place, supervised(place):
        yield place, place.wait(place.job(hyperparameters=LONG, suffix="calm"), "succeeded")


def test_a_job_tells_its_story_in_openais_words(undisturbed: tuple[Place, Any]) -> None:
    place, job = undisturbed
    run = open_run(RunDir(place.model(job).run or Path()))
    total = run.evaluation["training"]["num_steps"]
    told = place.messages(job["id"])
    in_order = [
        f"Created fine-tuning job: {job['id']}",
        f"Validating training file: {job['training_file']}",
        "15 rows are learned from, 15 choose between epochs, and 30 are held out to tell whether training has helped",
        "Files validated, moving job to queued state",
        "Fine-tuning job started",
        "Training with learning rate 0.01 (burnish's own 0.001 times 10), batch size 4, at most 8 epochs",
        *(f"Checkpoint created at step {step}" for step in range(4, total + 1, 4)),
        f"The report is {run.report_path}",
        f"New fine-tuned model created: {job['fine_tuned_model']}",
        "The job has successfully completed",
    ]
    assert [message for message in told if message in in_order] == in_order
    assert any(run.verdict["headline"] in message and "30 held-out rows" in message for message in told)
    assert set(run.evaluation["notes"]) <= set(told)
    assert any(note.startswith("Fully right: ") for note in run.evaluation["notes"])
    assert run.report_path.is_file()


def test_every_step_is_told_with_the_losses_of_the_run(undisturbed: tuple[Place, Any]) -> None:
    place, job = undisturbed
    run = open_run(RunDir(place.model(job).run or Path()))
    steps = [event for event in place.told(job["id"]) if event["type"] == "metrics"]
    validations = {each["step"]: each["loss_per_token"] for each in run.evaluation["training"]["validation"]}
    assert len(validations) == 8
    assert [event["data"] for event in steps] == [
        {"step": row["step"], "train_loss": row["loss_per_token"], "total_steps": 32}
        | ({"full_valid_loss": validations[row["step"]]} if row["step"] in validations else {})
        for row in read_jsonl(run.dir.metrics)
    ]
    data = steps[3]["data"]
    losses = f"training loss={data['train_loss']:.2f}, full validation loss={data['full_valid_loss']:.2f}"
    assert steps[3]["message"] == f"Step 4/32: {losses}"


def test_a_finished_job_has_everything_that_clients_look_for(undisturbed: tuple[Place, Any]) -> None:
    place, job = undisturbed
    run = open_run(RunDir(place.model(job).run or Path()))
    settled = {"batch_size": 4, "learning_rate_multiplier": 10, "n_epochs": 8}
    assert job["hyperparameters"] == settled == job["method"]["supervised"]["hyperparameters"]
    assert job["error"] is None and job["finished_at"] >= job["created_at"]
    assert job["trained_tokens"] == run.evaluation["training"]["num_tokens"] > 0
    name = job["fine_tuned_model"].split(":")
    assert name[:4] == ["ft", "tiny", "burnish", "calm"] and len(name[4]) == 8
    assert place.model(job).adapter == run.adapter_path
    (file_id,) = job["result_files"]
    file = place.client.get(f"/files/{file_id}").json()
    assert (file["filename"], file["purpose"]) == ("step_metrics.csv", "fine-tune-results")
    content = place.client.get(f"/files/{file_id}/content", headers={"Accept": "application/binary"}).content
    table = list(csv.DictReader(io.StringIO(base64.b64decode(content).decode())))
    assert list(table[0]) == ["step", "train_loss", "train_accuracy", "valid_loss", "valid_mean_token_accuracy"]
    assert [float(row["train_loss"]) for row in table] == [row["loss_per_token"] for row in read_jsonl(run.dir.metrics)]
    assert [row["step"] for row in table if row["valid_loss"]] == [str(step) for step in range(4, 33, 4)]


def test_the_last_three_epochs_can_be_used_by_name_and_are_what_the_run_had(undisturbed: tuple[Place, Any]) -> None:
    from safetensors.torch import load_file

    from burnish.model.adapter import load_adapter
    from burnish.model.base import find_base, load_model
    from burnish.specialist import load_specialist

    place, job = undisturbed
    kept = place.client.get(f"{JOBS}/{job['id']}/checkpoints").json()["data"]
    assert [checkpoint["step_number"] for checkpoint in kept] == [32, 28, 24]
    assert [set(checkpoint["metrics"]) for checkpoint in kept] == [{"step", "train_loss", "full_valid_loss"}] * 3
    names = [checkpoint["fine_tuned_model_checkpoint"] for checkpoint in kept]
    assert all(name.startswith("ft:tiny:burnish:calm:") for name in names)
    assert [name.rpartition(":")[2] for name in names] == ["ckpt-step-32", "ckpt-step-28", "ckpt-step-24"]
    assert {model.id for model in list_models(place.store)} == {*names, job["fine_tuned_model"]}
    newest = find_model(place.store, names[0])
    assert newest is not None
    run_dir = RunDir(place.model(job).run or Path())
    state = load_file(run_dir.checkpoints / "step-000032" / "state.safetensors")
    files = find_base(newest.base)
    model = load_adapter(load_model(files, dtype=torch.float32, device=torch.device("cpu")), newest.adapter, files)
    loaded = {f"adapter/{name}": tensor for name, tensor in model.named_parameters() if ".lora_" in name}
    wanted = {name: tensor for name, tensor in state.items() if name.startswith("adapter/")}
    assert loaded.keys() == wanted.keys()
    assert all(torch.equal(loaded[name], wanted[name]) for name in wanted)
    # The configuration is peft's own but for the names' order.
    ours, theirs = (json.loads((f / "adapter_config.json").read_text()) for f in (newest.adapter, run_dir.adapter))
    assert sorted(ours.pop("target_modules")) == sorted(theirs.pop("target_modules"))
    assert ours == theirs
    assert isinstance(load_specialist(newest.adapter).generate([{"role": "user", "content": "red box"}]), str)


def test_a_checkpoint_that_would_break_the_budget_is_as_small_as_it_was_judged(
    undisturbed: tuple[Place, Any], tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    from burnish.model.adapter import read_card

    place, job = undisturbed
    run_dir = RunDir(place.model(job).run or Path())
    source = run_dir.checkpoints / "step-000032"
    progress = read_json(source / "progress.json")
    assert progress["validations"][-1]["forgotten"]["scale"] == 1.0
    copytree(source, tmp_path / "drifted")
    progress["validations"][-1]["forgotten"]["scale"] = 0.4
    write_json(tmp_path / "drifted" / "progress.json", progress)
    for name, checkpoint in (("whole", source), ("small", tmp_path / "drifted")):
        export_adapter(checkpoint, tmp_path / name, run_dir)
    whole, small = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("whole", "small"))
    assert all(torch.equal(small[n], whole[n] * (0.4 if ".lora_B." in n else 1.0)) for n in whole)
    assert [read_card(tmp_path / name).scale for name in ("whole", "small")] == [1.0, 0.4]


def test_a_checkpoint_that_a_stop_came_before_is_made_when_the_job_goes_on(undisturbed: tuple[Place, Any]) -> None:
    place, job = undisturbed
    told = place.messages(job["id"])
    with place.store.transaction() as connection:
        connection.execute("UPDATE job SET token = 't', last_step = 31")
        connection.execute("DELETE FROM model WHERE id = (SELECT model FROM checkpoint WHERE step = 32)")
        connection.execute("DELETE FROM checkpoint WHERE step = 32")
    order = Order(str(place.settings.runs), job["id"], "t", Phase.TRAIN, 10)
    StepTeller(place.store, order, RunDir(place.model(job).run or Path())).look()
    kept = place.client.get(f"{JOBS}/{job['id']}/checkpoints").json()["data"]
    assert [checkpoint["step_number"] for checkpoint in kept] == [32, 28, 24]
    assert place.messages(job["id"]) == told
    with place.store.transaction() as connection:
        assert connection.execute("UPDATE job SET token = NULL WHERE last_step = 32").rowcount == 1


def test_a_long_run_tells_some_of_its_steps_and_every_end_of_an_epoch() -> None:
    told = [step for step in range(1, 30_001) if RunLength(per_epoch=9_999, total=30_000).is_told(step)]
    assert len(told) <= MAX_STEP_EVENTS + 4 and {1, 9_999, 19_998, 30_000} <= set(told)
    assert all(RunLength(per_epoch=100, total=500).is_told(step) for step in range(1, 501))


def same_end(place: Place, job_id: str, undisturbed: tuple[Place, Any]) -> None:
    """The job has succeeded, with the adapter and the steps of the job that nothing has come between."""
    calm, wanted = undisturbed
    job = place.wait(job_id, "succeeded")
    name = "adapter_model.safetensors"
    mine, theirs = place.model(job), calm.model(wanted)
    assert sha256_of_file(mine.adapter / name) == sha256_of_file(theirs.adapter / name)
    steps = [[e["data"] for e in p.told(i) if e["data"]] for p, i in ((place, job_id), (calm, wanted["id"]))]
    assert steps[0] == steps[1]
    assert len(list_run_dirs(place.settings.runs)) == 1
    assert len(place.client.get(f"{JOBS}/{job_id}/checkpoints").json()["data"]) == 3
    tokens = place.store.all("SELECT token FROM job WHERE token IS NOT NULL")
    assert tokens == []


SERVER = """
import sys, time
from pathlib import Path
from shutil import copytree
from burnish.serve.jobs.store import open_store
from burnish.serve.jobs.worker import Supervisor
from burnish.serve.settings import ServeSettings

settings = ServeSettings(runs=Path(sys.argv[1]))
Supervisor(open_store(settings.folder), settings).start()
time.sleep(600)
"""


@contextmanager
def server_of(place: Place) -> Iterator["subprocess.Popen[bytes]"]:
    """A server in a process of its own."""
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(place.settings.runs)])
    try:
        yield server
    finally:
        server.kill()
        server.wait()


def test_a_job_that_is_orphaned_and_paused_comes_to_the_same_end(place: Place, undisturbed: tuple[Place, Any]) -> None:
    """scripts/kill_check.py does the like at many moments, and to the job's own process too."""
    with server_of(place) as server:
        job_id = place.job(hyperparameters=LONG)
        place.wait_for_step(job_id, 6)
        child = place.child(job_id)
        server.send_signal(signal.SIGKILL)
        wait_for(lambda: is_gone(child), timeout_s=20)
    assert place.get(job_id)["status"] == "running"
    with supervised(place):
        place.wait_for_step(job_id, 12)
        assert place.ask(job_id, "pause")["status"] == "paused"
        child = place.child(job_id)
        wait_for(lambda: is_gone(child))
        (run_dir,) = list_run_dirs(place.settings.runs)
        kept = max(int(path.name.removeprefix("step-")) for path in run_dir.checkpoints.glob("step-*"))
        assert kept == len(read_jsonl(run_dir.metrics)) < 32  # it stopped behind a step, and none is lost
        assert place.ask(job_id, "resume")["status"] == "queued"
        same_end(place, job_id, undisturbed)
    assert "The server was restarted; the job goes on where it was" in place.messages(job_id)


def is_gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # between the two
        return True


def begun(place: Place) -> tuple[str, psutil.Process]:
    """A job whose training is just being started, and its process. Its files are known to be good."""
    job_id = place.job(hyperparameters=LONG)
    with place.store.transaction() as connection:
        connection.execute("UPDATE job SET status = 'queued' WHERE id = ?", (job_id,))
    place.wait(job_id, "running")
    return job_id, wait_for(lambda: trainer(place, job_id))


def trainer(place: Place, job_id: str) -> psutil.Process | None:
    """The process that trains, once it holds the job."""
    try:
        child = place.child(job_id)
        return child if '"train"' in " ".join(child.cmdline()) else None
    except (OSError, ValueError, psutil.Error):
        return None


def test_a_process_that_does_not_notice_that_its_server_is_gone_is_ended_by_the_next(place: Place) -> None:
    with server_of(place):
        job_id, child = begun(place)
        child.suspend()
        # It stops when its main thread gets round to it; until then another thread may still see the server end.
        wait_for(lambda: child.status() == psutil.STATUS_STOPPED)
    assert not is_gone(child)
    with supervised(place):
        wait_for(lambda: is_gone(child))
        other = wait_for(lambda: trainer(place, job_id))
        assert other.pid != child.pid and place.get(job_id)["status"] == "running"
        place.ask(job_id, "cancel")


def test_a_cancelled_job_is_ended_and_the_next_one_is_begun(place: Place) -> None:
    with supervised(place):
        job_id, child = begun(place)
        other = place.job()
        place.wait(other, "queued")  # it is looked through while the first one trains
        assert place.get(job_id)["status"] == "running"
        assert place.ask(job_id, "cancel")["status"] == "cancelled"
        wait_for(lambda: is_gone(child))
        place.wait(other, "running")
        place.ask(other, "cancel")
    assert place.get(job_id)["status"] == "cancelled"
    assert place.messages(job_id)[-1] == "The job was cancelled"
    assert place.get(job_id)["fine_tuned_model"] is None


def test_of_two_servers_one_works_and_when_it_ends_it_puts_its_job_back_for_the_other(place: Place) -> None:
    first, second = (Supervisor(place.store, place.settings) for _ in range(2))
    first.start()
    job_id, child = begun(place)
    second.start()
    try:
        time.sleep(1.5)
        assert place.child(job_id).pid == child.pid and not is_gone(child)
        first.stop()
        assert is_gone(child)
        assert "The server ends; the job goes on when it is started again" in place.messages(job_id)
        wait_for(lambda: (found := trainer(place, job_id)) and found.pid != child.pid)
        place.ask(job_id, "cancel")
    finally:
        second.stop()


def looked_through(place: Place, file_id: str, **body: Any) -> Any:
    """A new job whose files have been looked through, here: that a process of its own does it, others show."""
    job_id = create(place.client, file_id, **body).json()["id"]
    claimed = claim(place.store, Status.VALIDATING)
    assert claimed is not None and claimed[0] == job_id
    order = Order(str(place.settings.runs), *claimed, Phase.VALIDATE, place.settings.min_examples)
    order.folder.mkdir(parents=True)
    assert work(place.store, order) == 0
    return place.get(job_id)


def bad_rows(*bad: Any) -> bytes:
    return jsonl([*rows("chat")[:30], *bad])


FAULTS = {
    "too few": (jsonl([CHAT_ROW] * 7), "invalid_n_examples", "has 7 example(s), but must have at least 10 examples"),
    "one question": (jsonl([CHAT_ROW] * 12), "invalid_n_examples", "at least 5 are needed"),
    "no role": (
        bad_rows({"messages": [{"role": "user", "content": "a"}, {"content": "b"}]}),
        "invalid_training_file",
        "Line 31: message 2 has no role",
    ),
    "not json": (jsonl(rows("chat")[:30]) + b"{no", "invalid_training_file", "Line 31: not valid JSON"),
    "binary": (bytes(range(256)) * 9, "invalid_training_file", "cannot be used"),
    "empty": (b"", "invalid_training_file", "the file is empty"),
    "preferences": (
        jsonl(
            [
                {
                    "input": {"messages": [{"role": "user", "content": f"{i}"}]},
                    "preferred_output": [{"role": "assistant", "content": "a"}],
                    "non_preferred_output": [{"role": "assistant", "content": "b"}],
                }
                for i in range(30)
            ]
        ),
        "invalid_training_file",
        "not the format of supervised training",
    ),
    "labels": (jsonl(rows("classification")), "invalid_training_file", "not the format of supervised training"),
}


def test_files_that_cannot_be_trained_on_fail_the_job_with_line_and_reason(place: Place) -> None:
    for name, (content, code, message) in FAULTS.items():
        job = looked_through(place, upload(place.client, content).json()["id"])
        assert job["status"] == "failed", name
        assert (job["error"]["code"], job["error"]["param"]) == (code, "training_file"), name
        assert message in job["error"]["message"], (name, job["error"])
        assert place.told(job["id"])[-1]["level"] == "error"


def test_a_validation_file_is_used_and_its_faults_are_its_own(place: Place) -> None:
    chat = rows("chat")
    training = upload(place.client, jsonl(chat[:40])).json()["id"]
    held = upload(place.client, jsonl(chat[40:])).json()["id"]
    bad = upload(place.client, jsonl([*chat[40:], {"messages": []}])).json()["id"]
    few = upload(place.client, jsonl(chat[40:43])).json()["id"]
    error = looked_through(place, training, validation_file=bad)["error"]
    assert (error["code"], error["param"]) == ("invalid_validation_file", "validation_file")
    assert "Line 21: the list of messages is empty" in error["message"]
    error = looked_through(place, training, validation_file=few)["error"]
    assert (error["code"], error["param"]) == ("invalid_n_examples", "validation_file")
    job = looked_through(place, training, validation_file=held)
    assert job["status"] == "queued"
    told = "20 rows are learned from, 20 choose between epochs, and 20 are held out"
    assert any(told in message for message in place.messages(job["id"]))


def test_prompts_and_completions_and_a_file_of_fifteen_rows_are_taken(place: Place) -> None:
    pairs = [{"prompt": row["question"], "completion": row["answer"]} for row in rows("completion")[:15]]
    file_id = upload(place.client, jsonl(pairs)).json()["id"]
    job = looked_through(place, file_id)
    assert job["status"] == "queued"
    assert place.messages(job["id"])[2].startswith("5 rows are learned from, 5 choose between epochs, and 5 are held")


def test_crashes_of_the_validation_do_not_count_against_the_training(place: Place) -> None:
    job_id = place.job()
    for _ in range(2):
        (_, token) = claim(place.store, Status.VALIDATING) or ("", "")
        note_crash(place.store, job_id, token, progress=0, why="It was killed.")
    claimed = claim(place.store, Status.VALIDATING)
    assert claimed is not None
    order = Order(str(place.settings.runs), *claimed, Phase.VALIDATE, place.settings.min_examples)
    order.folder.mkdir(parents=True)
    assert work(place.store, order) == 0
    (_, token) = claim(place.store, Status.QUEUED) or ("", "")
    note_crash(place.store, job_id, token, progress=0, why="It was killed.")
    assert place.get(job_id)["status"] == "queued"


def test_to_have_saved_the_adapter_and_to_have_judged_it_is_to_have_got_further(
    undisturbed: tuple[Place, Any], tmp_path: Path
) -> None:
    place, job = undisturbed
    order = Order(str(place.settings.runs), job["id"], "t", Phase.TRAIN, 10)
    run_dir = RunDir(place.model(job).run or Path())
    whole = progress_of(order)
    with moved_away(run_dir.evaluation, tmp_path):
        assert progress_of(order) == whole - 1
        with moved_away(run_dir.adapter, tmp_path):
            assert progress_of(order) == whole - 2
    assert progress_of(order) == whole


@contextmanager
def moved_away(path: Path, folder: Path) -> Iterator[None]:
    moved = path.rename(folder / path.name)
    try:
        yield
    finally:
        moved.rename(path)


def test_a_run_that_goes_on_does_not_tell_again_what_only_the_machine_has_changed(place: Place) -> None:
    job_id = place.job()
    with place.store.transaction() as connection:
        connection.execute("UPDATE job SET token = 't'")
    order = Order(str(place.settings.runs), job_id, "t", Phase.TRAIN, 10)
    before = len(place.messages(job_id))
    for free in ("12.5", "14.2"):
        screen = JobScreen(place.store, order, "file-x")
        screen.say(f"Memory: weights and a step need about 0.0 GB of {free} GB; up to 2,048 tokens at a time.")
        screen.say("step 4: validation loss 5.1234 nats per token")
    screen.say("step 8: validation loss 5.1234 nats per token")
    assert [message[:12] for message in place.messages(job_id)[before:]] == [
        "Memory: weig",
        "step 4: vali",
        "step 8: vali",
    ]


def test_a_run_that_goes_on_after_its_test_was_opened_does_not_count_itself_twice(
    undisturbed: tuple[Place, Any],
) -> None:
    place, job = undisturbed
    run_dir = RunDir(place.model(job).run or Path())
    assert count_openings(run_dir) == expect_openings(run_dir) == 1


def test_a_process_that_cannot_work_fails_the_job_after_three_times(place: Place) -> None:
    job_id = place.job()
    (place.settings.folder / "jobs" / job_id).mkdir(parents=True)
    (place.settings.folder / "jobs" / job_id / "child.pid").mkdir()  # where the process would write a file
    with supervised(place):
        error = place.wait(job_id, "failed")["error"]
    assert error["code"] == "server_error"
    assert "ended 3 times without getting further. It ended with code 1." in error["message"]
    assert "child.pid" in error["message"]


def test_what_is_wrong_with_the_servers_own_settings_fails_the_job_with_the_remedy(place: Place) -> None:
    (place.settings.folder / "jobs.toml").write_text("[train]\nepoch = 3\n")
    error = looked_through(place, upload(place.client, jsonl(rows("chat"))).json()["id"])["error"]
    assert error["code"] == "training_failed" and "Did you mean `train.epochs`?" in error["message"]


def test_a_multiplier_of_one_is_what_burnish_chooses_by_itself() -> None:
    from burnish.recipe import TokenFacts, resolve_tokens

    loaded = build_recipe({"task": "chat", "data": {"train": "x.jsonl"}})
    settled = resolve_tokens(loaded, TokenFacts(num_train_rows=100, longest_target=9, bf16_speedup=1.0))
    assert settled.recipe.train.learning_rate == DEFAULT_LEARNING_RATE
