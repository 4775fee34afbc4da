"""Does `burnish serve` stand what clients may send? python -m scripts.fuzz_serve [COUNT] [--seed SEED]

COUNT requests that are nearly right, over every route of the server's OpenAPI document, go to a server of its own on a
tiny base. None may end in a status of 500 or more, or have no reply for 30 s; every error must have OpenAI's shape;
nothing may be written outside the runs folder; and at the end the server must answer a good request. With
`--schemathesis PROGRAM` that tool then does what it can find out from the OpenAPI document. Exit code 1 on a fault.

`--seed SEED --only INDEX` sends one of the requests again, and shows it with its reply.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from scripts.fuzz.mutations import Sending, Wire, mutate
from scripts.fuzz.requests import good_request
from scripts.fuzz.wire import LEFT, Outcome, send
from scripts.live_server import LiveServer, live_server
from tests.tiny import save_base

NUM_CLIENTS = 8
RESEED_EVERY, RESEED_ATTEMPTS = 100, 5
MAX_LENGTH = 512
NUM_SHOWN = 10
CANARY = "fuzz-canary"
TRACEBACK = "Traceback (most recent call last):"
HOOK = "/_test/reseed"
"""Puts the objects in place that requests name; not a route of the product."""
CHECKS_OFF = {
    "negative_data_rejection": "a number may come as a text, and null may stand under any name",
    "positive_data_acceptance": "a body that fits the document may still name a model that does not exist",
    "missing_required_header": "no route requires one",
}
"""Checks of schemathesis that say nothing here, and why."""


@dataclass(frozen=True)
class Result:
    """The outcome of the request with that number."""

    index: int
    route: str
    outcome: Outcome


def main() -> int:
    """Serve, fuzz, tell."""
    given = _arguments()
    sys.setrecursionlimit(10_000)  # bodies are nested deeply
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "a" / "b" / "c"  # so that a path that climbs out is still found below `name`
        folder.mkdir(parents=True)
        hook = {"BURNISH_TEST_HOOKS": "1"}
        base = save_base(folder / "tiny", max_position_embeddings=MAX_LENGTH)
        with live_server(folder, arguments=["--base", str(base), "--no-jobs"], environment=hook) as server:
            routes = routes_of(server)
            reseed(server)
            if given.only is not None:
                return show(server, given.seed, given.only, routes)
            before = files_outside(Path(name), server)
            faults = fuzz(server, given.seed, given.count, routes)
            faults += afterwards(server, Path(name), before)
            if given.schemathesis:
                faults += run_schemathesis(server, given.schemathesis, given.examples, given.seed)
        for fault, number in crashes_in(server.log.read_text(errors="replace")).most_common(2 * NUM_SHOWN):
            print(f"{number:4} x in the server's log: {fault}")
    print(f"\n{faults} faults." if faults else "\nNo fault.")
    return 1 if faults else 0


def routes_of(server: LiveServer) -> list[tuple[str, str]]:
    """Every method and path of the OpenAPI document."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/openapi.json") as reply:
        paths = json.load(reply)["paths"]
    return sorted((method.upper(), path) for path, methods in paths.items() if path != HOOK for method in methods)


def reseed(server: LiveServer) -> None:
    """Put back what requests have deleted, cancelled or completed."""
    hook = urllib.request.Request(f"http://127.0.0.1:{server.port}{HOOK}", method="POST")
    for attempt in range(RESEED_ATTEMPTS):
        try:
            with urllib.request.urlopen(hook, timeout=60):
                return
        except urllib.error.HTTPError:  # a request beside it has just removed the folder that the hook fills
            if attempt + 1 == RESEED_ATTEMPTS:
                raise


