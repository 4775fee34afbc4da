"""Does a fine-tuning job survive SIGKILL? Server, worker or both are killed at random moments; the end is the same.

    python -m scripts.kill_check [--kills 20] [--seed N] [--base FOLDER]

One job is worked on undisturbed. Others with the same rows and seed are killed ten times each: twice while the files
are validated, while the baselines answer, while it trains, while the retention budget is kept, while it is evaluated.
Each must end `succeeded` with the same adapter, checkpoints, verdict, step table and events as the undisturbed job,
and no two processes may work on it at once. Three minutes on two free cores. Exit code 1 where anything else happens.

A job fails by design when its process dies three times without getting further. Two deaths in a phase are never three,
unless a server's death is counted as the job's, or a phase that was left behind is not counted as getting further.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from scripts.live_job import TOTAL_STEPS, Job, Moment, Phase, messages, products, wait_for, works_on
from tests.tiny import save_base

KILLS_IN_PHASE = 2
STUCK_S, JOB_S = 120.0, 300.0
"""What a job may take to be worked on again, and to end."""
LONGEST_S = {"validation": 1.0, "baselines": 6.0, "retention": 0.5, "evaluation": 4.0}
"""That a kill is put off within a phase, so that it is not over before."""


class Victim(StrEnum):
    """Who gets SIGKILL. Of both the server dies first: else it might still note the worker's death."""

    SERVER = "server"
    WORKER = "worker"
    BOTH = "both"


@dataclass
class Kill:
    """A row of the table."""

    job: int
    victim: Victim
    moment: Moment
    goes_on: bool
    came_of_it: str


@dataclass
class Calm:
    """The undisturbed job."""

    began_at: dict[Phase, float] = field(default_factory=dict)
    end: dict[str, Any] = field(default_factory=dict)

    def lasts_s(self, phase: Phase) -> float:
        later = [at for other, at in self.began_at.items() if at > self.began_at[phase]]
        return min(later) - self.began_at[phase]


def main() -> int:
    arguments = parse()
    chance, kills, faults = random.Random(arguments.seed), list[Kill](), list[str]()
    with tempfile.TemporaryDirectory(prefix="kill-check-") as name:
        folder = Path(name)
        base = arguments.base.resolve() if arguments.base else save_base(folder / "base")
        calm = undisturbed(folder / "calm", base)
        told = ", ".join(f"{phase} {calm.lasts_s(phase):.2f} s" for phase in Phase if phase is not Phase.ENDED)
        print(f"Undisturbed: adapter {calm.end['adapter'][:12]}, {TOTAL_STEPS} steps; {told}.\n", flush=True)
        print(f"{'kill':>4} {'job':>4}  {'phase':11}{'step':>4}  {'killed':7} what came of it", flush=True)
        number = 0
        while len(kills) < arguments.kills:
            number += 1
            limit = arguments.kills - len(kills)
            disturbed = disturb(folder / f"job-{number}", base, number, calm, chance, len(kills), limit)
            with disturbed as (job, done):
                kills += done
                faults += [f"job {number}: {kill.came_of_it}" for kill in done if not kill.goes_on]
                found = [f"job {number}: {fault}" for fault in judge(job, calm)]
                faults += found
                print(
                    f"{'':9}  job {number} {job.status()}, {len(found) or 'no'} violations",
                    *found,
                    sep="\n",
                    flush=True,
                )
    return conclude(kills, faults)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="in all")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and of who is killed")
    parser.add_argument("--base", type=Path, help="a base model's folder; a tiny random one where none is given")
    return parser.parse_args()


def undisturbed(folder: Path, base: Path) -> Calm:
    """Let a job come to its end, and note when each phase began and what it has made."""
    calm, job = Calm(), Job(folder, base)

    def has_ended() -> bool:
        phase = job.moment().phase
        calm.began_at.setdefault(phase, time.monotonic())
        return phase is Phase.ENDED

    is_ended = wait_for(has_ended, JOB_S)
    if not is_ended or job.status() != "succeeded" or job.moment().step != TOTAL_STEPS:
        raise SystemExit(f"The undisturbed job is {job.status()}: {messages(job)[-1:]}")
    calm.end = products(job)
    job.close()
    return calm


