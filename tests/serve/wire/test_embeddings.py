"""Embeddings: the encoder's vectors, in either encoding."""

import base64
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from openai import OpenAI

from tests.serve.wire.plain_backend import PlainBackend


def test_the_real_client_gets_the_encoder_s_vectors(openai: OpenAI, backend: PlainBackend) -> None:
    texts = ["red sea", "blue", "red sea green"]
    reply = openai.embeddings.create(model="tiny-encoder", input=texts)
    wanted_ND = backend.encoder.embed_with(backend.encoder.model, texts)
    assert np.allclose([item.embedding for item in reply.data], wanted_ND, atol=1e-7)
    assert [item.index for item in reply.data] == [0, 1, 2]
    assert reply.usage.prompt_tokens == sum(map(len, backend.encoder.token_ids(texts))) > 6


def test_floats_unless_base64_is_asked_for(client: TestClient) -> None:
    def embedding(**more: Any) -> Any:
        body = {"model": "tiny-encoder", "input": "red", **more}
        return client.post("/v1/embeddings", json=body).json()["data"][0]["embedding"]

    floats = embedding()
    assert isinstance(floats, list) and len(floats) == 32 and all(isinstance(number, float) for number in floats)
    assert floats == embedding(encoding_format="float") == embedding(encoding_format=None)
    assert np.frombuffer(base64.b64decode(embedding(encoding_format="base64")), "<f4").tolist() == floats


def test_fewer_dimensions_are_of_unit_length_again(openai: OpenAI) -> None:
    whole = openai.embeddings.create(model="tiny-encoder", input="red").data[0].embedding
    cut = openai.embeddings.create(model="tiny-encoder", input="red", dimensions=5).data[0].embedding
    assert len(cut) == 5 and np.linalg.norm(cut) == pytest.approx(1)
    assert np.allclose(np.array(whole[:5]) / np.linalg.norm(whole[:5]), cut, atol=1e-6)


@pytest.mark.parametrize(
    ("body", "param", "said"),
    [
        ({"input": [1, 2]}, "input", "token ids"),
        ({"input": [[1, 2]]}, "input", "token ids"),
        ({"input": []}, "input", "0 texts"),
        ({"input": ["red", ""]}, "input", "input[1]: the text is empty"),
        ({"dimensions": 33}, "dimensions", "has 32"),
        ({"model": "tiny"}, "model", "makes no embeddings"),
    ],
)
def test_what_cannot_be_embedded_is_refused(client: TestClient, body: Any, param: str, said: str) -> None:
    reply = client.post("/v1/embeddings", json={"model": "tiny-encoder", "input": "red", **body})
    error = reply.json()["error"]
    assert (reply.status_code, error["param"]) == (400, param) and said in error["message"]
