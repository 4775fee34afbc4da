"""The frozen base in parts: each rank keeps its share of every layer, and has a layer whole only while it computes it.

For a base that does not fit on one device. The adapter stays whole on every rank, and so do embeddings and head. Each
pass collects the layers from all ranks, so all make the same passes in the same order: in training each rank makes as
many as the one with the most (`batches_for`); while the first rank works alone, in `lead`, the others `follow` it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from burnish.errors import BaseModelError
from burnish.model.adapter import base_of
from burnish.model.loss import find_frozen_head
from burnish.train.pack import idle_batch
from burnish.train.ranks import Ranks, Value


def shard_base(model: Any, device: torch.device, ranks: Ranks) -> None:
    """Keep on `device` this rank's share of the layers, and the rest of `model`; it comes whole, without an adapter.

    Raises:
        BaseModelError: its layers are not where all of transformers' models have them.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard  # takes a second to import

    decoder = base_of(model).get_decoder()
    layers = [layer for part in decoder.children() if isinstance(part, nn.ModuleList) for layer in part]
    if not layers:
        raise BaseModelError(
            f"{type(decoder).__name__}: no list of layers to divide among the ranks. Set train.shard_base=false."
        )
    mesh = init_device_mesh(device.type, (ranks.count,))
    for layer in layers:
        fully_shard(layer, mesh=mesh)
    # Embeddings and head are one matrix in many models, and the loss reads it outside of any forward pass (see
    # read_head), where it would not be whole. The decoder is wrapped only to be the root of its layers.
    shared = {id(parameter) for layer in layers for parameter in layer.parameters()}
    fully_shard(decoder, mesh=mesh, ignored_params={p for p in model.parameters() if id(p) not in shared})
    model.to(device)
    find_frozen_head(model, idle_batch(device, is_packed=False))  # it tries some passes: now, when all ranks do


@contextmanager
def lead(model: Any, ranks: Ranks) -> Iterator[None]:
    """Within the block the first rank uses the model alone; the others `follow` it."""
    if not ranks.shards_base:
        yield
        return

    def call_others(*_: Any) -> None:
        ranks.agree(True)

    handle = base_of(model).get_decoder().register_forward_pre_hook(call_others)
    yield
    handle.remove()
    ranks.agree(False)


@torch.no_grad()
def follow(model: Any, ranks: Ranks) -> None:
    """Pass through the layers whenever the first rank does, until it leaves `lead`."""
    decoder = base_of(model).get_decoder()
    idle = idle_batch(model.device, is_packed=False)
    while ranks.shards_base and ranks.agree(False):
        decoder(**idle.inputs)


def on_first_rank(work: Callable[[], Value], model: Any, ranks: Ranks) -> Value:
    """What `work` makes with the model on the first rank, while the others `follow`; on every rank alike."""
    made = list[Value]()
    if ranks.is_first:
        with lead(model, ranks):
            made.append(work())
    else:
        follow(model, ranks)
    return ranks.agree(made)[0]
