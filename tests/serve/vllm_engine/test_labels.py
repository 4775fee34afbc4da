"""The best label is that of scoring each, though a place tells a few of its tokens only."""

import asyncio
import math
import random

import pytest

from burnish.serve.vllm_engine import labels as labels_module
from burnish.serve.vllm_engine.labels import Opinion, most_likely

END = 99


class Stubborn:
    """A model of random opinions that tells the `num_top` likeliest tokens of a place, and the best allowed one."""

    def __init__(self, seed: int, num_top: int, sharpness: float) -> None:
        self._seed, self._num_top, self._sharpness = seed, num_top, sharpness
        self.num_read = self.most_asked = 0

    def chances(self, path: tuple[int, ...]) -> dict[int, float]:
        rng = random.Random(f"{self._seed} {path}")
        logits = {token: rng.gauss(0, self._sharpness) for token in (*range(12), END)}
        total = math.log(sum(map(math.exp, logits.values())))
        return {token: value - total for token, value in logits.items()}

    async def read(self, path: tuple[int, ...], token_ids: frozenset[int]) -> Opinion:
        self.num_read, self.most_asked = self.num_read + 1, max(self.most_asked, len(token_ids))
        chances = self.chances(path)
        best = max(token_ids, key=chances.__getitem__)
        told = {token: chances[token] for token in sorted(chances, key=lambda t: -chances[t])[: self._num_top]}
        told[best] = chances[best]
        return Opinion(told, min(told.values()))

    def score(self, label: tuple[int, ...]) -> float:
        return sum(self.chances(label[:i])[token] for i, token in enumerate(label))


@pytest.mark.parametrize("num_top", [0, 1, 3, 20])
@pytest.mark.parametrize("sharpness", [0.1, 1.0, 4.0])
def test_the_best_label_is_that_of_scoring_each(num_top: int, sharpness: float) -> None:
    for seed in range(40):
        rng = random.Random(seed)
        labels = [(*(rng.randrange(12) for _ in range(rng.randint(1, 4))), END) for _ in range(rng.randint(1, 30))]
        model = Stubborn(seed, num_top, sharpness)
        scores = [model.score(label) for label in labels]
        found = asyncio.run(most_likely(labels, model.read))
        assert found.index == scores.index(max(scores))
        assert found.probability == pytest.approx(math.exp(max(scores)))


def test_few_places_are_read_where_the_model_is_sure() -> None:
    labels = [(a, b, c, END) for a in range(12) for b in range(12) for c in range(12)]
    model = Stubborn(0, num_top=20, sharpness=6.0)
    asyncio.run(most_likely(labels, model.read))
    assert model.num_read <= 20  # of 1 + 12 + 144 + 1728


def test_more_first_tokens_than_can_be_asked_about_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels_module, "MAX_ALLOWED", 5)
    labels = [(a, b, END) for a in range(12) for b in range(12)]
    model = Stubborn(1, num_top=2, sharpness=1.0)
    scores = [model.score(label) for label in labels]
    assert asyncio.run(most_likely(labels, model.read)).index == scores.index(max(scores))
    assert model.most_asked == 5


def test_equal_labels_give_the_first() -> None:
    model = Stubborn(0, num_top=20, sharpness=1.0)
    assert asyncio.run(most_likely([(3, END), (3, END)], model.read)).index == 0
