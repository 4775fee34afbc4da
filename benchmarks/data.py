"""What the checks of the data cost, and what they find of planted faults: benchmarks/data.py DATA_FOLDER [PART ...]

million   a file of 1,000,000 chat rows in one pass: form of the rows and exact copies
all       10,000 rows of BANKING77, every check, with the split
labels    BANKING77 with 10 % of the labels swapped: how many are among the tenth that is doubted most
"""

import argparse
import json
import random
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from burnish.conversation import Message, Role
from burnish.data import Example, check_labels, check_stream, split_examples
from burnish.examination import examine
from burnish.model.encoder import load_encoder
from burnish.recipe import build_recipe
from burnish.screen import SilentScreen

NUM_ROWS, NUM_COPIES = 1_000_000, 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all unless given")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    for part in given.parts or PARTS:
        PARTS[part](given.data)


def check_a_million(data: Path) -> None:
    """Rows of bank_chat, each made different by a number, and copies at random places."""
    rows = [json.loads(line) for line in (data / "bank_chat" / "train.jsonl").read_text().split("\n") if line]
    chance = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "million.jsonl"
        copies = set(chance.sample(range(1, NUM_ROWS), NUM_COPIES))
        with path.open("w") as file:
            line = ""
            for n in range(NUM_ROWS):
                if n not in copies:
                    line = _varied(rows[n % len(rows)], n, chance)
                file.write(line)
        start = time.perf_counter()
        report = check_stream(path)
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        size = path.stat().st_size / 1e6
    print(f"million: {report.num_rows:,} rows, {size:.0f} MB, in {seconds:.1f} s; peak memory {peak:.2f} GB; ", end="")
    print(f"{report.num_duplicates:,} copies found of {NUM_COPIES:,}, {report.num_sound:,} rows sound")


def _varied(row: dict[str, list[dict[str, str]]], n: int, chance: random.Random) -> str:
    *before, asked, answer = row["messages"]
    words = " ".join(chance.choices(asked["content"].split(), k=25))
    asked = {**asked, "content": f"{asked['content']} Case {n}: {words}"}
    return json.dumps({"messages": [*before, asked, answer]}) + "\n"


def check_everything(data: Path) -> None:
    start = time.perf_counter()
    recipe = {"task": "classification", "data": {"train": str(data / "banking77" / "train.jsonl"), "max_rows": 10_000}}
    examined = examine(build_recipe(recipe), SilentScreen())
    split = split_examples(examined.examples["train"], test_share=0.1, validation_share=0.1, stratify=True)
    seconds = time.perf_counter() - start
    print(f"all: {len(split.train) + len(split.validation) + len(split.test):,} rows in {seconds:.1f} s; ", end="")
    print(f"{len(examined.findings):,} findings")


def find_swapped_labels(data: Path) -> None:
    lines = (data / "banking77" / "train.jsonl").read_text().split("\n")
    rows = [json.loads(line) for line in lines if line][:10_000]
    examples = [
        Example(f"train:{n}", (Message(Role.USER, row["text"]), Message(Role.ASSISTANT, row["label"])))
        for n, row in enumerate(rows, start=1)
    ]
    embeddings = load_encoder().embed([example.asked for example in examples])
    labels = sorted({example.target for example in examples})
    for seed in range(3):
        chance = random.Random(seed)
        swapped = set(chance.sample(range(len(examples)), len(examples) // 10))
        planted = [
            _labelled(example, chance.choice([label for label in labels if label != example.target]))
            if n in swapped
            else example
            for n, example in enumerate(examples)
        ]
        most_doubted = [finding.row for finding in check_labels(planted, embeddings)][: len(swapped)]
        hits = len({examples[n].id for n in swapped} & set(most_doubted))
        print(
            f"labels, seed {seed}: {hits} of {len(swapped)} swapped labels among {len(most_doubted)} most doubted rows"
        )


def _labelled(example: Example, label: str) -> Example:
    return replace(example, messages=(*example.prompt, Message(Role.ASSISTANT, label)))


PARTS = {"million": check_a_million, "all": check_everything, "labels": find_swapped_labels}

if __name__ == "__main__":
    main()
