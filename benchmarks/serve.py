"""What a live `burnish serve` does under load:
python -m benchmarks.serve throughput|prefix|mixed|schemas|load [options]

Starts a server of its own on a free port, with eight adapters on SmolLM2-135M whose second matrices are random (what
they answer does not matter here, that they differ does), and asks it as clients do, over HTTP.

throughput: tokens a second of 16 clients at once and of one alone, on the base and over eight adapters, in turns.
prefix: time to the first token behind a system prompt of some 1,000 tokens, new and known.
mixed: the tokens of eight adapters in one batch, in fp32 and greedy, against those that each gives alone.
schemas: answers by 20 JSON schemas at temperature 1; the share that is valid.
load: clients with mixed adapters, streams, disconnects and bad requests, for `--minutes`; errors and memory.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

import jsonschema
import openai
import psutil
from scripts.live_server import LiveServer, add_adapter, live_server

BASE = "smollm2-135m-instruct"
NUM_ADAPTERS = 8
TOPICS = ["a fox", "the sea", "a bank card", "the moon", "tea", "a lost parcel", "rain", "a bicycle", "bread", "a map"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["throughput", "prefix", "mixed", "schemas", "load"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--requests", type=int, default=500, help="of schemas")
    parser.add_argument("--minutes", type=float, default=30, help="of load")
    given = parser.parse_args()
    work: dict[str, Callable[[Server], Coroutine[Any, Any, None]]] = {
        "throughput": lambda server: throughput(server, given.repeats),
        "prefix": lambda server: prefix(server, given.repeats),
        "mixed": mixed,
        "schemas": lambda server: schemas(server, given.requests),
        "load": lambda server: load(server, given.minutes),
    }

    async def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with started(Path(folder), "fp32" if given.what == "mixed" else "bf16") as server:
                await work[given.what](server)

    asyncio.run(run())


class Server:
    """A live server, its models, and a client of it."""

    def __init__(self, live: LiveServer) -> None:
        self._pid = live.pid
        self.client = openai.AsyncOpenAI(base_url=live.base_url, api_key="none", max_retries=0)
        self.models = [BASE, *(name_of(i) for i in range(NUM_ADAPTERS))]

    @property
    def memory_mib(self) -> float:
        return float(psutil.Process(self._pid).memory_info().rss / 2**20)


def name_of(i: int) -> str:
    return f"ft:{BASE}:bench:number-{i}:{i:08d}"


@asynccontextmanager
async def started(folder: Path, precision: str) -> AsyncIterator[Server]:
    make_adapters(folder / "runs", precision)
    with live_server(folder) as live:
        server = Server(live)
        for model in server.models:  # loads the base and every adapter
            await server.client.chat.completions.create(model=model, messages=ask("Hello"), max_tokens=1)
        yield server


def make_adapters(runs: Path, precision: str) -> None:
    import torch

    from burnish.model.adapter import adapter_parameters, attach_adapter
    from burnish.model.base import find_base, load_model
    from burnish.model.device import choose_device

    base = find_base(BASE)
    model = attach_adapter(
        load_model(base, dtype=torch.bfloat16, device=choose_device()),
        rank=16,
        alpha=32,
        dropout=0,
        target_modules="all-linear",
        seed=0,
    )
    for i in range(NUM_ADAPTERS):
        torch.manual_seed(i)
        for name, parameter in adapter_parameters(model).items():
            if ".lora_B." in name:
                torch.nn.init.normal_(parameter, std=0.01)
        add_adapter(runs, name_of(i), model, base=base, base_id=BASE, precision=precision)


def ask(text: str, system: str = "") -> list[Any]:
    return [*([{"role": "system", "content": system}] if system else []), {"role": "user", "content": text}]


async def throughput(server: Server, repeats: int) -> None:
    """Of 48 tokens each, in turns."""
    print("| models | one client, tokens/s | 16 clients, tokens/s | ratio |\n|---|---|---|---|")
    for title, models in (("the base", [BASE]), ("eight adapters", server.models[1:])):
        rates: dict[int, list[float]] = {1: [], 16: []}
        for repeat in range(repeats):
            for clients in (1, 16):
                rates[clients].append(await rate(server, models, clients, f"{title} {repeat}"))
        ratios = [many / one for one, many in zip(rates[1], rates[16], strict=True)]
        print(f"| {title} | {spread(rates[1], 1)} | {spread(rates[16], 1)} | {spread(ratios, 2)} |")


async def rate(server: Server, models: list[str], clients: int, salt: str) -> float:
    """New tokens a second, all clients together."""
    chance = random.Random(salt)

    async def one(number: int) -> int:
        total = 0
        for i in range(2 if clients > 1 else 8):
            reply = await server.client.chat.completions.create(
                model=models[(number + i) % len(models)],
                messages=ask(f"{salt} {number} {i}: write a long story about {chance.choice(TOPICS)}."),
                max_tokens=48,
                temperature=0.7,
                seed=number,
            )
            total += reply.usage.completion_tokens if reply.usage else 0
        return total

    start = time.perf_counter()
    totals = await asyncio.gather(*map(one, range(clients)))
    return sum(totals) / (time.perf_counter() - start)


async def prefix(server: Server, repeats: int) -> None:
    """The same system prompt again is a known beginning."""
    cold, warm, length = [], [], 0
    for repeat in range(repeats):
        system = f"Number {repeat} of the house rules. " + "The quick brown fox jumps over the lazy dog again. " * 90
        for times, question in ((cold, "Hi."), (warm, "Who are you?")):
            start = time.perf_counter()
            stream = await server.client.chat.completions.create(
                model=BASE,
                messages=ask(question, system),
                max_tokens=4,
                stream=True,
                stream_options={"include_usage": True},
            )
            first = None
            async for chunk in stream:
                if chunk.choices and chunk.choices[0].delta.content and first is None:
                    first = time.perf_counter() - start
                length = chunk.usage.prompt_tokens if chunk.usage else length
            times.append(first or float("nan"))
    ratios = [slow / fast for slow, fast in zip(cold, warm, strict=True)]
    print(f"Prompt of {length} tokens; time to the first token, s: new {spread(cold, 3)}, known {spread(warm, 3)};")
    print(f"ratio {spread(ratios, 1)}.")


async def mixed(server: Server) -> None:
    """Three prompts for each of the adapters, 48 tokens each."""
    models = server.models[1:]
    asked = [(model, f"Tell me about {topic}.") for topic in TOPICS[:3] for model in models]

    async def one(model: str, question: str) -> str:
        reply = await server.client.chat.completions.create(
            model=model, messages=ask(question), max_tokens=48, temperature=0, logprobs=True
        )
        logprobs = reply.choices[0].logprobs
        return json.dumps([token.token for token in (logprobs.content if logprobs else None) or []])

    alone = [await one(*each) for each in asked]
    together = await asyncio.gather(*(one(*each) for each in asked))
    same = sum(first == second for first, second in zip(alone, together, strict=True))
    print(
        f"{len(models)} adapters, fp32, greedy: {same} of {len(asked)} answers are the same token for token;", end=" "
    )
    print(f"{len(set(alone))} of them differ from one another.")


async def schemas(server: Server, num_requests: int) -> None:
    """All of them at temperature 1; an answer that was cut is not valid."""
    counts: Counter[str] = Counter()
    limit = asyncio.Semaphore(16)

    async def one(number: int) -> None:
        schema = SCHEMAS[number % len(SCHEMAS)]
        async with limit:
            reply = await server.client.chat.completions.create(
                model=server.models[number % len(server.models)],
                messages=ask(f"Give me a record about {TOPICS[number % len(TOPICS)]}."),
                temperature=1,
                seed=number,
                max_tokens=1500,
                response_format={
                    "type": "json_schema",
                    "json_schema": {"name": "record", "schema": schema, "strict": True},
                },
            )
        choice = reply.choices[0]
        try:
            jsonschema.validate(json.loads(choice.message.content or ""), schema)
            counts["valid"] += 1
        except (ValueError, jsonschema.ValidationError):
            counts["cut" if choice.finish_reason == "length" else "not valid"] += 1
            print(number % len(SCHEMAS), choice.finish_reason, (choice.message.content or "")[:200], file=sys.stderr)

    start = time.perf_counter()
    await asyncio.gather(*map(one, range(num_requests)))
    elapsed = time.perf_counter() - start
    print(f"{num_requests} requests, {len(SCHEMAS)} schemas, temperature 1: {dict(counts)}; {elapsed:.0f} s.")


async def load(server: Server, minutes: float) -> None:
    """Sixteen clients; every fifth request is bad, every tenth stream is left early."""
    end, counts, memory = time.perf_counter() + 60 * minutes, Counter[str](), list[tuple[float, float]]()
    start = time.perf_counter()

    async def watch() -> None:
        while time.perf_counter() < end:
            memory.append((time.perf_counter() - start, server.memory_mib))
            await asyncio.sleep(5)

    async def one(number: int) -> None:
        chance = random.Random(number)
        while time.perf_counter() < end:
            kind = chance.choices(["plain", "stream", "leave", "bad"], [5, 3, 1, 2])[0]
            counts[await visit(server, kind, chance)] += 1

    await asyncio.gather(watch(), *map(one, range(16)))
    print(dict(counts))
    warm = [mib for seconds, mib in memory if seconds > min(300, 60 * minutes / 6)]
    growth = 100 * (max(warm) / warm[0] - 1)
    print(f"Memory after the warm-up: {min(warm):.0f} to {max(warm):.0f} MiB, {growth:+.1f} % at most.")


async def visit(server: Server, kind: str, chance: random.Random) -> str:
    """One request; what came of it."""
    create = server.client.chat.completions.create
    model, question = chance.choice(server.models), ask(f"{chance.random()} Tell me about {chance.choice(TOPICS)}.")
    try:
        if kind == "bad":
            await create(**chance.choice(BAD))
            return "bad request: answered"
        if kind == "plain":
            await create(
                model=model, messages=question, max_tokens=chance.randint(1, 48), temperature=chance.choice([0, 1])
            )
            return "plain: answered"
        stream = await create(model=model, messages=question, max_tokens=48, stream=True)
        async for _ in stream:
            if kind == "leave":
                await stream.close()
                return "stream: left early"
        return "stream: answered"
    except openai.APIStatusError as error:
        return f"{kind}: {error.status_code}"
    except openai.APIError as error:
        return f"{kind}: {type(error).__name__}"


BAD: list[dict[str, Any]] = [
    {"model": "no such model", "messages": ask("a")},
    {"model": BASE, "messages": []},
    {"model": BASE, "messages": [{"role": "robot", "content": "a"}]},
    {"model": BASE, "messages": ask("a"), "temperature": 17},
    {"model": BASE, "messages": ask("word " * 20_000)},
    {
        "model": BASE,
        "messages": ask("a"),
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": 3}}},
    },
]
STRING, NUMBER = {"type": "string", "maxLength": 40}, {"type": "number", "minimum": 0, "maximum": 1000}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _array(items: Any, most: int) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1, "maxItems": most}


SCHEMAS: list[dict[str, Any]] = [
    _object(name=STRING, age={"type": "integer", "minimum": 0, "maximum": 120}),
    _object(label={"enum": ["billing", "delivery", "other"]}),
    _object(title=STRING, tags=_array(STRING, 4)),
    _object(price=NUMBER, currency={"enum": ["EUR", "USD", "GBP"]}),
    _object(is_urgent={"type": "boolean"}, reason=STRING),
    _object(order_id={"anyOf": [{"type": "string", "pattern": "^[a-z]{2}[0-9]{5}$"}, {"type": "null"}]}),
    _object(person=_object(first=STRING, last=STRING), city=STRING),
    _object(items=_array(_object(name=STRING, count={"type": "integer", "minimum": 1, "maximum": 99}), 3)),
    _object(kind={"const": "note"}, text=STRING),
    _object(day={"type": "string", "format": "date"}),
    _object(when={"type": "string", "format": "date-time"}, where=STRING),
    _array(NUMBER, 5),
    _array({"enum": ["north", "south", "east", "west"]}, 6),
    {"enum": ["yes", "no", "cannot tell"]},
    {"type": "integer", "minimum": 1, "maximum": 10},
    _object(value={"anyOf": [NUMBER, STRING, {"type": "boolean"}]}),
    {**_object(root={"$ref": "#/$defs/leaf"}), "$defs": {"leaf": _object(name=STRING, weight=NUMBER)}},
    _object(matrix=_array(_array({"type": "integer", "minimum": 0, "maximum": 9}, 3), 3)),
    _object(code={"type": "string", "pattern": "^[A-Z]{3}-[0-9]{2}$"}),
    _object(a=STRING, b=NUMBER, c={"type": "boolean"}, d={"type": "null"}, e=_array(STRING, 2), f=_object(g=STRING)),
]  # fmt: skip


def spread(values: list[float], digits: int) -> str:
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


if __name__ == "__main__":
    main()
