"""Does `burnish serve --engine vllm` answer as burnish's own engine does? `make vllm`, which installs vLLM for the CPU.

The same questions go to two live servers, one of each engine, on the real base model with two random adapters. Where
two kernels round otherwise, a greedy answer may take the other of two tokens that are as good as equal, and goes on
differently from there; so an answer is as it should be where it is equal, or where its first other token was within
`TOLERANCE` of the one that burnish's engine took. Exit code 1 where anything is not as it should be.
"""

import argparse
import json
import math
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import openai
import psutil
import torch
from scripts.live_server import LiveServer, live_server
from tests.tiny import randomize_adapter

from burnish.model.adapter import AdapterCard, attach_adapter, save_adapter, scale_adapter
from burnish.model.base import BaseFiles, find_base, load_model
from burnish.serve.jobs.models import add_model
from burnish.serve.jobs.store import open_store

BASE = "smollm2-135m-instruct"
WIDE, NARROW, LABELS = "ft:check:wide::0001", "ft:check:narrow::0002", "ft:check:labels::0003"
CHOICES = ("billing", "billing address", "delivery", "delivery time", "refund", "returns", "other", "unknown product")
TOLERANCE = {BASE: 0.25, WIDE: 0.001, NARROW: 0.001, LABELS: 0.001}
"""Nats, between two tokens that either kernel may take, and between what both say of one token. The base is loaded in
bf16 where that is fast, whose logits between 16 and 32 are multiples of 0.125; the adapters' base in fp32."""
QUESTIONS = (
    "Where is my parcel? It should have come on Monday.",
    "Name three rivers of Europe.",
    "Why is the sky blue?",
    "You charged me twice for one coffee machine.",
    "Write a short poem about rain.",
    "How many legs has a spider?",
)
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 20},
        "size": {"enum": ["small", "large"]},
        "rivers": {"type": "array", "items": {"type": "string", "maxLength": 12}, "maxItems": 3},
    },
    "required": ["city", "size", "rivers"],
    "additionalProperties": False,
}
TEXT_PROMPT = "The capital of France is Paris, and the capital of Italy is"


@dataclass
class Findings:
    """What was measured, and what is not as it should be."""

    faults: list[str] = field(default_factory=list)

    def tell(self, what: str, is_right: bool, measured: str) -> None:
        print(f"{'ok    ' if is_right else 'FAULT '} {what}: {measured}", flush=True)
        if not is_right:
            self.faults.append(what)


@dataclass(frozen=True)
class Answer:
    """A greedy answer with the two likeliest tokens of each place."""

    text: str
    tokens: tuple[str, ...]
    places: tuple[dict[str, float], ...]


def main() -> int:
    """Ask burnish's engine, then vLLM, then compare."""
    arguments = _arguments()
    findings = Findings()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        adapters = make_adapters(folder)
        with live_server(folder / "burnish", arguments=["--base", BASE]) as server:
            expected = ask_all(server, adapters)
        options = ["--engine", "vllm", "--base", BASE, "--vllm-memory", str(arguments.memory)]
        options += ["--max-batch", "8", "--max-waiting", "8"]
        with live_server(folder / "vllm", arguments=options) as server:
            start = time.monotonic()
            found = ask_all(server, adapters)
            print(f"vLLM has started and answered in {time.monotonic() - start:.0f} s", flush=True)
            compare(expected, found, findings)
            for check in (check_alone, check_life):
                try:
                    check(server, findings)
                except Exception as error:
                    findings.tell(check.__name__, False, repr(error))
        log = (folder / "vllm" / "server.log").read_text(errors="replace")
    print(f"{len(findings.faults)} faults" + (f"; the server's log:\n{log[-4000:]}" if findings.faults else ""))
    return 1 if findings.faults else 0


