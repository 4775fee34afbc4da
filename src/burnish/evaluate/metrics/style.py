"""Style: whether a reader who only counts characters could tell the specialist's answers from the team's own."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from burnish.evaluate.statistics import wilson_interval

MIN_TEXTS = 30
"""Of each kind, all different: with fewer there is too little to learn a style from."""
MAX_TEXTS = 500
MAX_CHARACTERS = 1_000
"""Of a text that are read."""
NUM_FOLDS = 5


def measure_style(
    targets: Sequence[str],
    base_answers: Sequence[str],
    answers: Mapping[str, Sequence[str]],
    *,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Any] | None:
    """How well targets are told from the base's answers, and how often each of `answers` passes as a target.

    The judge is a logistic regression on tf-idf of character n-grams (2 to 5, inside words; the features of authorship
    attribution, Stamatatos 2009, JASIST 60:538). `accuracy` (balanced, so 0.5 is chance), `auc` and `base_pass_rate`
    are out of fold; only the n-grams are counted over all texts. `targets` are those of the training rows; put the
    test's own targets among `answers`: their pass rate is the most that can be wanted. Where accuracy is near 0.5 the
    styles can't be told apart, and passing means nothing. It judges wording, not content. None if either kind has fewer
    than 30 different texts.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score, roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    kinds = [_sample(texts, seed) for texts in (targets, base_answers)]
    if min(map(len, kinds)) < MIN_TEXTS:
        return None
    texts = [*kinds[0], *kinds[1]]
    is_target_N = np.repeat([1, 0], [len(kind) for kind in kinds])
    grams = TfidfVectorizer(
        preprocessor=_beginning, analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, max_features=20_000
    )
    features = grams.fit_transform(texts)
    judge = LogisticRegression(C=10.0, class_weight="balanced", solver="liblinear")
    folds = StratifiedKFold(NUM_FOLDS, shuffle=True, random_state=seed)
    chances_N = cross_val_predict(judge, features, is_target_N, cv=folds, method="predict_proba")[:, 1]
    judge.fit(features, is_target_N)
    passed = {name: int(judge.predict(grams.transform(given)).sum()) for name, given in answers.items() if given}
    return {
        "accuracy": float(balanced_accuracy_score(is_target_N, chances_N > 0.5)),
        "auc": float(roc_auc_score(is_target_N, chances_N)),
        "num_targets": len(kinds[0]),
        "num_base_answers": len(kinds[1]),
        "base_pass_rate": float((chances_N[is_target_N == 0] > 0.5).mean()),
        "pass_rate": {
            name: wilson_interval(count, len(answers[name]), confidence).to_dict() for name, count in passed.items()
        },
    }


def _sample(texts: Sequence[str], seed: int) -> list[str]:
    """Different texts, so that no text is in two folds; at most so many that the fit takes seconds."""
    different = list(dict.fromkeys(text for text in texts if text.strip()))
    chosen = np.random.default_rng(seed).permutation(len(different))[:MAX_TEXTS]
    return [different[i] for i in sorted(chosen)]


def _beginning(text: str) -> str:
    """With its capitals, which are style too."""
    return text[:MAX_CHARACTERS]
