"""A small finished run folder with invented figures, for tests of the report only."""

import json
import math
import random
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

from burnish.conversation import Task
from burnish.evaluate.analysis import Evidence, analyse_arm, analyse_arms
from burnish.evaluate.more_data import Forecast, WeakSpot
from burnish.evaluate.statistics import ConfidenceInterval
from burnish.files import write_json, write_jsonl, write_text
from burnish.run_dir import RunDir
from tests.data.datasets import question

from .sample_tickets import TICKETS

Json = dict[str, Any]
RUN_ID = "20261121-030800-a1b2c3"
BASE_SHA256 = "sha256:" + "5f3c9a0e7d12b486" * 4
TEST_SHA256 = "c2b1e98a4d7760f3" * 4
ARMS = {"zero_shot": "Zero-shot prompt", "few_shot": "Few-shot prompt", "specialist": "Specialist"}
ALL_ARMS = {
    "zero_shot": "Zero-shot prompt",
    "embedding": "Embedding classifier",
    "few_shot": "Few-shot prompt",
    "retrieved": "Retrieved examples",
    "encoder": "Fine-tuned encoder",
    "previous": "Previous specialist",
    "specialist": "Specialist",
    "constrained": "Specialist, held to a schema",
}

FIELDS = ("category", "urgency", "sentiment", "product", "order_id", "wants_refund")
WRONG = {"category": "delivery/parts", "urgency": "urgent", "sentiment": "angry", "product": "appliance"}
LABELS = ("delivery", "repair", "billing", "return")
SKILL = {
    **{"zero_shot": 0.55, "few_shot": 0.72, "specialist": 0.94},
    **{"embedding": 0.6, "retrieved": 0.71, "encoder": 0.66, "previous": 0.7, "constrained": 0.93},
}
NUM_RESAMPLES = 50
REQUESTS_S = {"few_shot": 1.31, "retrieved": 1.02, "embedding": 0.021, "encoder": 0.027}


def build_sample_run(
    parent: Path, task: str = "extraction", num_rows: int = 48, arms: Collection[str] = tuple(ARMS)
) -> RunDir:
    """A finished run under `parent` of the given task, equal for equal arguments."""
    run = RunDir(parent / "runs" / RUN_ID)
    rows = {arm: _predictions(arm, task, num_rows) for arm in arms}
    for arm, predictions in rows.items():
        write_jsonl(run.predictions(arm), predictions)
    write_json(run.evaluation, _evaluation(task, num_rows, tuple(arms)))
    write_jsonl(run.metrics, _metrics())
    write_json(run.environment, _environment())
    write_json(run.data / "card.json", _card(task))
    write_text(run.recipe, RECIPE.replace("TASK", task))
    write_text(run.adapter / "adapter_model.safetensors", "not weights, but a file with a hash")
    return run


def change_json(path: Path, **changes: Any) -> None:
    """Set top-level keys of a JSON file; the value `...` takes a key away."""
    value = json.loads(path.read_text(encoding="utf-8")) | changes
    write_json(path, {key: item for key, item in value.items() if item is not ...})


def _predictions(arm: str, task: str, num_rows: int) -> list[Json]:
    rng = random.Random(f"{arm} {task}")
    return [_prediction(arm, task, i, rng) for i in range(num_rows)]


def _prediction(arm: str, task: str, i: int, rng: random.Random) -> Json:
    text, values = TICKETS[i % len(TICKETS)]
    fields = dict(zip(FIELDS, values, strict=True))
    prediction, target, num_right, num_parts = _answer(task, fields, SKILL[arm], rng)
    return {
        "id": f"tickets.jsonl:{14 + 3 * i}",
        "prompt": [
            {
                "role": "system",
                "content": "You read messages that customers sent to a shop for household appliances.",
            },
            {"role": "user", "content": text},
        ],
        "prediction": prediction,
        "target": target,
        "score": num_right / num_parts,
        "numerator": num_right,
        "denominator": num_parts,
        "has_ended": True,
        "latency_s": 0.4 + 0.1 * rng.random(),
        "prompt_tokens": 180 + len(text) // 4,
        "confidence": rng.betavariate(8 if num_right else 3, 2),
        **({"probability": rng.betavariate(8 if num_right else 5, 1)} if arm == "specialist" else {}),
    }


