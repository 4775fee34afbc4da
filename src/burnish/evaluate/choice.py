"""Which of two validations of a run is better; the test rows are never asked."""

import math

import numpy as np

from burnish.evaluate.statistics import RowScores, paired_sd
from burnish.train.checkpoint import Validation


def prefers(new: Validation, best: Validation) -> bool:
    """By the task's score where the two differ by more than a standard error of their difference, else by the loss.

    Of a hundred rows a handful change between right and wrong by chance from step to step; the loss, which sees how
    sure the model is of every token, is the steadier witness there.
    """
    if new.scores and best.scores:
        ours, theirs = (RowScores(*np.array(each.scores).T) for each in (new, best))
        difference, error = ours.value - theirs.value, paired_sd(ours, theirs) / math.sqrt(len(ours))
        if abs(difference) > error:  # not so where either is undefined
            return difference > 0
    return new.loss < best.loss
