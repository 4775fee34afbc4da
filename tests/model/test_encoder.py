"""The encoder: means over tokens, alike however texts are batched, and kept between runs."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from burnish.cache import cache_dir
from burnish.errors import BaseModelError
from burnish.model import encoder as encoder_module
from burnish.model.encoder import Encoder, load_encoder
from tests.tiny import save_encoder

WORDS = ["red", "green", "blue", "lamp", "box", "is", "lost"]
TEXTS = ["red lamp is lost", "box", "green green green box is lost lost lost", "", "box", "blue " * 100]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BURNISH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_encoder(tmp_path / "encoder", WORDS)


def test_batched_is_one_at_a_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Encoder(folder)
    alone_ND = np.concatenate([encoder.embed([text]) for text in TEXTS])
    for batch_tokens in (1, 12, 2048):
        monkeypatch.setattr(encoder_module, "BATCH_TOKENS", batch_tokens)
        vectors_ND = encoder.embed_with(encoder.model, TEXTS)
        assert vectors_ND.dtype == np.float32 and vectors_ND.shape == (6, 32)
        np.testing.assert_allclose(vectors_ND, alone_ND, atol=1e-6)
        assert (vectors_ND[1] == vectors_ND[4]).all()
    np.testing.assert_allclose(np.linalg.norm(alone_ND, axis=1), 1.0, atol=1e-6)


def test_the_mean_of_the_last_hidden_states(folder: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    inputs = AutoTokenizer.from_pretrained(folder)("red lamp is lost", return_tensors="pt")
    with torch.no_grad():
        mean_D = AutoModel.from_pretrained(folder).eval()(**inputs).last_hidden_state[0].mean(0)
    found_D = load_encoder(str(folder)).embed(["red lamp is lost"])[0]
    np.testing.assert_allclose(found_D, (mean_D / mean_D.norm()).numpy(), atol=1e-6)


def test_the_beginning_of_a_long_text_counts(folder: Path) -> None:
    encoder = Encoder(folder)
    assert encoder.max_length == 20
    long_ND = encoder.embed(["blue " * 18 + "lost", "blue " * 18 + "box", "blue " * 17 + "box"])
    assert (long_ND[0] == long_ND[1]).all() and not np.allclose(long_ND[0], long_ND[2])


def test_kept_between_runs_and_made_again_where_damaged(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Encoder(folder)
    first_ND = encoder.embed(TEXTS)
    made = encoder.embed_with
    monkeypatch.setattr(encoder, "embed_with", lambda model, texts: pytest.fail("made again"))
    assert (encoder.embed(TEXTS) == first_ND).all()
    monkeypatch.setattr(encoder, "embed_with", made)
    for path in (cache_dir() / "embeddings").rglob("*.npy"):
        path.write_bytes(path.read_bytes()[:50])
    assert (encoder.embed(TEXTS) == first_ND).all()


def test_neither_weights_nor_tokenizer_are_read_for_texts_that_are_kept(folder: Path) -> None:
    first_ND = Encoder(folder).embed(TEXTS)
    again = Encoder(folder)
    assert (again.embed(TEXTS) == first_ND).all()
    assert not {"model", "_tokenizer"} & set(vars(again))


def test_weights_that_cannot_be_read_are_told_when_they_are_needed(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(BaseModelError, match=r"the encoder cannot be read .*Is the folder complete\?"):
        Encoder(folder).embed(TEXTS)


def test_no_text(folder: Path) -> None:
    assert Encoder(folder).embed([]).shape == (0, 32)


def test_another_pooling_is_refused(folder: Path) -> None:
    (folder / "1_Pooling").mkdir()
    config = folder / "1_Pooling" / "config.json"
    config.write_text(json.dumps({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}))
    Encoder(folder)
    config.write_text(json.dumps({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}))
    with pytest.raises(BaseModelError, match=r"the encoder's vectors are not means of tokens\. Use e\.g\. all-minilm"):
        Encoder(folder)