def make_adapters(folder: Path) -> dict[str, Path]:
    """Random ones: of all linear layers, of two kinds with another scale, and one that answers with labels."""
    base = find_base(BASE)
    cards = {
        WIDE: _card(base, task="chat"),
        NARROW: _card(base, task="chat", scale=0.5),
        LABELS: _card(base, task="classification", labels=CHOICES, system="Which topic has the message?"),
    }
    shapes: dict[str, dict[str, Any]] = {
        WIDE: {"rank": 8, "target_modules": "all-linear"},
        NARROW: {"rank": 12, "target_modules": ["q_proj", "down_proj"]},
        LABELS: {"rank": 4, "target_modules": "all-linear"},
    }
    adapters = {}
    for seed, (name, card) in enumerate(cards.items()):
        model = load_model(base, dtype=torch.float32, device=torch.device("cpu"))
        model = attach_adapter(model, alpha=16, dropout=0, seed=seed, in_place=False, **shapes[name])
        randomize_adapter(model, torch.float32, seed, std=0.08)
        scale_adapter(model, card.scale)
        adapters[name] = folder / f"adapter-{seed}"
        adapters[name].mkdir()
        save_adapter(model, adapters[name], card)
    return adapters


def _card(
    base: BaseFiles, *, task: str, scale: float = 1.0, labels: Sequence[str] = (), system: str = ""
) -> AdapterCard:
    return AdapterCard(
        run_id="check",
        base_model=BASE,
        base_fingerprint=base.fingerprint,
        template_sha256=base.template_sha256,
        train_sha256="",
        scale=scale,
        task=task,
        system=system,
        labels=tuple(labels),
        fields=(),
        max_new_tokens=48,
        precision="fp32",
    )


def ask_all(server: LiveServer, adapters: dict[str, Path]) -> dict[str, Any]:
    """What both engines are asked."""
    with open_store(server.runs / "serve") as store, store.transaction() as connection:
        for name, adapter in adapters.items():
            add_model(connection, name, base=BASE, base_id=BASE, adapter=adapter)
    client = _client(server)
    with ThreadPoolExecutor(8) as pool:
        mixed = [(model, text) for text in QUESTIONS for model in (WIDE, NARROW, BASE)]
        answers = dict(zip(mixed, pool.map(lambda asked: greedy(client, *asked), mixed), strict=True))
        labels = list(pool.map(lambda text: label(client, text), QUESTIONS))
    penalized = greedy(client, WIDE, QUESTIONS[0], presence_penalty=1.5, frequency_penalty=0.5)
    biased = greedy(client, WIDE, QUESTIONS[0], logit_bias={"28": -100, "30": -100})
    return {
        "answers": answers,
        "labels": labels,
        "penalized": penalized,
        "biased": biased,
        "echo": echo(client, max_tokens=0),
        "echo and go on": echo(client, max_tokens=8),
    }


def greedy(client: openai.OpenAI, model: str, text: str, **options: Any) -> Answer:
    """The answer of at most 40 tokens."""
    reply = client.chat.completions.create(
        model=model, messages=[_user(text)], temperature=0, max_tokens=40, logprobs=True, top_logprobs=2, **options
    )
    choice = reply.choices[0]
    items = choice.logprobs.content
    places = tuple({top.token: top.logprob for top in (*item.top_logprobs, item)} for item in items)
    return Answer(choice.message.content, tuple(item.token for item in items), places)


def label(client: openai.OpenAI, text: str) -> tuple[str, float]:
    """The label and its probability."""
    choice = client.chat.completions.create(model=LABELS, messages=[_user(text)]).choices[0]
    assert choice.message.content and choice.model_extra
    return choice.message.content, choice.model_extra["burnish"]["confidence"]


def echo(client: openai.OpenAI, *, max_tokens: int) -> Any:
    """A prompt with the probabilities of its tokens."""
    reply = client.completions.create(
        model=WIDE, prompt=TEXT_PROMPT, max_tokens=max_tokens, echo=True, logprobs=2, temperature=0
    )
    return reply.choices[0]


