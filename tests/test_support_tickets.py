"""The built-in example keeps its promises: sound rows, no near duplicates, and not solved by counting words."""

import json
from pathlib import Path
from typing import Any

import pytest
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

TICKETS = Path(__file__).parents[1] / "src" / "burnish" / "examples" / "support_tickets" / "tickets.jsonl"
ALLOWED: dict[str, set[Any]] = {
    "category": {"delivery", "repair", "repair_status", "return", "billing", "parts", "advice", "account"},
    "urgency": {"high", "normal", "low"},
    "sentiment": {"negative", "neutral", "positive"},
    "wants_refund": {True, False},
}
FIELDS = ["category", "urgency", "sentiment", "product", "order_id", "wants_refund"]


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in TICKETS.read_text(encoding="utf-8").split("\n") if line]


def test_there_are_550_rows_of_one_schema(rows: list[dict[str, Any]]) -> None:
    assert len(rows) == 550
    for row in rows:
        assert list(row) == ["text", "fields"]
        assert list(row["fields"]) == FIELDS, row["text"]
        assert row["text"] == row["text"].strip() != ""


@pytest.mark.parametrize("field", ALLOWED)
def test_closed_fields_have_their_values_and_use_all(rows: list[dict[str, Any]], field: str) -> None:
    values = [row["fields"][field] for row in rows]
    assert {type(value) for value in values} == {type(value) for value in ALLOWED[field]}  # True is not 1
    assert set(values) == ALLOWED[field]


def test_a_product_is_lower_case_text_or_null(rows: list[dict[str, Any]]) -> None:
    for product in (row["fields"]["product"] for row in rows):
        assert product is None or product == product.strip().lower() != ""


def test_an_order_id_is_written_as_in_the_message(rows: list[dict[str, Any]]) -> None:
    with_order = [row for row in rows if row["fields"]["order_id"] is not None]
    assert with_order
    for row in with_order:
        assert row["fields"]["order_id"] in row["text"]


def test_no_two_messages_are_near_duplicates(rows: list[dict[str, Any]]) -> None:
    assert max_cosine([row["text"] for row in rows]) < 0.8


def test_the_search_for_near_duplicates_finds_one(rows: list[dict[str, Any]]) -> None:
    texts = [row["text"] for row in rows]
    assert max_cosine([*texts, texts[0].replace("brides", "grooms")]) > 0.9


@pytest.mark.parametrize("vectorizer", [CountVectorizer, TfidfVectorizer])
def test_a_bag_of_words_does_not_solve_the_category(rows: list[dict[str, Any]], vectorizer: Any) -> None:
    texts, labels = [row["text"] for row in rows], [row["fields"]["category"] for row in rows]
    model = make_pipeline(vectorizer(ngram_range=(1, 2)), LogisticRegression(C=10, max_iter=1000))
    accuracy = cross_val_score(model, texts, labels, cv=5).mean()
    assert 0.3 < accuracy < 0.75  # chance is about 1 in 8; far below 0.3 the classifier itself would be broken


def max_cosine(texts: list[str]) -> float:
    """The highest cosine between the counts of character 3-5-grams (inside words) of two texts."""
    counts = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), use_idf=False).fit_transform(texts)
    cosines = (counts @ counts.T).toarray()
    return float(max(cosines[i, :i].max() for i in range(1, len(texts))))
