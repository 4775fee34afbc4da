"""The choice of the examples, and answers compared with their target."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from burnish.files import read_json, read_jsonl, write_jsonl
from burnish.report.answers import build_answer
from burnish.report.arms import best_other
from burnish.report.examples import Kind, choose_examples, count_kinds
from burnish.report.record import RunRecord, read_record
from burnish.run_dir import RunDir

from .sample_run import build_sample_run

SPECIALIST = [(0, "Specialist")]
TARGET = json.dumps({"category": "repair", "order_id": None, "wants_refund": True})


def record_of(tmp_path: Path, before: Sequence[float], after: Sequence[float]) -> RunRecord:
    """A record in which the best prompt and the specialist have the given scores."""
    run = build_sample_run(tmp_path, num_rows=len(before))
    best = best_other(read_json(run.evaluation))
    assert best is not None
    _set_scores(run, best["name"], before)
    _set_scores(run, "specialist", after)
    return read_record(run)


def _set_scores(run: RunDir, arm: str, scores: Sequence[float]) -> None:
    rows = read_jsonl(run.predictions(arm))
    write_jsonl(run.predictions(arm), [{**row, "score": s} for row, s in zip(rows, scores, strict=True)])


def test_ten_rows_are_a_mix_of_the_four_kinds(tmp_path: Path) -> None:
    record = record_of(tmp_path, [0] * 10 + [1] * 10 + [0] * 10 + [1] * 10, [1] * 10 + [0] * 20 + [1] * 10)
    kinds = [card.kind for card in choose_examples(record)]
    assert [kinds.count(kind) for kind in Kind] == [4, 2, 2, 2]
    assert kinds[:4] == list(Kind)
    assert [count.count for count in count_kinds(record)] == ["10", "10", "10", "10"]


def test_a_kind_without_rows_leaves_its_places_to_the_others(tmp_path: Path) -> None:
    cards = choose_examples(record_of(tmp_path, [0] * 20, [1] * 19 + [0]))
    kinds = [card.kind for card in cards]
    assert len({card.id for card in cards}) == 10
    assert [kinds.count(kind) for kind in Kind] == [9, 0, 1, 0]


def test_few_rows_are_all_shown(tmp_path: Path) -> None:
    assert len(choose_examples(record_of(tmp_path, [0, 1, 0], [1, 1, 0]))) == 3


def test_the_choice_does_not_depend_on_the_order_of_the_rows(tmp_path: Path) -> None:
    run = build_sample_run(tmp_path)
    before = choose_examples(read_record(run))
    for arm in ("zero_shot", "few_shot", "specialist"):
        write_jsonl(run.predictions(arm), reversed(read_jsonl(run.predictions(arm))))
    assert choose_examples(read_record(run)) == before


@pytest.mark.parametrize(
    ("before", "after", "label"),
    [
        (0, 1, "fixed"),
        (0.2, 0.8, "improved"),
        (1, 0.5, "broken"),
        (0.5, 0.2, "worse"),
        (0, 0, "both wrong"),
        (0.5, 0.5, "equal, partly right"),
        (1, 1, "both right"),
    ],
)
def test_a_row_is_labelled_by_both_scores(tmp_path: Path, before: float, after: float, label: str) -> None:
    assert choose_examples(record_of(tmp_path, [before], [after]))[0].label == label


def test_each_card_has_every_arm_and_the_target_last(tmp_path: Path) -> None:
    card = choose_examples(read_record(build_sample_run(tmp_path)))[0]
    titles = [title for answer in card.answers for _, title in answer.arms]
    assert sorted(titles) == ["Few-shot prompt", "Specialist", "Zero-shot prompt"]
    assert card.answers[-1].arms == () and all(answer.arms for answer in card.answers[:-1])
    assert card.question in [content for _, content in card.prompt]


def test_arms_with_the_same_answer_share_it(tmp_path: Path) -> None:
    run = build_sample_run(tmp_path, num_rows=1)
    same = read_jsonl(run.predictions("specialist"))
    write_jsonl(run.predictions("zero_shot"), same)
    write_jsonl(run.predictions("few_shot"), [{**same[0], "prediction": "{}", "score": 0.0}])
    (card,) = choose_examples(read_record(run))
    assert [[title for _, title in answer.arms] for answer in card.answers] == [
        ["Zero-shot prompt", "Specialist"],
        ["Few-shot prompt"],
        [],
    ]


@pytest.mark.parametrize(
    ("prediction", "differing"),
    [
        (TARGET, []),
        ('```json\n{"wants_refund": true, "order_id": null, "category": "repair"}\n```', []),
        ('{"category": "parts", "order_id": null, "wants_refund": true}', ["category"]),
        ('{"category": "repair", "order_id": null, "wants_refund": 1}', ["wants_refund"]),
        ('{"category": "repair", "wants_refund": true, "mood": "calm"}', ["order_id", "mood"]),
        ("repair, no order", [""]),
        ('{"category": ', [""]),
        ("[1, 2]", [""]),
    ],
)
def test_fields_that_differ_from_the_target_are_marked(prediction: str, differing: list[str]) -> None:
    answer = build_answer({"prediction": prediction, "target": TARGET, "score": 0.5}, SPECIALIST)
    assert [part.name for part in answer.parts if part.is_different] == differing


@pytest.mark.parametrize(("score", "mark"), [(1.0, "right"), (0, "wrong"), (0.99, "partly"), (None, "")])
def test_the_mark_follows_the_score(score: float | None, mark: str) -> None:
    assert build_answer({"prediction": "a", "target": "a", "score": score}, SPECIALIST).mark == mark


def test_prose_is_not_highlighted_but_a_label_is() -> None:
    prose = {"prediction": "One answer. " * 8, "target": "Another answer. " * 8, "score": 0.4}
    assert not build_answer(prose, SPECIALIST).parts[0].is_different
    label = {"prediction": "billing", "target": "repair", "score": 0}
    assert build_answer(label, SPECIALIST).parts[0].is_different


def test_the_specialist_is_held_against_the_best_prompt_not_the_first(tmp_path: Path) -> None:
    record = read_record(build_sample_run(tmp_path))
    assert count_kinds(record)[0].meaning == "Specialist scores higher than Few-shot prompt"
