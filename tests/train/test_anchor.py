"""What training holds fast of the base: the divergences by their definition, whatever the packing, and their effect."""

import json
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import kl_div

from burnish.data import RenderedExample
from burnish.errors import Interrupted
from burnish.model.adapter import adapter_off, adapter_parameters, attach_adapter
from burnish.model.head import UNMARKED
from burnish.model.loss import Opinions, divergences
from burnish.recipe import Schedule
from burnish.train import anchor as anchors
from burnish.train.anchor import Anchor, anchored_loss, ask_base
from burnish.train.fit import FitEvents, FitOptions, fit
from burnish.train.loop import TrainOptions, plan_step, start_training, train
from burnish.train.pack import batches_for
from burnish.train.ranks import Ranks
from burnish.train.savings import Savings
from burnish.train.step import train_step
from tests.tiny import adapt, build_exact_model, random_examples, randomize_adapter

ROWS, TEXTS = random_examples(6, 3), random_examples(5, 4)


def adapted(kind: str = "llama", std: float = 0.1) -> Any:
    model = adapt(build_exact_model(kind, sliding_window=7)).eval()
    randomize_adapter(model, torch.float64, std=std)
    return model


def new() -> Any:
    """With an adapter that changes nothing yet."""
    model = build_exact_model("llama")
    return attach_adapter(model, rank=3, alpha=8, dropout=0, target_modules="all-linear", seed=0).double().eval()


def options(**changes: Any) -> TrainOptions:
    values: dict[str, Any] = {
        "seed": 0,
        "epochs": 3,
        "batch_size": 2,
        "learning_rate": 0.01,
        "schedule": Schedule.CONSTANT,
        "warmup_share": 0.0,
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "micro_batch_tokens": 200,
    }
    return TrainOptions(**{**values, **changes})


