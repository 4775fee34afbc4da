"""Texts -> vectors whose cosine tells how near they are in meaning."""

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from burnish.array_cache import kept_array
from burnish.errors import BaseModelError
from burnish.files import read_json
from burnish.model.base import UNREADABLE, fingerprint, quiet_transformers
from burnish.model.device import choose_device
from burnish.model.fetch import Say, find_base_folder

DEFAULT_ENCODER = "all-minilm-l6-v2"
BATCH_TOKENS = 2048
MIN_BATCH, MIN_LENGTH_RATIO = 4, 0.75
"""A text that is shorter than that share of a batch's longest begins a new one, unless the batch is as small."""
MAX_CACHED = 32
"""Sets of embeddings that stay in the cache; the ones that were used longest ago go."""


class Encoder:
    """A sentence encoder: the mean of the last hidden states, scaled to unit length.

    Tokenizer and weights are read when they are first needed: for texts whose vectors are kept, they are not.
    """

    def __init__(self, folder: Path, name: str = ""):
        from transformers import AutoConfig

        quiet_transformers()
        _check_pooling(folder)
        self._folder = folder
        self.name = name or str(folder)
        self.fingerprint = fingerprint(folder)
        self.device = choose_device()
        config = self._load(AutoConfig.from_pretrained)
        own = folder / "sentence_bert_config.json"
        limit = int(config.max_position_embeddings)
        self.max_length = min(limit, int(read_json(own)["max_seq_length"])) if own.is_file() else limit
        self.width = int(config.hidden_size)

    @cached_property
    def model(self) -> Any:
        """The weights, in fp32 on the device, in `eval` mode.

        Raises:
            BaseModelError: they cannot be read.
        """
        from transformers import AutoModel

        model = self._load(AutoModel.from_pretrained, dtype=torch.float32, use_safetensors=True)
        return model.to(self.device).eval()

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return self._load(AutoTokenizer.from_pretrained)

    def _load(self, from_pretrained: Callable[..., Any], **options: Any) -> Any:
        try:
            return from_pretrained(self._folder, **options)
        except UNREADABLE as error:
            reason = str(error).splitlines()[0]
            told = f"{self._folder}: the encoder cannot be read ({reason}). Is the folder complete?"
            raise BaseModelError(told) from error

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """A row of unit length for each text, in the order given, (N, width); of long texts the beginning counts.

        Kept between runs by the hash of the texts and of the encoder.
        """
        digest = hashlib.sha256(self.fingerprint.encode())
        for text in texts:
            digest.update(hashlib.sha256(text.encode(errors="surrogatepass")).digest())
        return kept_array(
            "embeddings",
            digest.hexdigest(),
            lambda: self.embed_with(self.model, texts),
            shape=(len(texts), self.width),
            max_kept=MAX_CACHED,
        )

    @torch.inference_mode()
    def embed_with(self, model: Any, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """As `embed`, but not kept, and by `model`, such as a fine-tuned copy of the encoder's.

        Each different text is read once, in batches of texts of about one length.
        """
        different = list(dict.fromkeys(texts))
        row_of = {text: n for n, text in enumerate(different)}
        ids = self.token_ids(different)
        vectors_ND = np.zeros((len(different), self.width), dtype=np.float32)
        for batch in _batches([len(row) for row in ids]):
            vectors_ND[batch] = self.unit_vectors(model, [ids[n] for n in batch]).float().cpu().numpy()
        return vectors_ND[[row_of[text] for text in texts]]

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, cut at the encoder's length."""
        if not texts:
            return []
        found: list[list[int]] = self._tokenizer(list(texts), truncation=True, max_length=self.max_length)["input_ids"]
        return found

    def unit_vectors(self, model: Any, ids: Sequence[Sequence[int]]) -> torch.Tensor:
        """One batch's rows of unit length, (N, width), on the device; with gradients where `model` has them."""
        length = max(map(len, ids))
        pad = self._tokenizer.pad_token_id or 0
        ids_NT = torch.tensor([[*row, *[pad] * (length - len(row))] for row in ids], device=self.device)
        mask_NT = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in ids], device=self.device)
        hidden_NTD = model(input_ids=ids_NT, attention_mask=mask_NT).last_hidden_state
        mean_ND = (hidden_NTD * mask_NT[..., None]).sum(1) / mask_NT.sum(1, keepdim=True)
        return torch.nn.functional.normalize(mean_ND, dim=-1)


def load_encoder(name: str = DEFAULT_ENCODER, say: Say = lambda _: None) -> Encoder:
    """The encoder of a catalog name, folder or hub id; fetched if need be.

    Raises:
        BaseModelError: it cannot be had or read, or makes its vectors in another way.
    """
    return Encoder(find_base_folder(name, say), name)


def _check_pooling(folder: Path) -> None:
    path = folder / "1_Pooling" / "config.json"
    modes = [key for key, value in read_json(path).items() if value is True] if path.is_file() else []
    if modes and [mode for mode in modes if mode.startswith("pooling_mode")] != ["pooling_mode_mean_tokens"]:
        raise BaseModelError(f"{folder}: the encoder's vectors are not means of tokens. Use e.g. {DEFAULT_ENCODER}.")


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    """The positions, longest first, in batches of at most BATCH_TOKENS with their padding, of which there is little."""
    batches: list[list[int]] = []
    for n in sorted(range(len(lengths)), key=lambda n: -lengths[n]):
        longest, size = (lengths[batches[-1][0]], len(batches[-1])) if batches else (0, 0)
        is_alike = size < MIN_BATCH or lengths[n] >= MIN_LENGTH_RATIO * longest
        if batches and is_alike and longest * (size + 1) <= BATCH_TOKENS:
            batches[-1].append(n)
        else:
            batches.append([n])
    return batches
