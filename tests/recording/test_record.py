"""Recording: every question once, many at a time, asked again where that helps, and no answer lost."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from burnish.conversation import Role, build_conversation
from burnish.errors import DataError, EndpointError
from burnish.recorded import hash_prompt, read_recorded
from burnish.recording import Endpoint, Patience, Question, record_answers
from tests.recording.server import Asked, Reply, completion, error, serving

KEY = "sk-test-not-to-be-kept-7f3a"
QUICK = Patience(num_attempts=3, first_wait_s=0.01)


def questions(count: int) -> list[Question]:
    return [
        Question(f"rows.jsonl:{n + 1}", build_conversation("Be brief.", (Role.USER, f"question {n}")), (), "an answer")
        for n in range(count)
    ]


def endpoint(url: str) -> Endpoint:
    return Endpoint(base_url=url, model="ft:tiny:acme::1", key=KEY, max_tokens=20)


def echo(asked: Asked, number: int) -> Reply:
    return completion(asked.question.upper())


def test_answers_are_kept_with_what_was_asked_and_in_the_order_of_the_questions(tmp_path: Path) -> None:
    four = threading.Barrier(4, timeout=60)

    def slower_first(asked: Asked, number: int) -> Reply:
        if number < 4:
            four.wait()
        time.sleep(0.4 if asked.question == "question 0" else 0.2 if number < 4 else 0.02)
        return echo(asked, number)

    path, rows = tmp_path / "new" / "answers.jsonl", questions(12)
    with serving(slower_first) as server:
        done = record_answers(rows, endpoint(server.url), path, num_at_once=4)
    assert server.most_at_once == 4
    assert {asked.path for asked in server.asked} == {"/v1/chat/completions"}
    assert {asked.headers["authorization"] for asked in server.asked} == {f"Bearer {KEY}"}
    first_asked = next(
        asked for asked in server.asked if asked.question == "question 0"
    )  # they race for the first place
    assert first_asked.body == {
        "model": "ft:tiny:acme::1",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "question 0"}],
        "max_tokens": 20,
        "temperature": 0.0,
    }
    kept = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["id"] for row in kept] == [row.id for row in rows]
    assert [row["answer"] for row in kept] == [f"QUESTION {n}" for n in range(12)]
    assert [answer.answer for answer in done.answers] == [row["answer"] for row in kept]
    first = kept[0]
    assert first["latency_s"] >= 0.4 and kept[1]["latency_s"] >= 0.2
    assert (first["prompt_tokens"], first["completion_tokens"], first["finish_reason"]) == (11, 10, "stop")
    assert first["host"] == server.url.split("/")[2] and first["model"] == "ft:tiny:acme::1"
    assert first["prompt_sha256"] == hash_prompt(rows[0].prompt) and first["prompt"] == first_asked.body["messages"]
    assert KEY not in "".join(file.read_text() for file in tmp_path.rglob("*") if file.is_file())


def test_only_what_is_missing_is_asked_again(tmp_path: Path) -> None:
    def refuse_two(asked: Asked, number: int) -> Reply:
        return error(400, "Too long.") if asked.question in ("question 1", "question 3") else echo(asked, number)

    path, rows = tmp_path / "answers.jsonl", questions(5)
    with serving(refuse_two) as server:
        done = record_answers(rows, endpoint(server.url), path, num_at_once=1)
    assert [(refusal.id, refusal.why) for refusal in done.refusals] == [
        ("rows.jsonl:2", "400: Too long."),
        ("rows.jsonl:4", "400: Too long."),
    ]
    with path.open("a") as stream:
        stream.write('{"id": "rows.jsonl:4", "prompt_sha')  # stopped while it was written, mid-line
    with serving(echo) as again:
        known = path.read_text().replace(server.url.split("/")[2], again.url.split("/")[2])
        path.write_text(known)  # the same endpoint, but that it has another port now
        done = record_answers(rows, endpoint(again.url), path)
    assert sorted(asked.question for asked in again.asked) == ["question 1", "question 3"]
    assert (done.num_kept, done.refusals) == (3, [])
    assert [answer.id for answer in read_recorded(path).values()] == [row.id for row in rows]


def test_answers_of_another_model_are_not_mixed_in(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with serving(echo) as server:
        record_answers(questions(1), endpoint(server.url), path)
        other = Endpoint(base_url=server.url, model="other")
        with pytest.raises(DataError, match=r"has answers of ft:tiny:acme::1 at .* Name another file with --output\."):
            record_answers(questions(2), other, path)
    assert len(server.asked) == 1


def test_two_recordings_do_not_write_one_file(tmp_path: Path) -> None:
    path, told = tmp_path / "answers.jsonl", list[str]()

    def begin_another(asked: Asked, number: int) -> Reply:
        with pytest.raises(DataError) as raised:
            record_answers(questions(1), endpoint(server.url), path)
        told.append(str(raised.value))
        return echo(asked, number)

    with serving(begin_another) as server:
        done = record_answers(questions(1), endpoint(server.url), path)
        again = record_answers(questions(1), endpoint(server.url), path)  # once it is done, nothing is in the way
    assert (len(done.answers), again.num_kept, len(server.asked)) == (1, 1, 1)
    assert told == [f"{path}: another recording is writing it. Wait for it, or name another file."]


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_endpoint_is_given_the_time_that_it_asks_for(tmp_path: Path, status: int) -> None:
    def busy_once(asked: Asked, number: int) -> Reply:
        return error(status, "Slow down.", retry_after="2") if number == 0 else echo(asked, 1)

    with serving(busy_once) as server:
        done = record_answers(questions(2), endpoint(server.url), tmp_path / "a.jsonl", num_at_once=1, patience=QUICK)
    assert [asked.question for asked in server.asked] == ["question 0", "question 0", "question 1"]
    assert server.asked[1].at - server.asked[0].at >= 2.0
    assert len(done.answers) == 2 and max(answer.latency_s for answer in done.answers) < 1.9  # waits do not count


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_what_passes_is_asked_again(tmp_path: Path, status: int) -> None:
    with serving(lambda asked, number: error(status, "Later.") if number < 2 else echo(asked, number)) as server:
        done = record_answers(questions(1), endpoint(server.url), tmp_path / "a.jsonl", patience=QUICK)
    assert (len(server.asked), len(done.answers)) == (3, 1)
    with serving(lambda asked, number: error(status, "Never.")) as server:
        done = record_answers(questions(1), endpoint(server.url), tmp_path / "b.jsonl", patience=QUICK)
    assert len(server.asked) == 3 and done.refusals[0].why == f"{status}: Never."


def test_a_pause_that_is_too_long_and_an_empty_account_end_it(tmp_path: Path) -> None:
    with (
        serving(lambda asked, number: error(429, "Tomorrow.", retry_after="86400")) as server,
        pytest.raises(EndpointError, match=r"asks to come back in 86,400 s\. The same command goes on then\."),
    ):
        record_answers(questions(3), endpoint(server.url), tmp_path / "a.jsonl", num_at_once=1)
    assert len(server.asked) == 1
    with (
        serving(lambda asked, number: error(429, "You exceeded your quota.", code="insufficient_quota")) as server,
        pytest.raises(EndpointError, match=r"You exceeded your quota\. What was answered is kept"),
    ):
        record_answers(questions(3), endpoint(server.url), tmp_path / "a.jsonl", num_at_once=1)
    assert len(server.asked) == 1


def test_a_broken_connection_is_made_again(tmp_path: Path) -> None:
    def cut_once(asked: Asked, number: int) -> Reply:
        return (200, {"content-length": "9999"}, "cut") if number == 0 else echo(asked, number)

    with serving(cut_once) as server:
        done = record_answers(questions(1), endpoint(server.url), tmp_path / "a.jsonl", patience=QUICK)
    assert len(server.asked) == 2 and done.answers[0].answer == "QUESTION 0"
    with pytest.raises(
        EndpointError, match=r"127\.0\.0\.1:\d+: cannot be reached .*Check --base-url and the network\."
    ):
        record_answers(questions(1), endpoint(server.url), tmp_path / "b.jsonl", patience=QUICK)  # it is gone by now


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (error(401, f"Incorrect API key provided: {KEY}."), "refuses the key in OPENAI_API_KEY: Incorrect API key"),
        (error(403, "Not yours."), "the key in OPENAI_API_KEY may not use ft:tiny:acme::1: Not yours."),
        (error(404, "The model `x` does not exist.", code="model_not_found"), "does not exist. Check --model"),
        (
            (404, {}, {"detail": "Not Found"}),
            r"/v1: no endpoint is there \(404\). Check --base-url; it usually ends in",
        ),
        ((301, {"location": "/elsewhere"}, ""), r"no endpoint is there \(301\)"),
        ((200, {"content-type": "text/html"}, "<html>"), "it answers, but not as an OpenAI-compatible endpoint does"),
        ((200, {}, {"choices": []}), "it answers, but not as an OpenAI-compatible endpoint does"),
    ],
)
def test_an_endpoint_that_answers_nobody_is_asked_once(tmp_path: Path, reply: Reply, message: str) -> None:
    with serving(lambda asked, number: reply) as server, pytest.raises(EndpointError, match=message) as raised:
        record_answers(questions(5), endpoint(server.url), tmp_path / "a.jsonl", num_at_once=1)
    assert len(server.asked) == 1
    assert KEY not in str(raised.value)


def test_without_a_key_none_is_sent_and_the_error_says_so(tmp_path: Path) -> None:
    with (
        serving(lambda asked, number: error(401, "You didn't provide a key.")) as server,
        pytest.raises(EndpointError, match=r"refuses no key \(MY_KEY is not set\): You didn't"),
    ):
        record_answers(questions(1), Endpoint(base_url=server.url, model="m", key_env="MY_KEY"), tmp_path / "a.jsonl")
    assert "authorization" not in server.asked[0].headers


@pytest.mark.parametrize("url", ["api.openai.com/v1", "ftp://host/v1", "https://", ""])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(EndpointError, match=r"no address of an endpoint\. Write it like https://api"):
        endpoint(url)


def test_user_and_password_of_an_address_are_not_shown(tmp_path: Path) -> None:
    with serving(lambda asked, number: (404, {}, "")) as server, pytest.raises(EndpointError) as raised:
        private = server.url.replace("://", "://anna:hunter2@")
        record_answers(questions(1), endpoint(private), tmp_path / "a.jsonl")
    assert "hunter2" not in str(raised.value) and server.url in str(raised.value)


def test_after_ten_refusals_in_a_row_no_more_is_asked(tmp_path: Path) -> None:
    with (
        serving(lambda asked, number: error(400, "Bad.") if number else echo(asked, number)) as server,
        pytest.raises(EndpointError, match=r"refused 10 questions one after the other.*rows\.jsonl:11: 400: Bad\."),
    ):
        record_answers(questions(40), endpoint(server.url), tmp_path / "a.jsonl", num_at_once=1)
    assert len(server.asked) == 11
    assert len(read_recorded(tmp_path / "a.jsonl")) == 1


def test_a_model_that_knows_other_knobs_is_asked_in_its_way(tmp_path: Path) -> None:
    def newer(asked: Asked, number: int) -> Reply:
        for knob in ("max_tokens", "temperature"):
            if knob in asked.body:
                return error(400, f"Unsupported: {knob}.", param=knob, code="unsupported_parameter")
        return echo(asked, number)

    with serving(newer) as server:
        done = record_answers(questions(3), endpoint(server.url), tmp_path / "a.jsonl", num_at_once=1)
    assert len(server.asked) == 5 and len(done.answers) == 3
    assert set(server.asked[-1].body) == {"model", "messages", "max_completion_tokens"}
    assert [note.split(":")[0] for note in done.notes[:1]] == ["ft"]
    assert "`max_completion_tokens` was sent" in done.notes[0] and "it was left out" in done.notes[1]


def test_requests_keep_the_pace(tmp_path: Path) -> None:
    with serving(echo) as server:
        record_answers(questions(4), endpoint(server.url), tmp_path / "a.jsonl", per_minute=600)
    times = [asked.at for asked in server.asked]
    assert times[-1] - times[0] >= 0.28  # three gaps of a tenth of a second, but for the clock's grain


def test_tools_are_offered_and_calls_kept(tmp_path: Path) -> None:
    tool = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
    calls = [{"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}]
    prompt = build_conversation(None, (Role.USER, "look it up"))
    question = Question("rows.jsonl:1", prompt, (json.dumps(tool),), "")
    with serving(lambda asked, number: completion("", finish_reason="tool_calls", tool_calls=calls)) as server:
        record_answers([question], endpoint(server.url), tmp_path / "a.jsonl")
    assert server.asked[0].body["tools"] == [tool]
    answer = read_recorded(tmp_path / "a.jsonl")[question.sha256]
    assert (answer.answer, answer.tool_calls, answer.finish_reason) == ("", calls, "tool_calls")
    assert hash_prompt(prompt) != question.sha256


@pytest.mark.parametrize(("typed", "num_asked", "code"), [(b"n\n", 0, 1), (b"y\n", 12, 0)])
def test_at_a_terminal_it_asks_before_it_spends(tmp_path: Path, typed: bytes, num_asked: int, code: int) -> None:
    pty = pytest.importorskip("pty", reason="no terminals of this kind on Windows")
    rows = [{"text": f"what is {n}?", "label": "even" if n % 2 == 0 else "odd"} for n in range(12)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    keyboard, terminal = pty.openpty()
    with serving(echo) as server:
        command = [sys.executable, "-m", "burnish", "record", "rows.jsonl", "--base-url", server.url, "--model", "m"]
        process = subprocess.Popen(
            command, cwd=tmp_path, stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        os.write(keyboard, typed)
        _, said = process.communicate(timeout=60)
    for descriptor in (keyboard, terminal):
        os.close(descriptor)
    assert (len(server.asked), process.returncode) == (num_asked, code)
    assert b"12 requests" in said and b"Ask them? [y/N]" in said


def test_ctrl_c_keeps_what_came_and_the_same_command_goes_on(tmp_path: Path) -> None:
    rows = [{"text": f"what is {n}?", "label": "even" if n % 2 == 0 else "odd"} for n in range(40)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def slow(asked: Asked, number: int) -> Reply:
        time.sleep(0.02 if number < 6 else 30)
        return completion("even")

    with serving(slow) as server:
        command = [sys.executable, "-m", "burnish", "record", "rows.jsonl", "--base-url", server.url, "--model", "m"]
        variables = {**os.environ, "OPENAI_API_KEY": KEY}
        process = subprocess.Popen(
            [*command, "--at-once", "2"], cwd=tmp_path, env=variables, stderr=subprocess.PIPE, text=True
        )
        path, deadline = tmp_path / "answers.jsonl", time.monotonic() + 60
        while len(server.asked) < 8 and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Stopped; the answers so far are in answers.jsonl. The same command goes on." in said
    assert "40 requests; an estimate by characters / 4: about" in said and "Traceback" not in said and KEY not in said
    assert len(read_recorded(path)) == 6 and path.read_text().endswith("\n")
    assert KEY not in "".join(file.read_text() for file in tmp_path.rglob("*") if file.is_file())
