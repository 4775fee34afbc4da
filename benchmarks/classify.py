"""How right the classifiers that write no text are on BANKING77: benchmarks/classify.py DATA_FOLDER

Accuracy with its 95 % Wilson interval and the calibration error on all 3,080 test rows; seconds of fitting, of the
processor meanwhile, and of answering the test. Every choice is made within the rows that are learned from.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

from burnish.classify import expected_calibration_error, fit_embedding_classifier, fit_encoder_classifier
from burnish.evaluate.statistics import wilson_interval
from burnish.model.encoder import DEFAULT_ENCODER, load_encoder

FILES = {"10": "train_10_per_label.jsonl", "all": "train.jsonl"}
FITS = {"embedding": fit_embedding_classifier, "encoder": fit_encoder_classifier}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--rows", nargs="*", default=list(FILES), choices=FILES, help="rows per label")
    parser.add_argument("--arms", nargs="*", default=list(FITS), choices=FITS)
    parser.add_argument("--encoder", default=DEFAULT_ENCODER, help="catalog name, folder, or hub id")
    parser.add_argument("--budget-s", type=float, default=600.0, help="of the encoder's fit")
    given = parser.parse_args()
    columns = ["arm", "rows per label", "accuracy", "calibration error", "fit, s", "of processor, s", "test, s"]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for rows in given.rows:
        for arm in given.arms:
            measure(arm, rows, given.data / "banking77", given.encoder, given.budget_s)


def measure(arm: str, rows: str, folder: Path, encoder_name: str, budget_s: float) -> None:
    texts, labels = read(folder / FILES[rows])
    test_texts, test_labels = read(folder / "test.jsonl")
    encoder = load_encoder(encoder_name)
    start, start_of_processor = time.perf_counter(), time.process_time()
    more = {"budget_s": budget_s} if arm == "encoder" else {}
    classifier = FITS[arm](texts, labels, encoder=encoder, seed=0, **more)
    fitted, of_processor = time.perf_counter(), time.process_time() - start_of_processor
    probabilities_NL = classifier.probabilities(test_texts)
    answered = time.perf_counter()
    number = {label: n for n, label in enumerate(classifier.card.labels)}
    labels_N = np.array([number[label] for label in test_labels])
    num_right = int((probabilities_NL.argmax(axis=1) == labels_N).sum())
    interval = wilson_interval(num_right, len(test_texts))
    error = expected_calibration_error(probabilities_NL, labels_N)
    right = f"{interval.value:.1%} ({interval.low:.1%} to {interval.high:.1%}) | {error:.3f}"
    seconds = f"{fitted - start:.0f} | {of_processor:.0f} | {answered - fitted:.1f}"
    print(f"| {arm} | {rows} | {right} | {seconds} |", flush=True)
    print(classifier.card.describe(), classifier.card.scales, file=sys.stderr, flush=True)


def read(path: Path) -> tuple[list[str], list[str]]:
    found = [json.loads(line) for line in path.read_text().split("\n") if line]
    return [row["text"].strip() for row in found], [row["label"] for row in found]


if __name__ == "__main__":
    main()