def _answer(task: str, fields: Json, skill: float, rng: random.Random) -> tuple[str, str, float, float]:
    """Prediction, target, numerator and denominator."""
    if task == "classification":
        is_right = rng.random() < skill
        wrong = [label for label in (*LABELS, "advise") if label != fields["category"]]
        return fields["category"] if is_right else rng.choice(wrong), fields["category"], float(is_right), 1
    if task in ("chat", "completion"):
        target = f"Thank you for your message. We will look into the {fields['product'] or 'matter'} today."
        share = round(min(1.0, max(0.0, rng.gauss(skill - 0.2, 0.12))), 4)
        return target[: int(len(target) * share)] + " <br> Kind regards", target, share, 1
    guessed = {k: v if rng.random() < skill**0.5 else WRONG.get(k) for k, v in fields.items()}
    num_right = sum(guessed[k] == v for k, v in fields.items())
    text = json.dumps(guessed, ensure_ascii=False)
    if skill < 0.6 and rng.random() < 0.1:
        return f"Sure! The category is {fields['category']}.", json.dumps(fields, ensure_ascii=False), 0, 6
    return text, json.dumps(fields, ensure_ascii=False), num_right, 6


@cache
def _evaluation(task: str, num_rows: int, arms: tuple[str, ...]) -> Json:
    rows = {arm: _predictions(arm, task, num_rows) for arm in arms}
    metric = {"extraction": ("field_f1", "field F1"), "classification": ("accuracy", "accuracy")}.get(
        task, ("chrf", "chrF")
    )
    means = {arm: sum(row["score"] for row in r) / len(r) for arm, r in rows.items()}
    evidence = _evidence(task, rows)
    prompt, gain = 100 * means["few_shot"], means["specialist"] - means["few_shot"]
    return {
        "schema_version": 1,
        "run_id": RUN_ID,
        "task": task,
        "base_model": "smollm2-135m-instruct",
        "finished_at": "2026-11-21T03:41:27+00:00",
        "metric": {
            "name": metric[0],
            "label": metric[1],
            "explanation": "The share of the fields that a careful clerk "
            "would have written down in the same way, weighed by how often each is filled in.",
            "is_share": True,
        },
        "num_test_rows": num_rows,
        "minimum_detectable_difference": 0.081,
        "arms": [
            _arm(name, task, means[name], num_rows, sum(row["score"] >= 1 for row in rows[name]))
            | analyse_arm(name, rows[name], evidence, confidence=0.95, num_resamples=NUM_RESAMPLES)
            for name in rows
        ],
        "comparisons": [_comparison(base, means, rows) for base in rows if base not in ("specialist", "constrained")],
        **analyse_arms(rows, evidence, candidate="specialist", base="zero_shot", confidence=0.95),
        "style": _style() if task in ("chat", "completion") else None,
        "more_data": _more_data() if task == "classification" else None,
        "retention": _retention(),
        "lm_eval": [
            {
                "task": "arc_easy",
                "metric": "acc",
                "num_documents": 200,
                "base": _estimate(0.55, 0.07),
                "specialist": _estimate(0.54, 0.07),
                "difference": _estimate(-0.01, 0.03),
                "p_value": 0.63,
            },
            {"task": "wikitext", "metric": None},
        ],
        "gate": {
            "threshold": 0.41,
            "test_sent_away": {"count": 2, "num": 240, "value": 0.0083, "low": 0.0023, "high": 0.0299},
            "prompts_let_through": {"count": 1, "num": 80, "value": 0.0125, "low": 0.0022, "high": 0.0675},
            "passages_let_through": {"count": 0, "num": 60, "value": 0.0, "low": 0.0, "high": 0.0602},
            "score": 0.857,
            "score_with_gate": 0.853,
        },
        "verdict": {
            "outcome": "better",
            "headline": f"The specialist is better: {100 * means['specialist']:.1f} {metric[1]} against "
            f"{prompt:.1f} for the best prompt.",
            "reasons": [
                f"Against the best prompt it gains {100 * gain:.1f} points; zero is outside the interval.",
                "The adjusted p-value is below 0.05.",
                "On general text it stays inside the retention budget.",
            ],
            "rows_needed": None,
            "recommendation": "ship",
            "recommended_arm": "specialist",
            "advice": "The way to take is fine-tuning: the specialist.",
        },
        "target": {
            "value": 0.6,
            "arm": "specialist",
            "reach": "reached",
            "score": _estimate(means["specialist"], 0.04),
            "rows_needed": None,
            "sentence": "The specialist reaches the target of 60.",
        },
        "weaker_parts": [
            _weaker("wants_refund", 0.84, 0.88, is_shown=True),
            _weaker("order_id", 0.81, 0.83, is_shown=False),
        ]
        if task == "extraction"
        else [],
        "notes": [f"Fully right: 31 of {num_rows} answers."],
        "training": {
            "num_train_rows": 840,
            "num_validation_rows": 120,
            "num_steps": 318,
            "best_step": 212,
            "stopped_early": True,
            "num_tokens": 412345,
            "elapsed_s": 792.4,
            "peak_memory_bytes": 1931000000,
            "validation": [
                {
                    "step": s,
                    "loss_per_token": round(0.36 + 1.1 * math.exp(-s / 55) + max(0, s - 212) / 1400, 4),
                }
                for s in range(0, 319, 53)
            ],
        },
        "data": {
            "train": "tickets.jsonl",
            "num_rows": 1021,
            "split": {"train": 840, "validation": 120, "test": num_rows},
            "test_sha256": TEST_SHA256,
            "num_duplicates": 13,
            "warnings": ["13 rows are near-duplicates; each group was kept on one side of the split."],
        },
    }