@contextmanager
def disturb(
    folder: Path, base: Path, number: int, calm: Calm, chance: random.Random, before: int, limit: int
) -> Iterator[tuple[Job, list[Kill]]]:
    """A job that is killed in each phase, and has ended or has had the time for it."""
    job, kills = Job(folder, base), list[Kill]()
    try:
        for phase, share in plan(chance)[-limit:]:
            victim = chance.choice(list(Victim))
            wait_for(lambda: is_reached(job, phase, share), JOB_S)  # noqa: B023  (asked within the turn)
            if phase is not Phase.TRAINING:
                delay_s = share * min(calm.lasts_s(phase), LONGEST_S[phase])
                wait_for(lambda: job.moment().phase is not phase, delay_s)  # noqa: B023
            now = job.moment().phase
            if sum(kill.moment.phase is now for kill in kills) >= KILLS_IN_PHASE:
                continue  # a third death in a phase would fail the job, as it should
            kill = strike(job, number, victim, chance)
            if kill is None:
                told = f"not done: nothing works on the job, which is {job.status()}"
                print(f"{'-':>4} {number:4}  {phase:11}      {victim:7} {told}", flush=True)
                break
            kills.append(kill)
            told = f"{victim:7} {kill.came_of_it}"
            print(f"{before + len(kills):4} {number:4}  {kill.moment.phase:11}{kill.moment.step:4}  {told}", flush=True)
        wait_for(lambda: job.moment().phase is Phase.ENDED, JOB_S)
        job.server.wait_until_ready()
        yield job, kills
    finally:
        job.close()


def plan(chance: random.Random) -> list[tuple[Phase, float]]:
    """The phases in which a job is killed, and how far into each."""
    phases = [phase for phase in Phase if phase is not Phase.ENDED]
    return [(phase, share) for phase in phases for share in sorted(chance.random() for _ in range(KILLS_IN_PHASE))]


def is_reached(job: Job, phase: Phase, share: float) -> bool:
    """Whether the job is in the phase or beyond; in training, whether it has done that share of the steps."""
    order, moment = list(Phase), job.moment()
    if moment.phase is phase is Phase.TRAINING:
        return moment.step >= 1 + share * (TOTAL_STEPS - 2)
    return order.index(moment.phase) >= order.index(phase)


def strike(job: Job, number: int, victim: Victim, chance: random.Random) -> Kill | None:
    """Kill, start the server again where it is dead, and see the job go on; None where it has ended before."""
    found = list[int]()

    def is_there() -> bool:
        found[:] = [pid for pid in [job.worker()] if pid]
        return bool(found) or job.moment().phase is Phase.ENDED

    wait_for(is_there, STUCK_S)
    moment = job.moment()
    if moment.phase is Phase.ENDED or not found:
        return None
    if victim in (Victim.SERVER, Victim.BOTH):
        job.server.kill()
    if victim in (Victim.WORKER, Victim.BOTH):
        with suppress(ProcessLookupError):  # an orphan may have ended itself already
            os.kill(found[0], signal.SIGKILL)
    killed_at = time.monotonic()
    if victim is not Victim.WORKER:
        time.sleep(chance.random())  # from at once to when the orphan is surely gone
        job.server.start()

    def goes_on() -> bool:
        begun = job.watch.begun[-1:]
        return (bool(begun) and begun != found and works_on(begun[0], job.id)) or job.moment().phase is Phase.ENDED

    is_back = wait_for(goes_on, STUCK_S)
    took = time.monotonic() - killed_at
    came = f"goes on after {took:.1f} s" if is_back else f"STUCK as {job.status()} for {STUCK_S:.0f} s"
    return Kill(number, victim, moment, is_back, came)


def judge(job: Job, calm: Calm) -> Iterator[str]:
    """What is not as it must be."""
    yield from sorted(job.watch.faults)
    if job.status() != "succeeded":
        yield f"it is {job.status()}: {messages(job)[-1:]}"
        return
    found = products(job)
    for name, wanted in calm.end.items():
        if found[name] != wanted:
            yield f"{name}: {difference(found[name], wanted)}"


def difference(found: Any, wanted: Any) -> str:
    """The two, or what one list of events has and the other has not."""
    if not isinstance(found, list) or not all(isinstance(each, str) for each in [*found, *wanted]):
        return f"{str(found)[:300]} in place of {str(wanted)[:300]}"
    if sorted(found) == sorted(wanted):
        at = next(number for number, pair in enumerate(zip(found, wanted, strict=True)) if pair[0] != pair[1])
        return f"another order: {found[at]!r} stands where {wanted[at]!r} was"
    return f"too much: {surplus(found, wanted)}; missing: {surplus(wanted, found)}"


def surplus(some: list[str], others: list[str]) -> list[str]:
    return list((Counter(some) - Counter(others)).elements())


def conclude(kills: list[Kill], faults: list[str]) -> int:
    """Say how the kills were spread and what was wrong; returns the exit code."""
    print("\nphase        " + "".join(f"{victim:>8}" for victim in Victim))
    for phase in Phase:
        if phase is not Phase.ENDED:
            counts = [sum(kill.moment.phase is phase and kill.victim is victim for kill in kills) for victim in Victim]
            print(f"{phase:13}" + "".join(f"{count:8}" for count in counts))
    print(f"\n{len(kills)} kills of {len({kill.job for kill in kills})} jobs; {len(faults)} violations.")
    for fault in faults:
        print(f"VIOLATION {fault}")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
