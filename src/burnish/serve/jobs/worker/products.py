"""What a finished run leaves to the clients: a model by name, a file of its steps, the verdict in words."""

import csv
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from burnish.files import read_jsonl, storage_errors
from burnish.serve.jobs.events import tell
from burnish.serve.jobs.job import Status, get_job, model_name, settle
from burnish.serve.jobs.models import add_model
from burnish.serve.jobs.multipart import draft_in
from burnish.serve.jobs.shelf import RESULTS, shelve
from burnish.serve.jobs.store import Store, new_id
from burnish.serve.jobs.worker.order import Order

if TYPE_CHECKING:
    from burnish.pipeline import Run

COLUMNS = ("step", "train_loss", "train_accuracy", "valid_loss", "valid_mean_token_accuracy")
"""As OpenAI's clients read them. burnish measures no accuracy of single tokens, so those columns are blank."""


def finish(store: Store, order: Order, run: "Run") -> None:
    """End the job with all that it has made, or leave everything as it is.

    Raises:
        Lost: the job is not this worker's any more.
    """
    row = get_job(store, order.job_id)
    name = model_name(row, new_id("")[:8])
    training = run.evaluation["training"]
    with draft_in(store.folder / "files") as draft:
        write_step_metrics(draft, run)
        with store.transaction() as connection:
            file_id = shelve(connection, store, draft, filename="step_metrics.csv", purpose=RESULTS)
            settle(
                connection,
                order.job_id,
                order.token,
                Status.SUCCEEDED,
                fine_tuned_model=name,
                result_file=file_id,
                trained_tokens=training["num_tokens"],
            )
            add_model(
                connection,
                name,
                base=row["base"],
                base_id=row["base_id"],
                adapter=run.adapter_path.resolve(),
                run=run.dir.path.resolve(),
                job_id=order.job_id,
            )
            _tell_end(connection, order.job_id, name, run)


def write_step_metrics(path: Path, run: "Run") -> None:
    """A row a step; what was not measured at a step is blank."""
    training = run.evaluation["training"]
    validations = {each["step"]: each["loss_per_token"] for each in training["validation"]}
    with storage_errors(path), open(path, "w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in read_jsonl(run.dir.metrics):
            writer.writerow([row["step"], row["loss_per_token"], "", validations.get(row["step"], ""), ""])


def _call(run: "Run") -> str:
    """What to do; a headline that asks for a target says so itself."""
    from burnish.report.format import RECOMMENDATIONS

    call = run.verdict.get("recommendation")
    return "" if call == "needs_target" else RECOMMENDATIONS.get(call or "", "")


def _tell_end(connection: sqlite3.Connection, job_id: str, name: str, run: "Run") -> None:
    """The verdict comes before OpenAI's last two lines, which scripts wait for."""
    training, verdict = run.evaluation["training"], run.verdict
    if training["stopped_early"]:
        told = f"Training stopped early at step {training['num_steps']}: validation was not getting better"
        tell(connection, job_id, told)
    num_rows = run.evaluation["num_test_rows"]
    measured = f"burnish measured on {num_rows} held-out rows that training has not seen"
    told = f"{measured}: {verdict['headline']} {_call(run)}".rstrip()
    is_fine = verdict["outcome"] == "better" and verdict.get("recommendation") != "do_not_ship"
    tell(connection, job_id, told, level="info" if is_fine else "warn")
    for reason in (*verdict["reasons"], *run.evaluation.get("notes", ())):
        tell(connection, job_id, str(reason), once=True)
    tell(connection, job_id, f"The report is {run.report_path.resolve()}")
    tell(connection, job_id, f"New fine-tuned model created: {name}")
    tell(connection, job_id, "The job has successfully completed")
