"""burnish against TRL on the same job, interleaved, in fresh processes; writes docs/benchmarks.md.

    python benchmarks/bench.py DATA_FOLDER --peer-python PEER_VENV/bin/python [--workloads W1 W2] [--repetitions 3]

A row counts only if its adapter's held-out loss is within 0.01 nats per token of the first burnish run's.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from job import SWITCHES, WORKLOADS

HERE = Path(__file__).parent
QUALITY_GATE = 0.01
SYSTEMS = {
    "trl-default": ("run_trl.py", ["default"]),
    "trl-tuned": ("run_trl.py", ["tuned"]),
    "burnish": ("run_burnish.py", []),
    **{f"burnish-{name}": ("run_burnish.py", [f"{name}=off"]) for name in SWITCHES},
}
TITLES = {
    "trl-default": "TRL, its defaults",
    "trl-tuned": "TRL, tuned",
    "burnish": "burnish",
    **{f"burnish-{name}": f"burnish, train.{name} = false" for name in SWITCHES},
}


@dataclass(frozen=True)
class Result:
    """One system, one repetition; times in seconds from exec."""

    system: str
    to_adapter: float
    to_first_step: float
    steps: float
    """From the end of the first step to the end of the last."""
    executed_tokens: int
    peak_rss_gb: float
    nll: float
    precision: str
    gradient_checkpointing: bool


def run_once(system: str, job: Path, pythons: dict[str, str], limit: float) -> Result | None:
    """Train in a fresh process; None if it did not end within `limit` seconds."""
    script, words = SYSTEMS[system]
    output = Path(tempfile.mkdtemp(prefix="bench-"))
    command = [pythons[script], str(HERE / script), str(job), str(output), *words]
    with (output / "log").open("w") as log:
        start = time.time()
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        while (waited := os.wait4(process.pid, os.WNOHANG))[0] == 0:
            if time.time() - start > limit:
                process.kill()
                os.wait4(process.pid, 0)
                return None
            time.sleep(0.05)
    _, status, usage = waited
    if status != 0:
        sys.exit(f"{system} failed:\n" + (output / "log").read_text()[-3000:])
    facts = json.loads((output / "facts.json").read_text())
    scored = subprocess.run(
        [sys.executable, str(HERE / "score.py"), str(job), str(output / "adapter")],
        capture_output=True,
        text=True,
        check=True,
    )
    shutil.rmtree(output)
    return Result(
        system,
        to_adapter=facts["saved_at"] - start,
        to_first_step=facts["step_ends"][0] - start,
        steps=facts["step_ends"][-1] - facts["step_ends"][0],
        executed_tokens=facts["executed_tokens"],
        peak_rss_gb=usage.ru_maxrss / 1e6,
        nll=json.loads(scored.stdout)["nll"],
        precision=facts.get("precision", "fp32"),
        gradient_checkpointing=facts.get("gradient_checkpointing", False),
    )


def spread(values: list[float], digits: int = 1) -> str:
    """Median, and lowest to highest."""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} – {max(values):.{digits}f})"


def table(results: list[Result], systems: list[str], limit: float) -> list[str]:
    """A Markdown table of one workload."""
    own = {r: [x for x in results if x.system == r] for r in systems}
    reference = own["burnish"][0].nll
    lines = [
        "| system | exec to adapter, s | burnish is faster by | first step, s | steps only, by | executed tokens "
        "| peak RSS, GB | held-out loss | counts |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for system in systems:
        rows = own[system]
        if not rows:
            lines.append(f"| {TITLES[system]} | more than {limit:.0f} | | | | | | | stopped |")
            continue

        def ratios(time_of: Callable[[Result], float], rows: list[Result] = rows) -> str:
            return spread([time_of(x) / time_of(y) for x, y in zip(rows, own["burnish"], strict=False)], 2)

        is_reference = system == "burnish"
        losses = [x.nll for x in rows]
        counts = all(abs(nll - reference) <= QUALITY_GATE for nll in losses)
        ckpt = ", checkpointing" if rows[0].gradient_checkpointing else ""
        lines.append(
            f"| {TITLES[system]} ({rows[0].precision}{ckpt}) | {spread([x.to_adapter for x in rows])} "
            f"| {'' if is_reference else ratios(lambda x: x.to_adapter)} | {spread([x.to_first_step for x in rows])} "
            f"| {'' if is_reference else ratios(lambda x: x.steps)} | {rows[0].executed_tokens:,} "
            f"| {spread([x.peak_rss_gb for x in rows])} | {spread(losses, 4)} | {'yes' if counts else 'no'} |"
        )
    return lines


def versions(python: str) -> str:
    """The packages that matter, of one environment."""
    code = (
        "import importlib.metadata as m\n"
        "print(', '.join(f'{n} {m.version(n)}' for n in ('trl', 'torch', 'transformers', 'peft') "
        "if n in {d.name for d in m.distributions()}))"
    )
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def machine() -> str:
    """The processor in words."""
    info = Path("/proc/cpuinfo")
    flags = info.read_text() if info.is_file() else ""
    kind = "AVX512-BF16" if "avx512_bf16" in flags else "AVX2" if "avx2" in flags else platform.machine()
    return f"{os.cpu_count()} CPU cores ({kind})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--peer-python", required=True)
    parser.add_argument("--workloads", nargs="+", default=list(WORKLOADS), choices=WORKLOADS)
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), choices=SYSTEMS)
    parser.add_argument("--rows", type=int, help="train on the first rows only")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--limit", type=float, default=3600.0, help="seconds after which a run is stopped")
    parser.add_argument("--output", type=Path, default=HERE.parent / "docs" / "benchmarks.md")
    given = parser.parse_args()
    for name in {WORKLOADS[workload].folder for workload in given.workloads}:
        if not (given.data / name / "train.jsonl").is_file():
            sys.exit(f"error: {given.data / name}/train.jsonl: no such file. See benchmarks/README.md for the data.")
    pythons = {"run_trl.py": given.peer_python, "run_burnish.py": sys.executable}
    shown = [
        "# The training step against TRL",
        "",
        "Written by `benchmarks/bench.py`; [benchmarks/README.md](../benchmarks/README.md) has the rules.",
        f"{machine()}; burnish: {versions(sys.executable)}; peer: {versions(given.peer_python)}.",
        f"{given.repetitions} repetitions, interleaved; median (lowest – highest).",
    ]
    for workload in given.workloads:
        job = Path(tempfile.mkdtemp(prefix="job-"))
        rows = ["--rows", str(given.rows)] if given.rows else []
        subprocess.run([sys.executable, str(HERE / "job.py"), workload, str(given.data), str(job), *rows], check=True)
        results: list[Result] = []
        stopped: set[str] = set()
        for repetition in range(given.repetitions):
            for system in given.systems:
                if system in stopped:
                    continue
                result = run_once(system, job, pythons, given.limit)
                print(f"{workload} {repetition + 1}/{given.repetitions} {system}: {result}", flush=True)
                if result is None:
                    stopped.add(system)
                else:
                    results.append(result)
        number = len(json.loads((job / "job.json").read_text())["train"])
        shown += ["", f"## {workload}: {number} examples, 16 a step, one pass", ""]
        shown += table(results, given.systems, given.limit)
        shutil.rmtree(job)
        given.output.write_text("\n".join(shown) + "\n", encoding="utf-8")
    print(f"Wrote {given.output}")


if __name__ == "__main__":
    main()