def logits_by_hand(model: Any, example: RenderedExample) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [S, V] and targets [S] of the supervised tokens, of one example alone."""
    learned = [i for i in range(1, len(example.input_ids)) if example.loss_mask[i]]
    logits = model(input_ids=torch.tensor([example.input_ids])).logits[0]
    return logits[[i - 1 for i in learned]], torch.tensor(example.input_ids)[learned]


def lump(probabilities: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """[S, K + 1]: those of some tokens, and of all others together."""
    known = probabilities.gather(1, ids)
    return torch.cat([known, 1 - known.sum(1, keepdim=True)], dim=1)


def objective_by_hand(model: Any, weights: tuple[float, float]) -> torch.Tensor:
    """Mean loss of ROWS, and the mean divergences on TEXTS and (masked) on ROWS, from one example at a time."""
    losses, kept, masked = [], [], []
    for example, is_text in [*((row, False) for row in ROWS), *((text, True) for text in TEXTS)]:
        logits, targets = logits_by_hand(model, example)
        with torch.no_grad(), adapter_off(model):
            base, _ = logits_by_hand(model, example)
        if is_text:
            pairs, where = (base, logits), kept
        else:
            losses.append(torch.nn.functional.cross_entropy(logits, targets, reduction="none"))
            hide = torch.zeros_like(base).scatter_(1, targets[:, None], -torch.inf)
            pairs, where = (base + hide, logits + hide), masked
        theirs, ours = (each.softmax(-1) for each in pairs)
        ids = theirs.topk(anchors.NUM_LIKELIEST).indices
        where.append(kl_div(lump(ours, ids).log(), lump(theirs, ids), reduction="none").sum(-1))
    total = torch.cat(losses).mean() + weights[0] * torch.cat(kept).mean()
    return total + weights[1] * torch.cat(masked).mean()


def gradients(model: Any) -> dict[str, torch.Tensor]:
    found = {name: p.grad.clone() for name, p in adapter_parameters(model).items() if p.grad is not None}
    model.zero_grad()
    return found


@pytest.mark.parametrize("savings", [Savings(), Savings(packing=False)], ids=["packed", "padded"])
@pytest.mark.parametrize("kind", ["llama", "gemma3"])
@pytest.mark.parametrize("weights", [(1.5, 0.0), (0.0, 0.7), (2.0, 0.5)])
def test_the_objective_is_its_definition(kind: str, weights: tuple[float, float], savings: Savings) -> None:
    model = adapted(kind)
    objective_by_hand(model, weights).backward()
    wanted = gradients(model)
    anchor = Anchor(
        replay=ask_base(model, TEXTS, max_tokens=50),
        replay_weight=weights[0],
        task=ask_base(model, ROWS, max_tokens=50, is_masked=True) if weights[1] else None,
        task_weight=weights[1],
    )
    together = [*ROWS[::-1], *TEXTS]
    owners = [*((i, False) for i in reversed(range(6))), *((i, True) for i in range(5))]
    counts = [sum(e.num_supervised for e in part) for part in (ROWS, TEXTS)]
    objective = anchored_loss(
        anchor, owners, num_supervised=counts[0], num_replayed=counts[1], replay_weight=weights[0]
    )
    total = 0.0
    with batches_for(model, together, max_tokens=120, savings=savings) as batches:
        cut = [batch for batch in batches if batch.fills is None]
        assert len(cut) > 1
        for batch in cut:
            loss = objective(model, batch)
            loss.objective.backward()
            total += loss.objective.item()
    assert total == pytest.approx(objective_by_hand(model, weights).item(), rel=1e-10)
    got = gradients(model)
    for name, gradient in wanted.items():
        torch.testing.assert_close(got[name], gradient, rtol=1e-9, atol=1e-11)


def test_a_head_that_is_not_plain_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model = adapted()
    taught = ask_base(model, TEXTS, max_tokens=500)
    with batches_for(model, TEXTS, max_tokens=500, savings=Savings()) as batches:
        (batch,) = batches
        opinions = taught.opinions.at(taught.rows(batch.owners_S, batch.places_S))
        targets = batch.targets_S.where(batch.targets_S % 2 == 0, UNMARKED)
        opinions = Opinions(opinions.ids_SK.where(opinions.ids_SK != targets[:, None], UNMARKED), opinions.shares_SK)
        through_head = divergences(model, batch, opinions, targets)
        monkeypatch.setattr("burnish.model.loss.find_frozen_head", lambda *_: None)
        by_logits = divergences(model, batch, opinions, targets)
    torch.testing.assert_close(through_head, by_logits, rtol=1e-10, atol=1e-12)


def test_a_new_adapter_does_not_differ_from_its_base() -> None:
    model = new()
    taught = ask_base(model, TEXTS, max_tokens=60)
    with batches_for(model, TEXTS, max_tokens=90, savings=Savings()) as batches:
        for batch in batches:
            opinions = taught.opinions.at(taught.rows(batch.owners_S, batch.places_S))
            losses, kept = divergences(model, batch, opinions, torch.full_like(batch.targets_S, UNMARKED))
            assert torch.equal(losses, torch.zeros_like(losses))
            assert kept.abs().max() < 1e-12


def test_opinions_are_the_bases_and_in_order() -> None:
    model = adapted()
    taught = ask_base(model, TEXTS, max_tokens=70)
    rows = []
    with torch.no_grad(), adapter_off(model):
        for example in TEXTS:
            rows.append(logits_by_hand(model, example)[0].softmax(-1).topk(20))
    torch.testing.assert_close(taught.opinions.shares_SK, torch.cat([r.values for r in rows]), rtol=1e-10, atol=0)
    assert torch.equal(taught.opinions.ids_SK, torch.cat([r.indices for r in rows]))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_ranks_do_the_step_of_one(count: int) -> None:
    """The ranks' parts of a step, added up, are the whole."""
    model = adapted()
    anchor = Anchor(ask_base(model, TEXTS, max_tokens=500), 1.5, 2.0, None, ask_base(model, ROWS, max_tokens=500), 0.5)
    sums = []
    for ranks in ([Ranks()], [Ranks(rank, count) for rank in range(count)]):
        works = [plan_step(ROWS, [4, 1], 1, options(), anchor, one) for one in ranks]
        assert len({work.num_held for work in works}) == 1
        assert sum(len(work.examples) for work in works) == 2 + 3
        for work in works:
            with batches_for(model, work.examples, max_tokens=1000, savings=Savings()) as batches:
                for batch in batches:
                    work.objective(model, batch).objective.backward()
        sums.append(gradients(model))
    for name, gradient in sums[0].items():
        torch.testing.assert_close(sums[1][name], gradient, rtol=1e-9, atol=1e-11)


