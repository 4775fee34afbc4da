"""A base whose files are damaged is told with its folder and a remedy."""

from pathlib import Path

import pytest
import torch

from burnish.errors import BaseModelError
from burnish.model.base import find_base, load_model, load_tokenizer
from tests.tiny import save_base

CPU = torch.device("cpu")


def test_weights_that_are_cut_off(tmp_path: Path) -> None:
    folder = save_base(tmp_path / "base")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(BaseModelError, match=r"base: the model cannot be read \(.*\)\. Is the folder complete\?"):
        load_model(find_base(str(folder)), dtype=torch.float32, device=CPU)


def test_weights_that_are_no_weights(tmp_path: Path) -> None:
    folder = save_base(tmp_path / "base")
    (folder / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(BaseModelError, match="base: the model cannot be read"):
        load_model(find_base(str(folder)), dtype=torch.float32, device=CPU)


def test_a_tokenizer_that_is_none(tmp_path: Path) -> None:
    folder = save_base(tmp_path / "base")
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(BaseModelError, match="base: the tokenizer cannot be read"):
        load_tokenizer(find_base(str(folder)))
