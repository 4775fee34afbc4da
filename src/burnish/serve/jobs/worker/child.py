"""The process that works on one job. It ends when its server does, and holds a lock as long as it lives."""

import os
import signal
import sys
import threading
import time
import traceback

from burnish.errors import BurnishError, DataError, Interrupted, StorageError
from burnish.files import lock, write_text
from burnish.serve.jobs.events import tell
from burnish.serve.jobs.job import Lost, Status, fail, get_job, settle
from burnish.serve.jobs.store import Store, open_store
from burnish.serve.jobs.worker.order import EXIT_STOPPED, Order, Phase, lock_of, pid_of
from burnish.serve.jobs.worker.refusal import Refusal

LOCK_WAIT_S = 60.0
"""For an earlier process of the job to end."""


def main() -> int:
    """Do what the first argument orders; returns the exit code."""
    order = Order.from_json(sys.argv[1])
    threading.Thread(target=_end_with_server, daemon=True).start()
    print(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} {order.phase} {order.job_id}", file=sys.stderr, flush=True)
    try:
        with lock(lock_of(order.folder), LOCK_WAIT_S), open_store(order.store_folder) as store:
            write_text(pid_of(order.folder), str(os.getpid()))
            return work(store, order)
    except StorageError:
        traceback.print_exc()
        return 1


def _end_with_server() -> None:
    """The pipe to the server closes when it dies, however it dies."""
    while os.read(0, 1024):
        pass
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)  # with what this process has started
    os._exit(1)


def work(store: Store, order: Order) -> int:
    """What is the user's to mend fails the job; what is not ends the process, and the server sees to it."""
    try:
        try:
            _validate(store, order) if order.phase is Phase.VALIDATE else _train(store, order)
        except Refusal as refusal:
            fail(store, order.job_id, order.token, code=refusal.code, message=refusal.message, param=refusal.param)
        except DataError as error:
            code, param = "invalid_training_file", "training_file"
            fail(store, order.job_id, order.token, code=code, message=str(error), param=param)
        except BurnishError as error:
            fail(store, order.job_id, order.token, code="training_failed", message=str(error))
    except (Lost, Interrupted):
        return EXIT_STOPPED
    return 0


def _validate(store: Store, order: Order) -> None:
    from burnish.serve.jobs.worker.job_recipe import build_job_recipe
    from burnish.serve.jobs.worker.validation import validate

    loaded, num_rows = build_job_recipe(store, get_job(store, order.job_id), order)
    parts = validate(loaded, num_rows, min_examples=order.min_examples)
    with store.transaction() as connection:
        settle(connection, order.job_id, order.token, Status.QUEUED, num_crashes=0)  # it has got further
        told = (
            f"{parts['train']} rows are learned from, {parts['validation']} choose between epochs, and "
            f"{parts['test']} are held out to tell whether training has helped"
        )
        tell(connection, order.job_id, told)
        tell(connection, order.job_id, "Files validated, moving job to queued state")


def _train(store: Store, order: Order) -> None:
    """Begin the job's run, or go on with it."""
    from burnish.serve.jobs.worker.narration import JobScreen
    from burnish.serve.jobs.worker.progress import find_run

    row = get_job(store, order.job_id)
    screen = JobScreen(store, order, row["training_file"])
    screen.listen()
    from burnish.pipeline import resume, run
    from burnish.serve.jobs.worker.job_recipe import build_job_recipe
    from burnish.serve.jobs.worker.products import finish

    if run_dir := find_run(order, row["training_file"]):
        done = resume(run_dir, screen)
    else:
        loaded, _ = build_job_recipe(store, row, order)
        done = run(loaded, screen)
    finish(store, order, done)


if __name__ == "__main__":
    sys.exit(main())
