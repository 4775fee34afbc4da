"""The score decides where it can, the loss where the score is within chance."""

import pytest

from burnish.evaluate.choice import prefers
from burnish.train.checkpoint import Validation


def validation(*right: int, loss: float) -> Validation:
    return Validation(step=1, loss=loss, scores=tuple((float(one), 1.0) for one in right))


@pytest.mark.parametrize(
    ("new", "best", "is_better"),
    [
        (validation(*[1] * 60, *[0] * 40, loss=2.0), validation(*[1] * 40, *[0] * 60, loss=1.0), True),
        (validation(*[1] * 40, *[0] * 60, loss=1.0), validation(*[1] * 60, *[0] * 40, loss=2.0), False),
        (validation(1, *[0] * 50, *[1] * 49, loss=2.0), validation(0, 1, *[0] * 49, *[1] * 49, loss=1.0), False),
        (validation(1, *[0] * 50, *[1] * 49, loss=1.0), validation(0, 1, *[0] * 49, *[1] * 49, loss=2.0), True),
        (validation(1, 0, 1, loss=1.0), validation(1, 0, 1, loss=1.0), False),
        (validation(loss=1.0), validation(loss=2.0), True),
        (validation(1, loss=2.0), validation(loss=1.0), False),
        (Validation(1, 1.0, ((0.0, 0.0),)), Validation(1, 2.0, ((0.0, 0.0),)), True),
    ],
    ids=["score", "score against loss", "tie", "tie and loss", "equal", "no scores", "one score", "nothing to find"],
)
def test_which_is_better(new: Validation, best: Validation, is_better: bool) -> None:
    assert prefers(new, best) is is_better
