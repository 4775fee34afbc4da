"""How much a job slows down beside one busy program on the same cores; prints a Markdown table.

python benchmarks/neighbour.py [--repetitions 3] [--steps 6] [--answers 32] [--spins 300000 1000 100]

The busy program is an endless loop of another session (`setsid nice -n 19`), to which Linux's autogroups give a whole
core whatever its niceness. Each measurement is a fresh process that trains the built-in example's first steps and
answers its first rows with the real base, after one untimed step and batch. It runs alone and beside the loop, with
each number of spins: turns of a loop in which a waiting thread of libgomp spins before it sleeps. 300,000 is libgomp's
own figure, which burnish left as it was until it chose another. The order is interleaved, and ratios are taken within a
repetition.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from itertools import islice
from typing import Any

from burnish.screen import SilentScreen
from burnish.threads import OWN_CHOICES, SPINS

LIBGOMP_SPINS = 300_000
WORK = ("steps", "answers")
BATCH, TOKENS = 16, 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--answers", type=int, default=32)
    parser.add_argument("--spins", type=int, nargs="+", default=[LIBGOMP_SPINS, SPINS])
    parser.add_argument("--work", action="store_true", help="do the work once, in this process, and print its seconds")
    given = parser.parse_args()
    if given.work:
        print(json.dumps(do_work(given.steps, given.answers)))
        return
    times = [measure(given.spins, given.steps, given.answers) for _ in range(given.repetitions)]
    print(
        "| work | spins | alone, s | beside a loop, s | slower beside it | alone, against the first |\n"
        + "|---" * 6
        + "|"
    )
    for work in WORK:
        for spins in given.spins:
            alone = [each[spins, False][work] for each in times]
            beside = [each[spins, True][work] for each in times]
            first = [each[given.spins[0], False][work] for each in times]
            columns = [spread(alone), spread(beside), spread(ratios(beside, alone)), spread(ratios(alone, first))]
            print(f"| {work} | {spins:,} | {' | '.join(columns)} |")


def measure(spins: list[int], steps: int, answers: int) -> dict[tuple[int, bool], dict[str, float]]:
    """Seconds of each kind of work, by spins and whether the loop ran beside it."""
    found = {}
    for is_beside in (False, True):
        for count in spins:
            with busy_loop(is_beside):
                found[count, is_beside] = run_work(count, steps, answers)
            print(
                f"spins {count}, {'beside the loop' if is_beside else 'alone'}: {found[count, is_beside]}",
                file=sys.stderr,
            )
    return found


def run_work(spins: int, steps: int, answers: int) -> dict[str, float]:
    """The same in a fresh process."""
    environment = {name: value for name, value in os.environ.items() if name not in OWN_CHOICES}
    environment["GOMP_SPINCOUNT"] = str(spins)
    command = [sys.executable, __file__, "--work", "--steps", str(steps), "--answers", str(answers)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


@contextmanager
def busy_loop(is_wanted: bool) -> Iterator[None]:
    """In the block another session keeps a core busy."""
    if not is_wanted:
        yield
        return
    command = ["nice", "-n", "19", sys.executable, "-c", "while True: pass"]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def do_work(num_steps: int, num_answers: int) -> dict[str, float]:
    """Seconds of optimizer steps and of answers, each behind a first one that is not timed."""
    from burnish.model.device import choose_device
    from burnish.preparation import attach, load_weights, prepare
    from burnish.recipe import load_recipe
    from burnish.train.loop import start_training, train
    from burnish.training import train_options

    with as_file(files("burnish.examples") / "support_tickets") as folder:
        prepared = prepare(load_recipe(folder / "demo.toml"), SilentScreen())
    model = attach(load_weights(prepared, choose_device()), prepared.recipe)
    options = train_options(prepared)
    steps = islice(train(start_training(model, options), prepared.rendered["train"], options), 1 + num_steps)
    next(steps)
    steps_s = timed(lambda: list(steps))
    answer(model, prepared, 0, BATCH)
    return {"steps": steps_s, "answers": timed(lambda: answer(model, prepared, BATCH, num_answers))}


def answer(model: Any, prepared: Any, begin: int, count: int) -> None:
    """Zero-shot answers to that many training rows."""
    from burnish.generate.answer import answer_prompts

    prompts = [example.prompt for example in prepared.split.train[begin : begin + count]]
    answer_prompts(model, prepared.renderer, prompts, labels=(), max_new_tokens=TOKENS, batch_size=BATCH)


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def ratios(above: list[float], below: list[float]) -> list[float]:
    return [one / other for one, other in zip(above, below, strict=True)]


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} – {max(values):.2f})"


if __name__ == "__main__":
    main()