def _evidence(task: str, rows: dict[str, list[Json]]) -> Evidence:
    """What `analyse_arm` is told in a real run, of the invented rows."""
    rng = random.Random(3)
    asked = [row["prompt"][-1]["content"] for row in rows["specialist"]]
    base_nats = [rng.uniform(40, 90) for _ in asked] if task in ("chat", "completion") else []
    return Evidence(
        task=Task(task),
        examples=[question(text, row["target"]) for text, row in zip(asked, rows["specialist"], strict=True)],
        fields=FIELDS,
        validation={"specialist": _predictions("specialist", task, 2 * len(asked))},
        base_nats=base_nats,
        specialist_nats=[nats * rng.uniform(0.3, 1.05) for nats in base_nats],
    )


def _weaker(name: str, score: float, other: float, *, is_shown: bool) -> Json:
    p_value = 0.004 if is_shown else 0.62
    part = {"name": name, "baseline": "few_shot", "score": score, "baseline_score": other, "num_rows": 40}
    return {
        **part,
        "difference": _estimate(score - other, 0.02),
        "p_value": p_value,
        "p_value_adjusted": p_value,
        "is_shown": is_shown,
    }


def _style() -> Json:
    return {
        **{"accuracy": 0.912, "auc": 0.967, "num_targets": 500, "num_base_answers": 48, "base_pass_rate": 0.083},
        "pass_rate": {"specialist": _estimate(0.875, 0.07), "target": _estimate(0.938, 0.05)},
    }


def _more_data() -> Json:
    scores = {96: 0.61, 192: 0.70, 384: 0.766, 768: 0.811}
    gains = {240: (0.018, 0.004, 0.031), 960: (0.041, 0.012, 0.064), 2880: (0.062, 0.015, 0.098)}
    return {
        "stands_for": "logistic regression on embeddings",
        "curve": [{"num_rows": n, "score": _estimate(score, 0.03)} for n, score in scores.items()],
        "forecasts": [
            Forecast(
                num_rows=960, num_more=more, gain=_interval(*gain), score=_interval(*(0.82 + part for part in gain))
            ).to_dict()
            for more, gain in gains.items()
        ],
        "weak_spots": [
            WeakSpot(name=name, num_rows=60, num_held_rows=60, score=0.5, share_of_errors=share).to_dict()
            for name, share in {"return": 0.31, "billing": 0.22, "repair": 0.1}.items()
        ],
    }


def _interval(value: float, low: float, high: float) -> ConfidenceInterval:
    return ConfidenceInterval(value=value, low=low, high=high, confidence=0.9, method="power law, averaged")


def _request(seconds: float) -> Json:
    return {"median_s": seconds, "min_s": 0.9 * seconds, "max_s": 1.2 * seconds, "num_rows": 3}