def compare(expected: dict[str, Any], found: dict[str, Any], findings: Findings) -> None:
    """Both engines' answers to the same questions."""
    for model in (BASE, WIDE, NARROW):
        pairs = [(expected["answers"][key], found["answers"][key]) for key in expected["answers"] if key[0] == model]
        _compare_greedy(f"greedy, 18 requests at once, {model}", pairs, TOLERANCE[model], findings)
    num_kinds = len({found["answers"][model, QUESTIONS[0]].text for model in (BASE, WIDE, NARROW)})
    findings.tell("base and both adapters answer differently", num_kinds == 3, f"{num_kinds} answers of 3")
    for kind in ("penalized", "biased"):
        _compare_greedy(kind, [(expected[kind], found[kind])], TOLERANCE[WIDE], findings)
    same = sum(ours[0] == theirs[0] for ours, theirs in zip(expected["labels"], found["labels"], strict=True))
    gap = max(
        abs(math.log(one / other)) for (_, one), (_, other) in zip(expected["labels"], found["labels"], strict=True)
    )
    told = f"{same} of {len(QUESTIONS)} equal, log-probabilities within {gap:.5f}; {found['labels'][:3]}"
    findings.tell("labels", same == len(QUESTIONS) and gap <= TOLERANCE[LABELS], told)
    for kind in ("echo", "echo and go on"):
        ours, theirs = expected[kind], found[kind]
        both = zip(ours.logprobs.token_logprobs, theirs.logprobs.token_logprobs, strict=True)
        gap = max(abs(one - other) for one, other in both)
        is_same = ours.text == theirs.text and ours.logprobs.tokens == theirs.logprobs.tokens
        told = f"{len(ours.logprobs.tokens)} tokens, log-probabilities within {gap:.5f}"
        findings.tell(kind, is_same and gap <= TOLERANCE[WIDE], told)


def _compare_greedy(what: str, pairs: Sequence[tuple[Answer, Answer]], tolerance: float, findings: Findings) -> None:
    num_same, gaps, ties = 0, [0.0], [0.0]
    for ours, theirs in pairs:
        num_same += ours.text == theirs.text
        for i, (one, other) in enumerate(zip(ours.tokens, theirs.tokens, strict=False)):
            if one != other:
                ties.append(abs(ours.places[i][one] - ours.places[i].get(other, -math.inf)))
                break
            gaps.append(abs(ours.places[i][one] - theirs.places[i][one]))
    told = f"{num_same} of {len(pairs)} equal to the letter, others part at {max(ties):.4f} nats"
    findings.tell(
        what, max(ties) <= tolerance and max(gaps) <= tolerance, f"{told}; log-probabilities within {max(gaps):.5f}"
    )