def request_of(seed: int, index: int, routes: Sequence[tuple[str, str]]) -> tuple[str, Wire]:
    """The request with that number: it depends on nothing else."""
    chance = random.Random(f"{seed}:{index}")
    # In turns through all of them; every other one goes to a route with a body, where most can go wrong.
    bodies = [each for each in routes if each[0] == "POST"]
    method, route = routes[index // 2 % len(routes)] if index % 2 else bodies[index // 2 % len(bodies)]
    return f"{method} {route}", mutate(good_request(method, route, chance), chance)


def fuzz(server: LiveServer, seed: int, count: int, routes: Sequence[tuple[str, str]]) -> int:
    """Send them all; the number of faults."""

    def one(index: int) -> Result:
        if index % RESEED_EVERY == 0:
            reseed(server)
        route, wire = request_of(seed, index, routes)
        return Result(index, route, send(wire, server.port))

    start = time.monotonic()
    with ThreadPoolExecutor(NUM_CLIENTS) as pool:
        results = list(pool.map(one, range(count)))
    slowest = max((result.outcome.elapsed_s for result in results), default=0)
    elapsed = time.monotonic() - start
    print(f"{count} requests to {len(routes)} routes, seed {seed}: {elapsed:.0f} s, the slowest {slowest:.1f} s")
    for status, number in sorted(Counter(result.outcome.status for result in results).items()):
        print(f"{number:7} {status}")
    reached = {result.route for result in results if result.outcome.status.startswith("2")}
    for method, route in routes:
        if f"{method} {route}" not in reached:
            print(f"  note: no request to {method} {route} was answered with a 2xx")
    faulty = [result for result in results if result.outcome.fault]
    for result in faulty[:NUM_SHOWN]:
        print(f"FAULT {result.route}: {result.outcome.fault}\n      again: --seed {seed} --only {result.index}")
    return len(faulty)


def afterwards(server: LiveServer, top: Path, before: dict[str, tuple[int, int]]) -> int:
    """Whether the server lives and answers, and has written nowhere else; the number of faults."""
    faults = []
    reseed(server)
    good = [("GET", "/healthz"), ("POST", "/v1/chat/completions"), ("GET", "/v1/files/{file_id}")]
    for method, route in good:
        outcome = send(_unchanged(method, route), server.port)
        if outcome.status != "200" or outcome.fault:
            faults.append(f"at the end {method} {route} gave {outcome.status}: {outcome.fault}")
    after = files_outside(top, server)
    changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    faults += [f"outside of the runs folder: {path} was written or removed" for path in changed]
    places = (Path("/"), Path("/tmp"), Path("/etc"), Path.home())
    faults += [f"outside of the runs folder: {place / CANARY}" for place in places if (place / CANARY).exists()]
    for fault in faults:
        print(f"FAULT {fault}")
    return len(faults)


def _unchanged(method: str, route: str) -> Wire:
    """A good request, as it is."""
    content = {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}
    body = json.dumps(content).encode() if method == "POST" else b""
    path = route.replace("{file_id}", "file-abc123")
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
    return Wire(f"{head}\r\n".encode(), body, Sending.WHOLE, method, True)


def files_outside(top: Path, server: LiveServer) -> dict[str, tuple[int, int]]:
    """Size and time of every file below `top` but the runs and the log."""
    found = {}
    for path in top.rglob("*"):
        if server.runs in (path, *path.parents) or path == server.log or path.is_dir():
            continue
        state = path.stat()
        found[str(path)] = (state.st_size, state.st_mtime_ns)
    return found


def run_schemathesis(server: LiveServer, program: str, examples: int, seed: int) -> int:
    """1 where it finds a fault."""
    print(f"\nschemathesis, at most {examples} examples an operation; checks that are off:")
    for check, reason in CHECKS_OFF.items():
        print(f"  {check}: {reason}")
    reseed(server)
    command = [os.path.abspath(program), "run", f"http://127.0.0.1:{server.port}/openapi.json", "--exclude-path", HOOK]
    command += ["--exclude-checks", ",".join(CHECKS_OFF), "--max-examples", str(examples), "--seed", str(seed)]
    command += ["--request-timeout", "30", "--continue-on-failure", "--warnings", "off"]
    return int(subprocess.run(command, cwd=server.runs.parent, check=False).returncode != 0)


def crashes_in(log: str) -> Counter[str]:
    """Where burnish's own code was, and what was raised, of every traceback."""
    found: Counter[str] = Counter()
    for text in log.split(TRACEBACK)[1:]:
        lines = list(takewhile(lambda line: not line.startswith(('{"time"', "req_")), text.splitlines()))
        own = [line.strip() for line in lines if "/burnish/" in line and line.strip().startswith("File")]
        raised = [line for line in lines if line and not line.startswith(" ")]
        found[f"{own[-1] if own else 'elsewhere'}: {raised[-1][:200] if raised else ''}"] += 1
    return found


def show(server: LiveServer, seed: int, index: int, routes: Sequence[tuple[str, str]]) -> int:
    """One request again."""
    route, wire = request_of(seed, index, routes)
    print(f"{route}, sent {wire.sending.value}\n{wire.head.decode('latin-1')[:3000]}{wire.body[:3000]!r}")
    outcome = send(wire, server.port)
    print(f"{outcome.status} after {outcome.elapsed_s:.1f} s; {outcome.fault or 'no fault'}")
    print(server.log.read_text(errors="replace")[-3000:])
    return 1 if outcome.fault and outcome.status != LEFT else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("count", nargs="?", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, metavar="INDEX")
    parser.add_argument("--schemathesis", metavar="PROGRAM")
    parser.add_argument("--examples", type=int, default=40, help="of schemathesis, for each operation")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
