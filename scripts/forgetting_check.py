"""Does the reported interval hold the forgetting on kinds of text that no part of burnish has seen?

    python -m scripts.forgetting_check DATA_FOLDER WORK_FOLDER [--runs 10] [--rows 200] [--only TASK] [--set KEY=VALUE]

Trains specialists as `burnish run` does (three tasks, other seeds and rows each time), then measures each with plain
transformers and peft on texts from other domains of DATA_FOLDER: none of them is a task here, and none is bundled.
`--texts KIND=FILE:KEY` (repeatable) measures on your own JSON Lines instead. WORK_FOLDER keeps the runs and a line of
results for each; a run that is there is not made again. Exit code 1 if fewer than nine tenths lie inside.
"""

import argparse
import json
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any
from unittest import mock

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from burnish.pipeline import run
from burnish.recipe import load_recipe

HELD_OUT = (
    ("terms of service", "legal-unfair-tos/rows.jsonl", "text"),
    ("terms, lower case", "legal-plain-english/rows.jsonl", "prompt"),
    ("health answers", "medquad/test.jsonl", "answer"),
    ("research abstracts", "medical-pubmedqa/rows.jsonl", "context"),
    ("clinic dialogue", "medical-mts-dialog/train.jsonl", "dialogue"),
    ("school maths", "gsm8k/test.jsonl", "prompt"),
    ("worked solutions", "gsm8k/test.jsonl", "completion"),
    ("JavaScript", "code-eslint-examples/rows.jsonl", "code"),
    ("linter reasons", "code-ruff-rules/rows.jsonl", "why"),
    ("style guide", "brand-ms-style-guide/documents.jsonl", "text"),
    ("review sentences", "sentiment-amazon-reviews/rows.jsonl", "text"),
    ("lines of verse", "sentiment-poem/rows.jsonl", "text"),
    ("receipts", "images-receipts-sroie/rows.jsonl", "text"),
    ("diffs", "style-eslint-commits/rows.jsonl", "diff"),
)
NUM_TEXTS, MAX_TOKENS, MIN_CHARACTERS = 12, 96, 40
"""Of a kind: texts, tokens of each from its beginning, and characters of the shortest."""
BATCH_SIZE = 10
IGNORE_INDEX = -100
NUM_TEST_ROWS = 10
QUICK = ("evaluate.arms=[]", "retention.num_prompts=8")
"""What is neither trained nor asked here is left out."""
TASKS = ("bank_chat", "restaurant8k", "support_tickets")
ROOT = Path(__file__).parent.parent
SHARE_INSIDE = 0.9

Texts = dict[str, list[str]]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--only", choices=TASKS)
    parser.add_argument("--set", nargs="*", default=[], help="further settings of the recipe")
    parser.add_argument("--texts", action="append", default=[], metavar="KIND=FILE:KEY")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    texts = read_held_out(given.data, given.texts)
    tasks, results = (given.only,) if given.only else TASKS, given.work / "results.jsonl"
    done = {(row["task"], row["seed"], row["rows"]): row for row in read_jsonl(results)}
    rows = list[dict[str, Any]]()
    for n in range(given.runs):
        key = tasks[n % len(tasks)], n // len(tasks), given.rows
        if key not in done:
            folder = train(given, *key)
            row = {"task": key[0], "seed": key[1], "rows": key[2], **reported(folder), "kinds": measure(folder, texts)}
            done[key] = row
            with results.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(row) + "\n")
        rows.append(done[key])
        print(describe(done[key]), flush=True)
    num_inside = sum(is_inside(row) for row in rows)
    print(f"\n{num_inside} of {len(rows)} runs: the kinds that had no part lie inside the reported interval.")
    return int(num_inside < SHARE_INSIDE * len(rows))


def read_held_out(data: Path, own: list[str]) -> Texts:
    """The same texts each time: some of each kind, from all over its file."""
    if own:
        sources = [(kind, *place.rsplit(":", 1)) for kind, place in (each.split("=", 1) for each in own)]
    else:
        sources = [(kind, str(data / name), key) for kind, name, key in HELD_OUT]
    found = Texts()
    for kind, file, key in sources:
        texts = [str(row[key]).strip() for row in read_jsonl(Path(file)) if row.get(key)]
        long_enough = sorted({text for text in texts if len(text) >= MIN_CHARACTERS})
        if not long_enough:
            sys.exit(f'{file}: no text of {MIN_CHARACTERS} characters under "{key}". Name another file or key.')
        random.Random(0).shuffle(long_enough)
        found[kind] = long_enough[:NUM_TEXTS]
    return found