def _arm(name: str, task: str, mean: float, num_rows: int, num_fully_right: int) -> Json:
    parts = {
        "extraction": FIELDS,
        "classification": ("delivery", "repair", "billing", "return", "advice"),
    }.get(task, ())
    details = {
        "extraction": {"json_validity": SKILL[name] ** 0.1, "exact_match": mean**3},
        "classification": {"macro_f1": mean - 0.02},
    }
    return {
        "name": name,
        "title": ALL_ARMS[name],
        "score": _estimate(mean, 0.04),
        "num_rows": num_rows,
        "prompt_tokens": {"mean": 1184.3, "max": 1460} if name == "few_shot" else {"mean": 231.7, "max": 402},
        "num_fully_right": num_fully_right,
        "latency_s": {"p50": 5.1, "p95": 7.7},
        "request": _request(REQUESTS_S.get(name, 0.447)),
        "elapsed_s": 63.0,
        "answers_per_s": num_rows / 63.0,
        "details": details.get(task, {"mean_answer_tokens": 38.25}),
        "breakdown": [
            {
                "name": p,
                "score": max(0.0, min(1.0, mean + 0.03 * ((7 * i) % 5 - 2))),
                "num_rows": num_rows - 2 * i,
            }
            for i, p in enumerate(parts)
        ],
    }


def _comparison(baseline: str, means: dict[str, float], rows: dict[str, list[Json]]) -> Json:
    pairs = list(zip(rows["specialist"], rows[baseline], strict=True))
    return {
        "candidate": "specialist",
        "baseline": baseline,
        "difference": _estimate(means["specialist"] - means[baseline], 0.05),
        "p_value": 0.00007 if baseline == "zero_shot" else 0.0031,
        "p_value_adjusted": 0.00014 if baseline == "zero_shot" else 0.0031,
        "method": "paired bootstrap, Holm over the family",
        "num_wins": sum(a["score"] > b["score"] for a, b in pairs),
        "num_losses": sum(a["score"] < b["score"] for a, b in pairs),
        "num_ties": sum(a["score"] == b["score"] for a, b in pairs),
    }


def _retention() -> Json:
    return {
        "num_prompts": 64,
        "num_tokens": 9421,
        "kl": _estimate(0.0134, 0.0021),
        "nll_change": _estimate(0.0087, 0.0043),
        "top1_agreement": _estimate(0.9614, 0.006),
        "general_text_nll_change": _estimate(0.0112, 0.0031),
        "general_text_nll_change_by_kind": {
            "news": 0.0041,
            "chat": 0.0312,
            "business_email": 0.0192,
            "poem": -0.0057,
            "table": 0.0158,
            "german": 0.0121,
        },
        "num_passages": 60,
        "general_text_kl": _estimate(0.0123, 0.0024),
        "task_kl": _estimate(3.8612, 0.0911),
        "budget": 0.02,
        "is_within_budget": True,
        "scale": 0.8,
        "task_kept": 0.971,
        "scales": [
            _scale(1.0, _estimate(0.0214, 0.004), loss=0.311, score=0.857),
            _scale(0.9, _estimate(0.0161, 0.004)),
            _scale(0.8, _estimate(0.0117, 0.003), loss=0.324, score=0.832),
        ],
        "instructions": {
            "num_prompts": 40,
            "base": _estimate(0.475, 0.15),
            "specialist": _estimate(0.4, 0.15),
            "difference": _estimate(-0.075, 0.1),
            "p_value": 0.25,
        },
        "refusals": {
            "num_pairs": 24,
            "base_can_refuse": False,
            "base_gap": _estimate(0.41, 0.72),
            "gap": _estimate(0.38, 0.7),
            "harmful_shift": _estimate(-0.22, 0.1),
            "harmless_shift": _estimate(-0.19, 0.12),
        },
        "general": {"file": "ours.jsonl", "num_rows": 130, "num_of_task": 4, "num_of_measurement": 2, "num_used": 124},
        "unchanged": {
            "num_kept": 1,
            "num_rows": 2,
            "rows": [
                _unchanged(1, "Who are you?", "A bot.", "A bot."),
                _unchanged(2, "Say <b>yes</b>.", "Yes.", "No."),
            ],
        },
    }