def test_each_text_comes_before_any_comes_again() -> None:
    model = adapted()
    anchor = Anchor(ask_base(model, TEXTS, max_tokens=500), replay_share=0.25)
    drawn = [anchor.replayed(step, 2, seed=3) for step in range(20)]
    assert [len(texts) for texts in drawn] == [0, 1] * 10
    flat = [i for texts in drawn for i in texts]
    assert sorted(flat[:5]) == sorted(flat[5:]) == list(range(5))
    assert flat[:5] != flat[5:]
    assert flat != [i for step in range(20) for i in anchor.replayed(step, 2, seed=4)]


@pytest.mark.parametrize("way", ["replay", "masked"])
def test_what_is_held_fast_moves_less(way: str) -> None:
    drifts = []
    for weight in (0.0, 5.0):
        model = new()
        anchor = (
            Anchor(ask_base(model, TEXTS, max_tokens=500), 2.0, weight)
            if way == "replay"
            else Anchor(task=ask_base(model, ROWS, max_tokens=500, is_masked=True), task_weight=weight)
        )
        metrics = list(train(start_training(model, options()), ROWS, options(), anchor=anchor))
        with torch.no_grad():
            logits = [logits_by_hand(model, e)[0].log_softmax(-1) for e in TEXTS]
            with adapter_off(model):
                base = [logits_by_hand(model, e)[0].softmax(-1) for e in TEXTS]
        drifts.append(float(kl_div(torch.cat(logits), torch.cat(base), reduction="batchmean")))
        assert metrics[-1].loss_per_token < metrics[0].loss_per_token
    assert 0 < drifts[1] < 0.9 * drifts[0]


def test_the_weight_settles_at_the_target() -> None:
    """It grows while the divergence is over the target, shrinks while it is under, and stays without texts."""
    anchor = Anchor(ask_base(new(), TEXTS, max_tokens=500), 0.5, 1.0, target=0.03)
    assert anchor.adapted(2.0, None) == 2.0
    assert anchor.adapted(2.0, 0.03) == 2.0
    assert 2.0 < anchor.adapted(2.0, 0.04) < anchor.adapted(2.0, 0.1) < 2.0 * 1.36
    assert 2.0 / 1.36 < anchor.adapted(2.0, 0.0) < anchor.adapted(2.0, 0.02) < 2.0
    assert Anchor(anchor.replay, 0.5, 1.0).adapted(2.0, 9.0) == 2.0
    weights, found = [], []
    for target in (0.01, 0.2):
        model, held = new(), Anchor(ask_base(new(), TEXTS, max_tokens=500), 1.0, 1.0, target=target)
        long = options(epochs=40)
        metrics = list(train(start_training(model, long), ROWS, long, anchor=held))
        weights.append(metrics[-1].replay_weight)
        found.append(sum(m.divergence or 0.0 for m in metrics[-20:]) / 20)
    assert weights[0] > weights[1]
    assert found == [pytest.approx(0.01, rel=0.6), pytest.approx(0.2, rel=0.6)]


