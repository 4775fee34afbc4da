"""An encoder learns to put texts beside their label: a prototype of each label, compared by cosine.

N rows, B rows of a batch, T tokens, D numbers of an embedding, L labels.
"""

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from burnish.classify.calibration import FloatArray, IntArray, log_softmax_rows
from burnish.model.device import seeded
from burnish.model.encoder import Encoder

BATCH_SIZE = 32
BATCH_TOKENS = 4096
"""A batch of long texts has fewer rows, and an epoch of them is a little less than all."""
LEARNING_RATE = 1e-4
PROTOTYPE_LEARNING_RATE = 1e-3
MIN_STEPS = 20
STEPS_PER_ROOT = 7.0
"""Steps grow with the root of the number of rows: 8 epochs of 770 rows, 2.2 of 10,000."""
WEIGHT_DECAY = 0.01
WARMUP_SHARE = 0.1
MAX_GRAD_NORM = 1.0
DROPOUT = 0.2
DIVERGENCE_WEIGHT = 0.5
COSINE_SCALE = 20.0
"""The inverse temperature of the softmax over cosines."""

Float32Array = npt.NDArray[np.float32]
Tell = Callable[[float], None]


@dataclass(frozen=True, eq=False)
class TunedEncoder:
    """A copy of the encoder's model after learning, and the prototypes of the labels, (L, D), of unit length."""

    model: Any
    prototypes_LD: Float32Array

    def log_probabilities(self, encoder: Encoder, texts: Sequence[str]) -> FloatArray:
        """(N, L)."""
        return log_softmax_rows(COSINE_SCALE * encoder.embed_with(self.model, texts) @ self.prototypes_LD.T)

    def changes(self, encoder: Encoder) -> dict[str, Float32Array]:
        """The tensors, by name, that learning has changed."""
        before = encoder.model.state_dict()
        after = {name: tensor for name, tensor in self.model.state_dict().items() if not tensor.equal(before[name])}
        return {name: tensor.cpu().numpy() for name, tensor in after.items()}


def tuned_encoder_of(
    encoder: Encoder, changes: Mapping[str, Float32Array], prototypes_LD: Float32Array
) -> TunedEncoder:
    """The inverse of `TunedEncoder.changes`.

    Raises:
        KeyError, RuntimeError: the tensors are not of this encoder.
    """
    model = copy.deepcopy(encoder.model)
    tensors = {name: torch.from_numpy(tensor) for name, tensor in changes.items()}
    if strange := model.load_state_dict(tensors, strict=False).unexpected_keys:
        raise KeyError(strange[0])
    return TunedEncoder(model, prototypes_LD)


def fine_tune(
    encoder: Encoder,
    texts: Sequence[str],
    labels_N: IntArray,
    prototypes_LD: Float32Array,
    *,
    seed: int,
    epochs: int | None = None,
    budget_s: float = math.inf,
    tell: Tell = lambda _: None,
) -> TunedEncoder:
    """Train a copy of the encoder, all layers but the word embeddings, and the prototypes by cross-entropy.

    The learning rate follows the share of the steps or of the budget that is gone, whichever is more, so that it has
    come to 0 when either ends; where the steps end first, the result depends on the seed alone. `tell` hears that
    share. Without `epochs` the steps grow with the root of the number of rows.
    """
    model = copy.deepcopy(encoder.model).train()
    model.get_input_embeddings().requires_grad_(False)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = DROPOUT
    prototypes = torch.tensor(prototypes_LD, device=encoder.device, requires_grad=True)
    optimizer = _optimizer(model, prototypes)
    ids = encoder.token_ids(texts)
    batches = _batches([len(row) for row in ids], seed)
    num_steps = _count_steps(len(texts), epochs)
    with seeded(seed, encoder.device):
        for gone in _shares_gone(num_steps, budget_s):
            tell(gone)
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * min(1.0, (gone + 1 / num_steps) / WARMUP_SHARE) * (1 - gone)
            batch = next(batches)
            vectors_2BD = encoder.unit_vectors(model, [ids[n] for n in batch * 2])
            loss = _loss(vectors_2BD, prototypes, torch.tensor(labels_N[batch], device=encoder.device))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], MAX_GRAD_NORM)
            optimizer.step()
    tell(1.0)
    units_LD = functional.normalize(prototypes.detach(), dim=-1).cpu().numpy()
    return TunedEncoder(model.eval().requires_grad_(False), units_LD)


def _optimizer(model: Any, prototypes: Tensor) -> torch.optim.Optimizer:
    layers = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(
        [
            {"params": layers, "peak": LEARNING_RATE, "weight_decay": WEIGHT_DECAY},
            {"params": [prototypes], "peak": PROTOTYPE_LEARNING_RATE, "weight_decay": 0.0},
        ],
        fused=True,
    )


def _count_steps(num_rows: int, epochs: int | None) -> int:
    if not num_rows:
        return 0
    wanted = STEPS_PER_ROOT * math.sqrt(num_rows) if epochs is None else epochs * num_rows / BATCH_SIZE
    return max(MIN_STEPS, round(wanted))


def _shares_gone(num_steps: int, budget_s: float) -> Iterator[float]:
    """For each step the share, below 1, of the steps or of the budget that is gone by then."""
    end = time.monotonic() + budget_s
    for step in range(num_steps):
        left = (end - time.monotonic()) / budget_s if 0 < budget_s < math.inf else float(budget_s > 0)
        if left <= 0:
            return
        yield max(step / num_steps, 1 - left)


def _loss(vectors_2BD: Tensor, prototypes_LD: Tensor, labels_B: Tensor) -> Tensor:
    """Cross-entropy of two readings of each row, and the symmetric divergence of what they say.

    R-Drop (Liang et al. 2021, arXiv 2106.14448): the readings differ by dropout alone.
    """
    cosines_2BL = vectors_2BD @ functional.normalize(prototypes_LD, dim=-1).T
    logs_2BL = functional.log_softmax(COSINE_SCALE * cosines_2BL, dim=-1)
    one_BL, two_BL = logs_2BL.chunk(2)
    divergence_B = ((one_BL.exp() - two_BL.exp()) * (one_BL - two_BL)).sum(-1)
    return functional.nll_loss(logs_2BL, labels_B.repeat(2)) + DIVERGENCE_WEIGHT * divergence_B.mean()


def _batches(lengths: Sequence[int], seed: int) -> Iterator[list[int]]:
    """Positions without end, each epoch in another order; texts of about one length together, to pad little."""
    chance = np.random.default_rng(seed)
    while True:
        batches: list[list[int]] = [[]]
        for n in sorted(chance.permutation(len(lengths)).tolist(), key=lambda n: lengths[n]):
            if len(batches[-1]) == BATCH_SIZE or (len(batches[-1]) + 1) * lengths[n] > BATCH_TOKENS:
                batches.append([])
            batches[-1].append(n)
        yield from (batches[n] for n in chance.permutation(len(batches)) if batches[n])
