"""A request for a job -> the job in line; nothing of it is done yet, so that the answer comes at once."""

import hashlib
import json
import random
import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

from burnish.files import sha256_of_json
from burnish.serve.catalog import ServedModel
from burnish.serve.errors import ApiError, not_found
from burnish.serve.jobs.asked import whole_number
from burnish.serve.jobs.events import tell
from burnish.serve.jobs.job import Status, get_job
from burnish.serve.jobs.shapes import CreateJob, Hyperparameters, parse_job
from burnish.serve.jobs.shelf import TRAINING, StoredFile, get_file
from burnish.serve.jobs.store import Store, insert, new_id, now

Resolver = Callable[[str], ServedModel | None]
"""A model's name or alias, as clients say it, to the model."""
REPEATED_WITHIN_S = 3600


def create_job(store: Store, resolve: Resolver, body: dict[str, Any], headers: Mapping[str, str]) -> sqlite3.Row:
    """Put a job in line; a body that a client sends once more, as it heard no answer, gives the job of before.

    Raises:
        ApiError: the body, the model or a file is at fault.
    """
    asked, hyperparameters = parse_job(body)
    base = _base_of(asked.model, resolve)
    training = _usable(store, asked.training_file, "training_file")
    validation = _usable(store, asked.validation_file, "validation_file") if asked.validation_file else None
    sender = hashlib.sha256(headers.get("authorization", "").encode()).hexdigest()
    body_sha256 = sha256_of_json([sender, body])
    with store.transaction() as connection:
        if _is_repeated(headers) and (before := _job_of(connection, body_sha256)):
            return get_job(store, before)
        job_id = new_id("ftjob-")
        _insert(connection, job_id, asked, hyperparameters, base, body_sha256)
        _tell_beginning(connection, job_id, asked, training, validation)
    return get_job(store, job_id)


def _base_of(name: str, resolve: Resolver) -> ServedModel:
    served = resolve(name)
    if served is None:
        raise not_found(
            f"The model `{name}` does not exist or you do not have access to it. Name one of /v1/models, or let an "
            "alias stand for it.",
            param="model",
            code="model_not_found",
        )
    if served.adapter is not None or served.solution is not None or served.task is not None:
        raise ApiError(
            f"{name} is fine-tuned already; training goes on from base models only. Name {served.base} and put the "
            "earlier examples beside the new ones.",
            param="model",
        )
    from burnish.model.base import is_encoder

    if is_encoder(served.base):
        raise ApiError(f"{name} is an encoder, which writes no answers. Name a base model that does.", param="model")
    return served


def _usable(store: Store, file_id: str, param: str) -> StoredFile:
    """What is in the file is looked at later, by the job."""
    try:
        file = get_file(store, file_id, param=param)
    except ApiError as error:
        raise ApiError(f"{error.message}. Upload it first.", param=param) from None
    if file.purpose != TRAINING:
        told = f"File {file_id} has the purpose {file.purpose}; upload it with {TRAINING}."
        raise ApiError(told, param=param)
    return file


def _is_repeated(headers: Mapping[str, str]) -> bool:
    return bool(whole_number(headers.get("x-stainless-retry-count", "0")))


def _job_of(connection: sqlite3.Connection, body_sha256: str) -> str | None:
    query = "SELECT id FROM job WHERE body_sha256 = ? AND created_at >= ? ORDER BY seq DESC"
    row = connection.execute(query, (body_sha256, now() - REPEATED_WITHIN_S)).fetchone()
    return str(row["id"]) if row else None


def _insert(
    connection: sqlite3.Connection,
    job_id: str,
    asked: CreateJob,
    hyperparameters: Hyperparameters,
    base: ServedModel,
    body_sha256: str,
) -> None:
    integrations = [each.model_dump(exclude_none=True) for each in asked.integrations or ()]
    insert(
        connection,
        "job",
        id=job_id,
        created_at=now(),
        status=Status.VALIDATING,
        model=asked.model,
        base=base.base,
        base_id=base.id,
        training_file=asked.training_file,
        validation_file=asked.validation_file,
        suffix=asked.suffix,
        seed=random.SystemRandom().randrange(2**31) if asked.seed is None else asked.seed,
        hyperparameters=json.dumps(hyperparameters.model_dump()),
        integrations=json.dumps(integrations) if integrations else None,
        metadata=json.dumps(asked.metadata) if asked.metadata is not None else None,
        body_sha256=body_sha256,
    )


def _tell_beginning(
    connection: sqlite3.Connection, job_id: str, asked: CreateJob, training: StoredFile, validation: StoredFile | None
) -> None:
    tell(connection, job_id, f"Created fine-tuning job: {job_id}")
    more = f" and validation file: {validation.id}" if validation else ""
    tell(connection, job_id, f"Validating training file: {training.id}{more}")
    if asked.integrations:
        told = "W&B integration not configured: the job is told here and in its report only"
        tell(connection, job_id, told, level="warn")
    if validation and validation.sha256 == training.sha256:
        told = (
            "The validation file is the training file, which can tell nothing about new questions: a part of it is "
            "held out instead"
        )
        tell(connection, job_id, told, level="warn")
