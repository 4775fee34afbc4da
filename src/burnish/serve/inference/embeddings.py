"""`POST /embeddings`."""

import base64
from typing import Any

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from burnish.model.base import is_encoder
from burnish.serve.errors import ApiError
from burnish.serve.inference.backend import Backend
from burnish.serve.inference.shapes import EmbeddingRequest

MAX_TEXTS = 2048


def build_router(backend: Backend) -> APIRouter:
    """`POST /embeddings`, by the encoder of the server."""
    router = APIRouter(tags=["inference"])

    @router.post("/embeddings", response_model=None)
    async def create_embedding(body: EmbeddingRequest) -> Response:
        """A vector of unit length for each text."""
        model = backend.resolve(body.model)
        if model.task is not None or not is_encoder(model.base):
            raise ApiError(f"{model.id} makes no embeddings. See /v1/models for an encoder.", param="model")
        texts = _texts(body)
        if body.dimensions is not None and body.dimensions > backend.embedding_dimension:
            raise ApiError(
                f"dimensions: {model.id} has {backend.embedding_dimension}. Ask for at most as many.",
                param="dimensions",
            )
        vectors_ND = _cut(np.asarray(await backend.embed(texts), dtype=np.float32), body.dimensions)
        num_tokens = backend.count_embedding_tokens(texts)
        return JSONResponse(
            {
                "object": "list",
                "model": model.id,
                "data": [_item(i, vector_D, body.encoding_format) for i, vector_D in enumerate(vectors_ND)],
                "usage": {"prompt_tokens": num_tokens, "total_tokens": num_tokens},
            }
        )

    return router


def _texts(body: EmbeddingRequest) -> list[str]:
    """The texts.

    Raises:
        ApiError: there are none, too many, an empty one, or ids of another model's tokens.
    """
    texts = [body.input] if isinstance(body.input, str) else body.input
    if not texts or len(texts) > MAX_TEXTS:
        raise ApiError(f"input: {len(texts)} texts. Send 1 to {MAX_TEXTS}.", param="input")
    found = [text for text in texts if isinstance(text, str)]
    if len(found) < len(texts):
        raise ApiError(
            "input: these are token ids, which mean other words to this model. Send texts "
            "(in LangChain: check_embedding_ctx_length=False).",
            param="input",
        )
    if not all(found):
        raise ApiError(f"input[{found.index('')}]: the text is empty. Take it out.", param="input")
    return found


def _cut(vectors_ND: npt.NDArray[np.float32], dimensions: int | None) -> npt.NDArray[np.float32]:
    """The first `dimensions` numbers of each, of unit length again."""
    if dimensions is None:
        return vectors_ND
    cut_ND = vectors_ND[:, :dimensions]
    lengths_N1 = np.linalg.norm(cut_ND, axis=1, keepdims=True)
    return np.asarray(cut_ND / np.where(lengths_N1 > 0, lengths_N1, 1), dtype=np.float32)


def _item(index: int, vector_D: npt.NDArray[np.float32], encoding: str | None) -> dict[str, Any]:
    """Floats unless base64 is asked for, as OpenAI's clients do themselves."""
    if encoding == "base64":
        packed = base64.b64encode(vector_D.astype("<f4").tobytes()).decode()
        return {"object": "embedding", "index": index, "embedding": packed}
    return {"object": "embedding", "index": index, "embedding": vector_D.tolist()}
