"""Do the forecasts of "will more data help?" hold? benchmarks/more_data.py DATA_FOLDER [SET ...] [--seconds S]

banking77      300 to 2,400 of its rows
labels         an eighth or a sixteenth of the rows of 15 to 30 of BANKING77's labels, as a set like CLINC
restaurant8k   300 to 2,400 of its rows; the label, a stand-in for extraction, is which of the fields are filled

Of each set 20 random subsets. What is forecast, from the subset alone: the accuracy of logistic regression on
embeddings after four times the rows. The truth: that, trained on the subset and three times as many rows more, on up
to 4,000 others of the same pool (train and test as published, copies kept together). The 90 % interval allows for the
noise of those held-out rows. The gain is compared with the difference of the two accuracies on these rows, with no such
allowance.

Every subset is a line of build/more_data.jsonl; the next call goes on after the last one.
"""

import argparse
import json
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from burnish.conversation import Message, Role
from burnish.data import Example, cluster_copies
from burnish.evaluate.more_data import forecast_gain, measure_curve, score_embeddings
from burnish.model.encoder import load_encoder

NUM_SUBSETS = 20
SIZES = (300, 600, 1200, 2400)
TIMES = 4
MAX_HELD_ROWS = 4000
RESULTS = Path("build/more_data.jsonl")
SETS = ("banking77", "labels", "restaurant8k")


class Pool(NamedTuple):
    """The rows that subsets are drawn from: embeddings, labels, and which rows are copies of one another."""

    embeddings_ND: npt.NDArray[np.float32]
    labels_N: npt.NDArray[np.int64]
    groups_N: npt.NDArray[np.int64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("sets", nargs="*", default=list(SETS))
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no subset after so many")
    given = parser.parse_args()
    deadline = time.monotonic() + given.seconds
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.touch()
    for name in given.sets:
        pool = None
        for seed in range(NUM_SUBSETS):
            if time.monotonic() < deadline and not any(row["seed"] == seed for row in results(name)):
                pool = pool or load_pool(given.data / ("restaurant8k" if name == "restaurant8k" else "banking77"))
                row = {"set": name, "seed": seed, **run_subset(name, pool, seed)}
                with RESULTS.open("a") as file:
                    file.write(json.dumps(row) + "\n")
        print_summary(name)


def results(name: str) -> list[dict]:
    rows = [json.loads(line) for line in RESULTS.read_text().split("\n") if line]
    return [row for row in rows if row["set"] == name]


def load_pool(folder: Path) -> Pool:
    lines = [line for part in ("train", "test") for line in (folder / f"{part}.jsonl").read_text().split("\n") if line]
    rows = [json.loads(line) for line in lines]
    labels = [row["label"] if "label" in row else "+".join(sorted(row["fields"])) for row in rows]
    examples = [
        Example(str(n), (Message(Role.USER, row["text"]), Message(Role.ASSISTANT, label)))
        for n, (row, label) in enumerate(zip(rows, labels, strict=True))
    ]
    embeddings_ND = load_encoder().embed([row["text"] for row in rows])
    return Pool(embeddings_ND, np.unique(labels, return_inverse=True)[1], np.array(cluster_copies(examples)))


def run_subset(name: str, pool: Pool, seed: int) -> dict[str, float]:
    chance = np.random.default_rng(seed)
    rows = np.arange(len(pool.labels_N))
    if name == "labels":
        kept = chance.permutation(pool.labels_N.max() + 1)[: chance.integers(15, 31)]
        rows = rows[np.isin(pool.labels_N, kept)]
    num_rows = len(rows) // (8, 16)[seed % 2] if name == "labels" else SIZES[seed % len(SIZES)]
    groups_N = np.unique(pool.groups_N[rows], return_inverse=True)[1]
    rows = rows[np.argsort(chance.permutation(groups_N.max() + 1)[groups_N], kind="stable")]
    mine, later = rows[:num_rows], rows[: TIMES * num_rows]
    held = rows[TIMES * num_rows :][:MAX_HELD_ROWS]
    start = time.perf_counter()
    scorer = score_embeddings(pool.embeddings_ND[mine], pool.labels_N[mine])
    curve = measure_curve(scorer, pool.labels_N[mine].tolist(), groups=pool.groups_N[mine].tolist(), seed=seed)
    forecast = forecast_gain(curve, num_rows=num_rows, num_more=(TIMES - 1) * num_rows, num_test_rows=len(held))
    elapsed_s = time.perf_counter() - start
    score = score_embeddings(pool.embeddings_ND, pool.labels_N)
    now, then = score(mine, held).value, score(later, held).value
    row = {"num_rows": num_rows, "num_labels": len(set(pool.labels_N[mine].tolist())), "elapsed_s": elapsed_s}
    row |= {"score": then, "low": forecast.score.low, "high": forecast.score.high, "value": forecast.score.value}
    row |= {"gain": then - now, "gain_low": forecast.gain.low, "gain_high": forecast.gain.high}
    print(name, seed, {key: round(value, 3) for key, value in row.items()}, flush=True)
    return row


def print_summary(name: str) -> None:
    rows = results(name)
    if not rows:
        return
    held = sum(row["low"] <= row["score"] <= row["high"] for row in rows)
    gains_held = sum(row["gain_low"] <= row["gain"] <= row["gain_high"] for row in rows)
    width, error, gain_width, seconds = np.median(
        [
            (
                row["high"] - row["low"],
                abs(row["value"] - row["score"]),
                row["gain_high"] - row["gain_low"],
                row["elapsed_s"],
            )
            for row in rows
        ],
        axis=0,
    )
    print(
        f"{name}: accuracy after {TIMES} times the rows held by {held} of {len(rows)} 90 % intervals, median width "
        f"{100 * width:.1f} points, median error {100 * error:.1f}; gain held by {gains_held}, median width "
        f"{100 * gain_width:.1f}; median {seconds:.0f} s, longest {max(row['elapsed_s'] for row in rows):.0f} s"
    )


if __name__ == "__main__":
    main()