def test_a_resumed_run_with_an_anchor_is_an_uninterrupted_one(tmp_path: Path) -> None:
    """The weight that was found goes on, and so does the order of the texts."""
    results = []
    for stop in (0, 5):
        folder = tmp_path / str(stop)
        folder.mkdir()
        for is_again in (False, True) if stop else (True,):
            model = new()
            anchor = Anchor(ask_base(model, TEXTS, max_tokens=500), 0.5, 1.0, target=0.01)
            steps = list[int]()
            events = FitEvents(
                on_step=lambda metrics, num_steps, steps=steps: steps.append(metrics.step),
                should_stop=lambda is_again=is_again, steps=steps: not is_again and steps[-1] == 5,
            )
            with nullcontext() if is_again else pytest.raises(Interrupted):
                fit(
                    model,
                    ROWS,
                    TEXTS,
                    options=options(epochs=4),
                    fit_options=FitOptions(1, 9, 1e9),
                    checkpoints=folder / "checkpoints",
                    metrics_path=folder / "metrics.jsonl",
                    events=events,
                    anchor=anchor,
                )
        rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        kept = [[row[key] for key in ("loss_per_token", "divergence", "replay_weight")] for row in rows]
        results.append((kept, {name: p.detach().clone() for name, p in adapter_parameters(model).items()}))
    assert results[0][0] == results[1][0]
    assert all(torch.equal(tensor, results[1][1][name]) for name, tensor in results[0][1].items())


def as_raw(example: RenderedExample) -> RenderedExample:
    """All of it learned but the first token, as a text without a prompt."""
    return RenderedExample(example.id, example.input_ids, (False, *(True,) * (len(example.input_ids) - 1)), 1)


@pytest.mark.parametrize("raw", [(), (1, 3)], ids=["answers alone", "answers and raw texts"])
def test_a_step_tells_the_divergence_on_raw_texts_where_there_are_any(raw: tuple[int, ...]) -> None:
    model = adapted()
    texts = [as_raw(text) if n in raw else text for n, text in enumerate(TEXTS)]
    anchor = Anchor(ask_base(model, texts, max_tokens=500), 1.0)
    assert anchor.telling == frozenset(raw or range(5))
    work = plan_step(ROWS, [0, 1, 2, 3, 4], 0, options(), anchor)
    with batches_for(model, work.examples, max_tokens=1000, savings=Savings()) as batches:
        metrics = train_step(
            model,
            list(adapter_parameters(model).values()),
            torch.optim.SGD(adapter_parameters(model).values(), lr=0.0),
            batches,
            objective=work.objective,
            num_supervised=work.num_supervised,
            num_held=work.num_held,
            max_grad_norm=1.0,
            step=1,
            epoch=1.0,
        )
    expected = []
    for text in [text for n, text in enumerate(texts) if n in raw or not raw]:
        ours = logits_by_hand(model, text)[0].softmax(-1)
        with adapter_off(model):
            theirs = logits_by_hand(model, text)[0].softmax(-1)
        ids = theirs.topk(20).indices
        expected.append(kl_div(lump(ours, ids).log(), lump(theirs, ids), reduction="none").sum(-1))
    assert metrics.divergence == pytest.approx(torch.cat(expected).mean().item(), rel=1e-9)
    assert metrics.supervised_tokens == sum(row.num_supervised for row in ROWS[:5])


def test_a_step_without_a_text_that_tells_leaves_the_weight() -> None:
    model = new()
    texts = [as_raw(text) if n == 2 else text for n, text in enumerate(TEXTS)]
    anchor = Anchor(ask_base(model, texts, max_tokens=500), 0.5, 1.0, target=1e-9)
    metrics = list(train(start_training(model, options(epochs=4)), ROWS, options(epochs=4), anchor=anchor))
    is_told = [2 in anchor.replayed(n, 2, seed=0) for n in range(12)]
    assert [m.divergence is not None for m in metrics] == is_told and 0 < sum(is_told) < 5
    weights = [m.replay_weight for m in metrics]
    assert [a != b for a, b in pairwise(weights)] == is_told[:-1]
