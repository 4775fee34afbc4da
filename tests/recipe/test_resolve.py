"""`auto` values are settled from facts, each with its reason; what somebody set stays."""

from typing import Any

import pytest

from burnish.recipe import (
    AUTO,
    LoadedRecipe,
    OriginKind,
    RowFacts,
    TokenFacts,
    build_recipe,
    origins_of_all,
    resolve_length,
    resolve_memory,
    resolve_rows,
    resolve_tokens,
)

ROWS = RowFacts(num_rows=400, labels=("a", "b"), system="Classify.", median_target_words=1)
TOKENS = TokenFacts(num_train_rows=300, longest_target=40, bf16_speedup=1.0)


def recipe(*overrides: str, task: str = "classification", **data: Any) -> LoadedRecipe:
    return build_recipe({"task": task, "data": {"train": "rows.jsonl", **data}}, overrides=overrides)


def resolve(
    *overrides: str, rows: RowFacts = ROWS, context: int = 8192, tokens: TokenFacts = TOKENS, **kwargs: Any
) -> LoadedRecipe:
    settled = resolve_tokens(resolve_length(resolve_rows(recipe(*overrides, **kwargs), rows), context), tokens)
    return resolve_memory(
        settled, micro_batch_tokens=3000, recompute_layers=True, shard_base=True, reason="needs 1.0 GB of 0.9 GB"
    )


def test_no_auto_is_left_and_each_has_a_reason() -> None:
    before = {key for key, value, _ in origins_of_all(recipe()) if value == AUTO}
    after = {key: (value, origin) for key, value, origin in origins_of_all(resolve())}
    assert len(before) == 22
    assert not [key for key, (value, _) in after.items() if value == AUTO]
    assert {key for key, (_, origin) in after.items() if origin.kind is OriginKind.AUTO} == before
    assert all(after[key][1].detail for key in before)


def test_what_somebody_set_stays() -> None:
    given = {
        "data.test_share": 0.3, "data.validation_share": 0.2, "data.max_length": 77, "prompt.system": "Mine.",
        "prompt.labels": ["a", "b", "c"], "prompt.fields": ["f"], "adapter.rank": 3, "train.epochs": 5,
        "train.batch_size": 7, "train.learning_rate": 0.25, "train.micro_batch_tokens": 99, "train.precision": "bf16",
        "evaluate.metric": "chrf", "evaluate.num_shots": 2, "evaluate.max_new_tokens": 11,
    }  # fmt: skip
    settled = resolve(*(f"{key}={value!r}" for key, value in given.items()))
    found = {key: (value, origin.kind) for key, value, origin in origins_of_all(settled) if key in given}
    assert found == {key: (value, OriginKind.COMMAND_LINE) for key, value in given.items()}


@pytest.mark.parametrize(
    ("num_rows", "test_share", "validation_share"),
    [(20, 0.5, 0.25), (100, 0.5, 0.2), (400, 0.2, 0.1), (10_000, 0.1, 0.02)],
)
def test_shares_leave_enough_rows_to_measure(num_rows: int, test_share: float, validation_share: float) -> None:
    data = resolve_rows(recipe(), RowFacts(num_rows)).recipe.data
    assert (data.test_share, data.validation_share) == (test_share, validation_share)


def test_a_given_file_takes_no_share() -> None:
    settled = resolve_rows(recipe(test="t.jsonl", validation="v.jsonl"), ROWS)
    assert (settled.recipe.data.test_share, settled.recipe.data.validation_share) == (0.0, 0.0)
    assert str(settled.origins["data.test_share"]) == "auto: a test file is given"


@pytest.mark.parametrize(
    ("task", "words", "metric"),
    [
        ("classification", 99, "accuracy"),
        ("extraction", 99, "field_f1"),
        ("completion", 8, "exact_match"),
        ("chat", 9, "chrf"),
    ],
)
def test_the_metric_suits_the_task(task: str, words: float, metric: str) -> None:
    settled = resolve_rows(recipe(task=task), RowFacts(100, median_target_words=words))
    assert settled.recipe.evaluate.metric == metric


def test_tokens_and_device_decide() -> None:
    few = TokenFacts(num_train_rows=199, longest_target=1, bf16_speedup=1.3)
    settled = resolve(tokens=few, context=512).recipe
    assert settled.data.max_length == 512
    assert (settled.train.micro_batch_tokens, settled.train.recompute_layers) == (3000, True)
    assert (settled.train.batch_size, settled.train.epochs, settled.adapter.rank) == (4, 6, 16)
    assert (settled.train.precision, settled.evaluate.max_new_tokens, settled.evaluate.num_shots) == ("bf16", 1, 8)
    many = TokenFacts(num_train_rows=1000, longest_target=999, bf16_speedup=1.2)
    settled = resolve(task="chat", tokens=many, context=9999).recipe
    assert settled.data.max_length == 2048
    assert (settled.train.batch_size, settled.train.epochs, settled.adapter.rank) == (8, 3, 32)
    assert (settled.train.precision, settled.evaluate.max_new_tokens, settled.evaluate.num_shots) == ("fp32", 256, 4)
