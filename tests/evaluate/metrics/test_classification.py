"""Labels one by one and by pairs, against scikit-learn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support

from burnish.evaluate.metrics import confusion, label_table, measure_labels
from tests.evaluate.metrics.prediction_rows import rows_of

labels = st.sampled_from(["a", "b", "c", "d"])


@pytest.mark.filterwarnings("ignore:A single label was found")
@given(st.lists(st.tuples(labels, labels), min_size=1, max_size=30))
def test_table_macro_f1_and_matrix_are_those_of_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    measured = measure_labels(rows_of(*pairs))
    predicted, wanted = zip(*pairs, strict=True)
    table, matrix = measured["labels"], measured["confusion"]
    assert measured["macro_f1"] == pytest.approx(f1_score(wanted, predicted, average="macro", zero_division=0))
    assert matrix["matrix"] == confusion_matrix(wanted, predicted, labels=matrix["labels"]).tolist()
    precision, recall, f1, num_rows = precision_recall_fscore_support(wanted, predicted, zero_division=0)
    assert [label["precision"] or 0 for label in table] == pytest.approx(list(precision))
    assert [label["recall"] or 0 for label in table] == pytest.approx(list(recall))
    assert [label["f1"] for label in table] == pytest.approx(list(f1))
    assert [label["num_rows"] for label in table] == list(num_rows)
    assert sum(label["num_predicted"] for label in table) == len(pairs)


def test_a_share_of_no_rows_is_none_and_not_0() -> None:
    never_predicted, never_wanted = label_table(rows_of(("b", "a")))
    assert (never_predicted["precision"], never_predicted["recall"]) == (None, 0.0)
    assert (never_wanted["precision"], never_wanted["recall"]) == (0.0, None)


def test_the_worst_pairs_come_by_number_and_are_mistakes() -> None:
    found = confusion(rows_of(*[("x", "a")] * 3, *[("a", "a")] * 3, ("y", "b"), ("b", "b")))["worst_pairs"]
    assert found == [
        {"target": "a", "prediction": "x", "num_rows": 3, "share_of_target": 0.5},
        {"target": "b", "prediction": "y", "num_rows": 1, "share_of_target": 0.5},
    ]


@pytest.mark.parametrize(("num_labels", "has_matrix"), [(30, True), (31, False)])
def test_many_labels_have_pairs_but_no_matrix(num_labels: int, has_matrix: bool) -> None:
    found = confusion(rows_of(*((f"{(n + 1) % num_labels}", f"{n}") for n in range(num_labels))))
    assert (found["matrix"] is not None) is has_matrix
    assert len(found["labels"]) == num_labels
    assert len(found["worst_pairs"]) == 30