def train(given: argparse.Namespace, task: str, seed: int, num_rows: int) -> Path:
    """A whole `burnish run` without baselines, on other rows for each seed; its folder."""
    folder: Path = given.work / "runs" / f"{task}-{num_rows}-{seed}"
    finished = sorted(folder.glob("*/evaluation.json"))
    if not finished:
        folder.mkdir(parents=True, exist_ok=True)
        train_file, test_file = (folder / f"{part}.jsonl" for part in ("train", "test"))
        rows, test = task_rows(given.data, task)
        random.Random(seed).shuffle(rows)
        write_jsonl(train_file, rows[:num_rows])
        write_jsonl(test_file, test)
        files = [f"data.train={train_file.resolve()}", f"data.test={test_file.resolve()}"]
        options = [
            *files,
            f"data.max_test_rows={NUM_TEST_ROWS}",
            f"train.seed={seed}",
            f"output.folder={folder.resolve()}",
        ]
        with mock.patch("burnish.forgetting.measure_behaviour", return_value={}):  # minutes; no part of the question
            run(load_recipe(recipe_of(task), [*options, *QUICK, *given.set]))
        finished = sorted(folder.glob("*/evaluation.json"))
    return finished[-1].parent


def task_rows(data: Path, task: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows to train on, and others to test on."""
    if task == "support_tickets":
        rows = read_jsonl(ROOT / "src/burnish/examples/support_tickets/tickets.jsonl")
        return rows[:450], rows[450:]
    train_rows, test = (read_jsonl(data / task / f"{part}.jsonl") for part in ("train", "test"))
    return train_rows, test


def recipe_of(task: str) -> Path:
    folder = ROOT / "src/burnish/examples" if task == "support_tickets" else ROOT / "recipes"
    return folder / task / "recipe.toml"


def reported(folder: Path) -> dict[str, Any]:
    """What the run says of general text."""
    told = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))["retention"]
    rise = told["general_text_new_kinds"]
    return {"reported": [rise["value"], rise["low"], rise["high"]], "scale": told["scale"], "kept": told["task_kept"]}


def measure(folder: Path, texts: Texts) -> dict[str, float]:
    """Rise of the loss by kind, nats per token, without anything of burnish."""
    card = json.loads((folder / "adapter/burnish.json").read_text(encoding="utf-8"))
    cache = Path(os.environ.get("BURNISH_CACHE") or Path.home() / ".cache/burnish")
    base = str(next(cache.glob(f"bases/{card['base_model']}-*/"), card["base_model"]))
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), str(folder / "adapter")
    ).eval()
    found = dict[str, float]()
    for kind, of_kind in texts.items():
        ids = sorted((tokenizer(text, add_special_tokens=False).input_ids[:MAX_TOKENS] for text in of_kind), key=len)
        tuned = base_loss = 0.0
        for start in range(0, len(ids), BATCH_SIZE):
            batch = ids[start : start + BATCH_SIZE]
            tuned += summed_loss(model, batch)
            with model.disable_adapter():
                base_loss += summed_loss(model, batch)
        found[kind] = (tuned - base_loss) / sum(len(each) - 1 for each in ids)
    return found


@torch.no_grad()
def summed_loss(model: PeftModel, ids: list[list[int]]) -> float:
    """Over all tokens of the texts but the first of each, nats; one batch, padded at the end."""
    longest = max(map(len, ids))
    padded, mask, targets = (
        torch.tensor([[*each, *[filler] * (longest - len(each))] for each in rows])
        for rows, filler in ((ids, 0), ([[1] * len(each) for each in ids], 0), (ids, IGNORE_INDEX))
    )
    logits = model(padded, attention_mask=mask).logits[:, :-1].flatten(0, 1)
    return float(torch.nn.functional.cross_entropy(logits, targets[:, 1:].flatten(), reduction="sum"))


def describe(row: dict[str, Any]) -> str:
    value, low, high = row["reported"]
    held_out, kinds = fmean(row["kinds"].values()), row["kinds"]
    inside = "inside" if is_inside(row) else "OUTSIDE"
    singly = sum(low <= rise <= high for rise in kinds.values())
    head = f"{row['task']} seed {row['seed']}, {row['rows']} rows, scale {row['scale']:g}"
    return "\n".join(
        [
            f"{head}: reported {value:+.4f} ({low:+.4f} to {high:+.4f}); other kinds {held_out:+.4f}, {inside}; "
            f"{singly} of {len(kinds)} kinds singly inside",
            "    " + ", ".join(f"{kind} {rise:+.4f}" for kind, rise in kinds.items()),
        ]
    )


def is_inside(row: dict[str, Any]) -> bool:
    """Whether the mean over the kinds that had no part lies in the reported interval."""
    _, low, high = row["reported"]
    return bool(low <= fmean(row["kinds"].values()) <= high)


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    return list(_lines(path)) if path.is_file() else []


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line:
            yield json.loads(line)


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
