"""Many questions at a time, each answer written as it comes: a recording that is stopped loses none of them."""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from burnish.errors import DataError, EndpointError, StorageError
from burnish.files import lock, storage_errors, write_jsonl
from burnish.recorded import RecordedAnswer, read_recorded, wire_messages
from burnish.recording.client import Client, Reply, RowRefused
from burnish.recording.endpoint import Endpoint, Pace, Patience
from burnish.recording.questions import Question
from burnish.screen import Advance, Screen, SilentScreen

REFUSALS_IN_A_ROW = 10
"""So many, with no answer in between, and the others are not asked."""
NUM_AT_ONCE = 8

Write = Callable[[RecordedAnswer], None]


@dataclass(frozen=True)
class Refusal:
    """A question without an answer."""

    id: str
    why: str


@dataclass(frozen=True)
class Recording:
    """What a recording brought."""

    path: Path
    answers: list[RecordedAnswer]
    """Those that came now, in the order of the questions."""
    num_kept: int
    """Questions that had an answer already."""
    refusals: list[Refusal]
    notes: list[str]


def missing_questions(questions: Sequence[Question], path: Path, endpoint: Endpoint) -> list[Question]:
    """Those that the file has no answer to.

    Raises:
        DataError: the file is no recording, or one of another model.
    """
    known = read_recorded(path) if path.exists() else {}
    for answer in known.values():
        if (answer.model, answer.host) != (endpoint.model, endpoint.host):
            raise DataError(f"{path}: has answers of {answer.model} at {answer.host}. Name another file with --output.")
    return [question for question in questions if question.sha256 not in known]


def record_answers(
    questions: Sequence[Question],
    endpoint: Endpoint,
    path: Path,
    *,
    num_at_once: int = NUM_AT_ONCE,
    per_minute: float | None = None,
    patience: Patience | None = None,
    screen: Screen | None = None,
) -> Recording:
    """Ask what `path` has no answer to and add the answers; when done, the file is in the order of the questions.

    Stopped by Ctrl-C or an error, the file keeps each answer that came, and the same call goes on.

    Raises:
        EndpointError: the endpoint answers nobody, or refuses one question after the other.
        DataError: the file is no recording, one of another model, or another process is writing it.
    """
    client = Client(endpoint, patience or Patience(), num_at_once)
    with _alone(path):
        missing = missing_questions(questions, path, endpoint)
        answers = list[RecordedAnswer]()
        with _appending(path) as write, (screen or SilentScreen()).bar(_title(endpoint), len(missing)) as advance:

            def keep(answer: RecordedAnswer) -> None:
                write(answer)
                answers.append(answer)

            asking = _ask_all(missing, client, Pace(per_minute), num_at_once=num_at_once, keep=keep, advance=advance)
            refusals = asyncio.run(asking)
        _put_in_order(path, questions)
    place = {question.sha256: number for number, question in enumerate(questions)}
    return Recording(
        path,
        sorted(answers, key=lambda answer: place[answer.prompt_sha256]),
        len(questions) - len(missing),
        refusals,
        [f"{endpoint.model} does not take `{knob}`: {_INSTEAD[knob]}." for knob in sorted(client.unknown)],
    )


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Two recordings into one file would ask everything twice."""
    with ExitStack() as stack:
        try:
            stack.enter_context(lock(path.with_name(f".{path.name}.lock"), timeout_s=0.0))
        except StorageError as error:
            if error.__cause__ is not None:  # the system's refusal, not another process
                raise
            raise DataError(f"{path}: another recording is writing it. Wait for it, or name another file.") from None
        yield


def _title(endpoint: Endpoint) -> str:
    return f"Asking {endpoint.model} at {endpoint.host}"


async def _ask_all(
    questions: Sequence[Question],
    client: Client,
    pace: Pace,
    *,
    num_at_once: int,
    keep: Write,
    advance: Advance,
) -> list[Refusal]:
    """The questions that were refused; answers are given to `keep` as they come."""
    waiting, refusals, in_a_row = iter(questions), list[Refusal](), 0

    async def work() -> None:
        nonlocal in_a_row
        for question in waiting:  # shared by all workers: each takes the next one
            try:
                keep(_recorded(question, await client.ask(question, pace), client.endpoint))
                in_a_row = 0
            except RowRefused as refused:
                refusals.append(Refusal(question.id, str(refused)))
                in_a_row += 1
                if in_a_row >= REFUSALS_IN_A_ROW:
                    raise EndpointError(_spell_refused(client.endpoint, refusals[-1], in_a_row)) from None
            advance(1, f"{len(refusals)} refused" if refusals else "")

    async with client:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(num_at_once, len(questions))):
                    group.create_task(work())
        except BaseExceptionGroup as faults:  # the first fault ends the other workers
            raise faults.exceptions[0] from None
    return refusals


_INSTEAD = {
    "max_tokens": "`max_completion_tokens` was sent in its place",
    "temperature": "it was left out, so that answers may differ from one time to the next",
}


def _spell_refused(endpoint: Endpoint, last: Refusal, count: int) -> str:
    return (
        f"{endpoint.host} refused {count} questions one after the other, so no more were asked. "
        f"{last.id}: {last.why} What was answered is kept; the same command goes on."
    )


def _recorded(question: Question, reply: Reply, endpoint: Endpoint) -> RecordedAnswer:
    return RecordedAnswer(
        id=question.id,
        prompt_sha256=question.sha256,
        model=endpoint.model,
        host=endpoint.host,
        prompt=wire_messages(question.prompt),
        answer=reply.text,
        tool_calls=reply.tool_calls,
        latency_s=round(reply.latency_s, 4),
        prompt_tokens=reply.prompt_tokens,
        completion_tokens=reply.completion_tokens,
        finish_reason=reply.finish_reason,
        recorded_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


@contextmanager
def _appending(path: Path) -> Iterator[Write]:
    """Give a function that adds a line at once; a torn last line is cut first, or the next would be torn with it."""
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            with open(path, "rb+") as stream:
                stream.truncate(stream.read().rfind(b"\n") + 1)
        with open(path, "a", encoding="utf-8", newline="\n") as lines:

            def write(answer: RecordedAnswer) -> None:
                with storage_errors(path):
                    lines.write(json.dumps(answer.to_dict(), ensure_ascii=False) + "\n")
                    lines.flush()

            yield write


def _put_in_order(path: Path, questions: Sequence[Question]) -> None:
    """Answers come as they are ready; the file is left in the order of the questions, with what else it has behind."""
    place = {question.sha256: number for number, question in enumerate(questions)}
    known = read_recorded(path)
    ordered = sorted(known.values(), key=lambda answer: place.get(answer.prompt_sha256, len(place)))
    if list(known.values()) != ordered:
        write_jsonl(path, [answer.to_dict() for answer in ordered])