def check_alone(server: LiveServer, findings: Findings) -> None:
    """What can be judged without another engine's answer."""
    client = _client(server)
    valid = 0
    for seed in range(10):
        text = _text(client, model=BASE, seed=seed, temperature=1.0, max_tokens=160, response_format=_form(SCHEMA))
        jsonschema.validate(json.loads(text), SCHEMA)
        valid += 1
    findings.tell("JSON by a schema at temperature 1", valid == 10, f"{valid} of 10 valid; the last: {text}")

    whole = greedy(client, NARROW, QUESTIONS[1]).text
    options: dict[str, Any] = {"model": NARROW, "messages": [_user(QUESTIONS[1])], "temperature": 0, "max_tokens": 40}
    chunks = list(client.chat.completions.create(**options, stream=True, stream_options={"include_usage": True}))
    parts = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    usage = chunks[-1].usage
    told = f"{len(parts)} pieces, {usage.completion_tokens} tokens"
    findings.tell("stream", "".join(parts) == whole and len(parts) > 10, told)

    long: list[Any] = [{"role": "system", "content": "Be kind. " * 100}, _user("Hello")]
    usages: list[Any] = [
        client.chat.completions.create(model=WIDE, messages=long, max_tokens=4, temperature=0).usage for _ in range(2)
    ]
    cached = [usage.prompt_tokens_details.cached_tokens for usage in usages]
    told = f"{cached[1]} of {usages[1].prompt_tokens} tokens of a prompt that was asked before"
    findings.tell("known beginnings", cached[0] == 0 and cached[1] > 100, told)

    word = whole.split()[len(whole.split()) // 2]
    reply = client.chat.completions.create(**options, stop=[word]).choices[0]
    is_cut = whole.startswith(reply.message.content) and word not in reply.message.content
    findings.tell("stop text", is_cut and reply.finish_reason == "stop", f"{word!r}: {reply.message.content!r}")

    drawn = [_text(client, model=BASE, temperature=1.0, seed=seed, max_tokens=24, top_p=0.9) for seed in (7, 7, 8)]
    findings.tell("seed", drawn[0] == drawn[1] != drawn[2], f"{drawn[0]!r} twice, then {drawn[2]!r}")
    free = {_text(client, model=BASE, temperature=1.0, max_tokens=24) for _ in range(3)}
    findings.tell("no seed", len(free) == 3, f"{len(free)} different answers of 3")
    cold = [_text(client, model=BASE, temperature=1.0, max_tokens=24, top_p=0.0) for _ in range(2)]
    findings.tell("top_p 0", cold[0] == cold[1], f"{cold[0]!r} twice")
    reply = client.chat.completions.create(model=BASE, messages=[_user("Hello")], n=3, temperature=1.0, max_tokens=16)
    findings.tell("n = 3", len({choice.message.content for choice in reply.choices}) == 3, "three answers")


def check_life(server: LiveServer, findings: Findings) -> None:
    """Those who leave early, a full line, a dead engine, and the end."""
    client = _client(server)
    before = _metric(server, "burnish_generated_tokens_total")
    ban = {"2": -100}  # the end of the turn, so that it would go on
    options: dict[str, Any] = {"model": BASE, "messages": [_user("Tell a long story.")], "max_tokens": 2000}
    with client.chat.completions.create(**options, logit_bias=ban, stream=True) as stream:
        for _ in zip(range(3), stream, strict=False):
            pass
    is_idle = _until(lambda: _metric(server, "burnish_engine_running") == 0, 5)
    written = _metric(server, "burnish_generated_tokens_total") - before
    findings.tell("left early", is_idle and written < 500, f"{written:.0f} of 2000 tokens were written")

    def ask(_: int) -> str:
        try:
            client.chat.completions.create(model=BASE, messages=[_user("Hello")], max_tokens=24, logit_bias=ban)
            return "answered"
        except openai.RateLimitError as error:
            return "sent away" if error.response.headers.get("retry-after") else "429 without retry-after"

    with ThreadPoolExecutor(32) as pool:
        results = list(pool.map(ask, range(32)))
    counts = {result: results.count(result) for result in sorted(set(results))}
    is_bounded = counts.keys() == {"answered", "sent away"} and counts["answered"] >= 16
    findings.tell("32 at once, room for 8 and 8", is_bounded, str(counts))

    for process in _engine_processes(server):
        process.kill()
    reply = None
    for _ in range(3):
        try:
            reply = greedy(client, WIDE, QUESTIONS[0]).text
            break
        except openai.InternalServerError:
            time.sleep(1)
    findings.tell("vLLM's process is killed", reply is not None, f"started again, and answers {reply!r}")

    last = {**options, "model": WIDE, "max_tokens": 60}  # whose base has been started again
    with client.chat.completions.create(**last, logit_bias=ban, stream=True) as stream:
        chunks = iter(stream)
        next(chunks)
        processes = _engine_processes(server)
        for process in (psutil.Process(server.pid), *processes):  # as Ctrl-C does in a terminal
            process.send_signal(signal.SIGINT)
        finish = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1]
    code = server.wait(60)
    _, left = psutil.wait_procs(processes, timeout=10)
    told = f'the answer under way ends with "{finish}", exit code {code}, {len(left)} processes left'
    findings.tell("Ctrl-C", finish == "length" and code == 0 and not left, told)


def _client(server: LiveServer) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.base_url, api_key="none", max_retries=0, timeout=600)


def _user(text: str) -> Any:
    return {"role": "user", "content": text}


def _form(schema: Any) -> Any:
    return {"type": "json_schema", "json_schema": {"name": "city", "schema": schema}}


def _text(client: openai.OpenAI, **options: Any) -> str:
    messages = [_user("Tell me about a city on a river.")]
    return str(client.chat.completions.create(messages=messages, **options).choices[0].message.content)


def _metric(server: LiveServer, name: str) -> float:
    page = openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}", api_key="none").get("/metrics", cast_to=str)
    return sum(float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(name + "{"))


def _until(is_done: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not is_done():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def _engine_processes(server: LiveServer) -> list[psutil.Process]:
    children = psutil.Process(server.pid).children(recursive=True)
    return [child for child in children if "resource_tracker" not in " ".join(child.cmdline())]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", type=float, default=0.2, help="share of the memory for each copy of the base")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
