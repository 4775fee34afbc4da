"""burnish against its peers on the same job, interleaved, in fresh processes; writes docs/benchmarks.md.

    python benchmarks/bench.py DATA_FOLDER [--workloads W1 W2] [--rows 96] [--repetitions 3] [--systems trl-tuned ...]

A system counts only if its adapters' held-out loss is within 0.01 nats per token of burnish's beside a base in fp32;
--reference burnish-bf16 takes the times of burnish from the base in bf16. Every result is a line
of --results as soon as it is there; --resume goes on after the last one, or adds other workloads, rows and systems.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from job import OPTIONS, WORKLOADS
from systems import DTYPES, HERE, REFERENCE, SYSTEMS, Result, Sizes, environment_python, run_once, sizes_of
from work import flops

QUALITY_GATE = 0.01
PACKAGES = ("trl", "llamafactory", "litgpt", "ms-swift", "torch", "transformers", "peft")


def main() -> None:
    given = _arguments()
    for name in {WORKLOADS[workload].folder for workload in given.workloads}:
        if not (given.data / name / "train.jsonl").is_file():
            sys.exit(f"error: {given.data / name}/train.jsonl: no such file. See benchmarks/README.md for the data.")
    given.results.parent.mkdir(parents=True, exist_ok=True)
    if not given.resume:
        given.results.unlink(missing_ok=True)
    for workload in given.workloads:
        with tempfile.TemporaryDirectory(prefix="job-") as name:
            command = [sys.executable, HERE / "job.py", workload, given.data, name]
            rows = ["--rows", str(given.rows)] if given.rows else []
            subprocess.run([*command, *rows], check=True)
            _measure(workload, Path(name), given)
        write_page(_read(given.results), given.output, reference=given.reference)
    print(f"Wrote {given.output}")


def write_page(results: Sequence[Result], output: Path, *, reference: str = REFERENCE) -> None:
    """All that is in the results, one section a workload and number of rows, which are not to be compared."""
    shown = _heading(results)
    for workload, size in sorted({(r.workload, r.sizes.examples) for r in results}, key=lambda job: (job[0], -job[1])):
        own = [r for r in results if (r.workload, r.sizes.examples) == (workload, size)]
        compared = reference if any(r.system == reference for r in own) else REFERENCE
        shown += ["", f"## {workload}: {size} examples, {OPTIONS.batch_size} a step, one pass", ""]
        shown += [*_conditions(own, compared), "", *_times(own, compared), "", *_work(own)]
    output.write_text("\n".join(shown) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    present = [name for name, system in SYSTEMS.items() if system.python.is_file()]
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--workloads", nargs="+", default=list(WORKLOADS), choices=WORKLOADS)
    parser.add_argument("--systems", nargs="+", default=present, choices=present, help="those that are installed")
    parser.add_argument("--rows", type=int, help="train on the first rows only")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--limit", type=float, default=3600.0, help="seconds after which a run is stopped")
    parser.add_argument("--results", type=Path, default=HERE / "bench.jsonl")
    parser.add_argument("--resume", action="store_true", help="keep what --results holds; of the same code only")
    parser.add_argument("--output", type=Path, default=HERE.parent / "docs" / "benchmarks.md")
    parser.add_argument("--reference", default=REFERENCE, choices=[REFERENCE, "burnish-bf16"])
    given = parser.parse_args()
    if missing := {REFERENCE, given.reference} - {*given.systems}:
        parser.error(f"--systems: {', '.join(missing)} must be among them; it is what the others are compared with")
    return given


def _measure(workload: str, job: Path, given: argparse.Namespace) -> None:
    """Add to the results what is missing there; a system that once did not end well is not tried again."""
    num_examples = sizes_of(job).examples
    for repetition in range(given.repetitions):
        for system in given.systems:
            run = (workload, system, num_examples)
            own = [r for r in _read(given.results) if (r.workload, r.system, r.sizes.examples) == run]
            if any(r.repetition == repetition or r.ended != "well" for r in own):
                continue
            result = run_once(workload, repetition, system, job, given.limit)
            print(result, flush=True)
            with given.results.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(asdict(result)) + "\n")


def _read(path: Path) -> list[Result]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [Result(**{**(row := json.loads(line)), "sizes": Sizes(**row["sizes"])}) for line in lines]


def _times(results: Sequence[Result], reference_system: str) -> list[str]:
    """What a user waits for."""
    lines = [
        "| system | exec to adapter, s | burnish is faster by | first step, s | steps after the first, burnish by "
        "| peak RSS, GB | held-out loss | counts |",
        "|---|---|---|---|---|---|---|---|",
    ]
    reference = {r.repetition: r for r in results if r.system == reference_system}
    wanted_loss = next(r.nll for r in results if r.system == REFERENCE)
    for system in _systems_in(results):
        own, title = _of(results, system)
        if not own:
            lines.append(f"| {title} | | | | | | | no |")
            continue

        def ratios(time_of: Callable[[Result], float], own: Sequence[Result] = own) -> str:
            return _spread([time_of(x) / time_of(reference[x.repetition]) for x in own if x.repetition in reference], 2)

        losses, is_other = [x.nll for x in own], system != reference_system
        counts = all(abs(nll - wanted_loss) <= QUALITY_GATE for nll in losses)
        whole, steps = (ratios(time) if is_other else "" for time in (lambda x: x.to_adapter, lambda x: x.steps))
        lines.append(
            f"| {title} | {_spread([x.to_adapter for x in own])} | {whole} "
            f"| {_spread([x.to_first_step for x in own])} | {steps} "
            f"| {_spread([x.peak_rss_gb for x in own])} | {_spread(losses, 4)} | {'yes' if counts else 'no'} |"
        )
    return lines


def _conditions(results: Sequence[Result], reference: str) -> list[str]:
    """Where it was measured, how often, and when."""
    day = max(result.day for result in results if result.system == reference)
    others = {SYSTEMS[r.system].title: r.day for r in results if r.day != day}
    machines = sorted({result.machine for result in results if result.machine})
    rates = [
        f"{_spread([r.product_rates[kind] / 1e9 for r in results if r.product_rates], 0)} in {kind}" for kind in DTYPES
    ]
    return [
        f"{' and '.join(machines)}, whose matrix product does {' and '.join(rates)} billion operations a second.",
        f"Repetitions: {1 + max(result.repetition for result in results)}, interleaved; median (lowest – highest). "
        f"A figure without a range is of one run. Measured on {day}."
        + "".join(f" {title}: on {other}, so that its ratios are not of one run." for title, other in others.items()),
    ]


def _work(results: Sequence[Result]) -> list[str]:
    """What the machine does meanwhile."""
    lines = [
        "| steps after the first | executed tokens | executed tokens/s | real tokens/s | learned tokens/s "
        "| share of the product rate |",
        "|---|---|---|---|---|---|",
    ]
    for system in _systems_in(results):
        own, title = _of(results, system)
        if not own:
            continue
        sizes, kind = own[0].sizes, own[0].precision.removesuffix(" autocast")
        done = flops(
            sizes.body_weights,
            sizes.head_weights,
            own[0].executed_tokens,
            own[0].head_tokens,
            recomputes=own[0].recomputes,
        )
        lines.append(
            f"| {title} | {own[0].executed_tokens:,} | {_spread([own[0].executed_tokens / x.steps for x in own], 0)} "
            f"| {_spread([sizes.real_tokens / x.steps for x in own], 0)} "
            f"| {_spread([sizes.supervised_tokens / x.steps for x in own], 0)} "
            f"| {_spread([100 * done / x.steps / x.product_rates[kind] for x in own], 0)} % |"
        )
    return lines


def _systems_in(results: Sequence[Result]) -> list[str]:
    return [name for name in SYSTEMS if any(result.system == name for result in results)]


def _of(results: Sequence[Result], system: str) -> tuple[list[Result], str]:
    """A system's results that ended well, and its name with how it computed, or how it ended."""
    own = [r for r in results if r.system == system]
    well = [r for r in own if r.ended == "well"]
    if not well:
        return [], f"{SYSTEMS[system].title} ({own[0].ended})"
    how = well[0].precision + (", checkpointing" if well[0].recomputes else "")
    return well, f"{SYSTEMS[system].title} ({how})"


def _spread(values: list[float], digits: int = 1) -> str:
    """Median, and lowest to highest."""
    if len(values) == 1:
        return f"{values[0]:,.{digits}f}"
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f} – {max(values):,.{digits}f})"


def _heading(results: Sequence[Result]) -> list[str]:
    peers = sorted({name for system in _systems_in(results) if (name := SYSTEMS[system].environment)})
    return [
        "# The training step against its peers",
        "",
        "Written by `benchmarks/bench.py`; [benchmarks/README.md](../benchmarks/README.md) has the rules.",
        "",
        f"- burnish: {_versions(Path(sys.executable))}",
        *(f"- {name}: {_versions(environment_python(name))}" for name in peers),
    ]


def _versions(python: Path) -> str:
    """The packages that matter, of one environment."""
    code = (
        f"import importlib.metadata as m; names = {{d.name.lower() for d in m.distributions()}}\n"
        f"print(', '.join(f'{{n}} {{m.version(n)}}' for n in {PACKAGES} if n in names))"
    )
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