def _scale(scale: float, change: Json, loss: float | None = None, score: float | None = None) -> Json:
    return {"scale": scale, "nll_change": change, "loss": loss, "score": score}


def _unchanged(line: int, prompt: str, base: str, specialist: str) -> Json:
    row = {"id": f"keep.jsonl:{line}", "prompt": prompt, "base": base, "specialist": specialist}
    return {**row, "is_kept": base == specialist}


def _estimate(value: float, margin: float) -> Json:
    return {
        "value": value,
        "low": value - margin,
        "high": min(1.0, value + margin),
        "confidence": 0.95,
        "method": "bootstrap",
    }


def _metrics() -> list[Json]:
    rng = random.Random(7)
    losses = [0.3 + 1.3 * math.exp(-step / 50) + rng.gauss(0, 0.06) for step in range(1, 319)]
    return [
        {
            "step": step,
            "epoch": step / 106,
            "loss_per_token": max(0.05, loss),
            "learning_rate": 2e-4,
            "grad_norm": 0.8,
            "tokens": 1297 * step,
            "supervised_tokens": 310 * step,
            "seconds": 2.49 * step,
        }
        for step, loss in enumerate(losses, start=1)
    ]


def _card(task: str) -> Json:
    lengths = [(rng := random.Random(n)).gauss(230, 40) + (rng.random() < 0.05) * 170 for n in range(1021)]
    edges = list(range(0, 501, 50))
    labels = [
        {"label": name, "train": 300 - 80 * i, "validation": 40 - 9 * i, "test": 20 - 5 * i}
        for i, name in enumerate(LABELS)
    ]
    return {
        "schema_version": 1,
        "rows": {"train": 840, "validation": 120, "test": 48, "left_out": 13},
        "tokens": {
            "prompt": {"min": 118, "median": 231, "p95": 312, "max": 497, "sum": 236_000},
            "answer": {"min": 31, "median": 42, "p95": 58, "max": 77, "sum": 43_400},
            "histogram": {
                "edges": edges,
                "prompt": [sum(low <= n < low + 50 for n in lengths) for low in edges[:-1]],
                "answer": [790, 231, *[0] * 8],
            },
        },
        "labels": labels if task == "classification" else None,
        "languages": {"en": 1009, "de": 12},
        "checks": [
            _check(
                "near_duplicate",
                "warning",
                "an earlier row, but for case or a word",
                13,
                "Kept on one side of the split.",
            ),
            _check("pii_email", "warning", "a row that holds an e-mail address", 2, None),
            _check("utf8_bom", "note", "a UTF-8 byte order mark", 1, None),
        ],
        "sha256": {"tickets.jsonl": "9d01e44b7c5a2f68" * 4},
        "estimate": {"num_steps": 318, "seconds": 771.0, "peak_bytes": 1_900_000_000},
    }


def _check(name: str, severity: str, meaning: str, count: int, done: str | None) -> Json:
    rows = [f"tickets.jsonl:{17 * n + 3}" for n in range(min(count, 5))] if severity != "note" else []
    found = {"check": name, "severity": severity, "meaning": meaning, "count": count, "rows": rows}
    return found | {"message": "The file begins with it.", "remedy": "Look at them.", "done": done}


def _environment() -> Json:
    return {
        "burnish": "0.1.0",
        "python": "3.11.7",
        "platform": "Linux-6.1.0-x86_64-with-glibc2.36",
        "device": "cpu (2 threads)",
        "packages": {
            "torch": "2.11.0",
            "transformers": "5.17.1",
            "peft": "0.19.0",
            "safetensors": "0.6.2",
            "numpy": "2.4.6",
        },
        "seed": 17,
        "base_model": "smollm2-135m-instruct",
        "base_fingerprint": BASE_SHA256,
        "data_sha256": {"tickets.jsonl": "9d01e44b7c5a2f68" * 4},
        "command": ["burnish", "run", "my tickets.toml"],
        "started_at": "2026-11-21T03:08:00Z",
    }


RECIPE = """task = "TASK"

[data]
train = "tickets.jsonl"
test = 0.2

[model]
base = "smollm2-135m-instruct"

[adapter]
rank = 16
alpha = 32

[train]
learning_rate = 2e-4
epochs = 3
examples_per_step = 8
seed = 17

[retention]
budget = 0.02
"""
