"""The tiny model behind the wire: every kind of model that is served, answered by the plain engine."""

import asyncio
import hashlib
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import uvicorn
from starlette.types import ASGIApp

from burnish.conversation import Conversation, Role, Task, build_conversation
from burnish.data import Renderer
from burnish.generate.answer import Answer, answer_prompts
from burnish.model.encoder import Encoder
from burnish.serve.catalog import ServedModel
from burnish.serve.engine.request import AdapterRef, EngineStats
from burnish.serve.errors import not_found
from burnish.serve.settings import ServeSettings
from burnish.solution import with_confidence
from tests.serve.engine.plain_engine import PlainEngine
from tests.tiny import adapt, build_model, build_tokenizer, save_encoder

LABELS = ("refund", "delivery", "other")
SCHEMA = {
    "type": "object",
    "properties": {"category": {"enum": ["a", "b"]}, "urgent": {"type": "boolean"}},
    "required": ["category", "urgent"],
    "additionalProperties": False,
}
CHAT, LABELLER, EXTRACTOR, SOLVER = (f"ft:tiny:acme:{name}:abc12345" for name in ("chat", "labels", "fields", "solver"))
END = 256
CALL = '<tool_call>\n{"name": "look_up", "arguments": {"city": "Rome"}}\n</tool_call>'


class PlainBackend:
    """One tiny base, specialists of each kind on it, and a tiny encoder."""

    def __init__(self, folder: Path, *, model: Any = None, max_waiting: int = 64) -> None:
        self.model = model or build_model()
        self.renderer = Renderer(build_tokenizer(), frozenset({END}))
        self.engine = PlainEngine(self.model, self.renderer, max_length=512, max_waiting=max_waiting)
        self.encoder_folder = save_encoder(folder / "encoder", ["red", "green", "blue", "sea"])
        self.encoder = Encoder(self.encoder_folder)
        adapter = AdapterRef("shop", save_tiny_adapter(folder / "adapter"))
        base = ServedModel(id="tiny", created=1, owned_by="burnish", base="tiny", max_new_tokens=24)
        trained = replace(base, owned_by="organization", adapter=adapter)
        self._models = [
            base,
            replace(base, id="tiny-encoder", base=str(self.encoder_folder)),
            replace(trained, id=CHAT, created=2, task=Task.CHAT, system="Be brief.", max_new_tokens=12),
            replace(trained, id=LABELLER, created=3, task=Task.CLASSIFICATION, labels=LABELS),
            replace(trained, id=EXTRACTOR, created=4, task=Task.EXTRACTION, schema=SCHEMA, max_new_tokens=60),
            replace(trained, id=SOLVER, created=5, task=Task.CLASSIFICATION, is_classifier=True, adapter=None),
        ]

    def resolve(self, name: str) -> ServedModel:
        if name == "broken":
            raise RuntimeError("a secret of the server")
        for model in self._models:
            if name in (model.id, "org/" + model.id):
                return model
        message = f"The model `{name}` does not exist or you do not have access to it."
        raise not_found(message, param="model", code="model_not_found")

    def models(self) -> list[ServedModel]:
        return list(self._models)

    def delete(self, name: str) -> None:
        self._models = [model for model in self._models if model.id != name]

    def base_fingerprint(self, model: ServedModel) -> str:
        return f"weights of {model.base}"

    async def engine_for(self, model: ServedModel) -> PlainEngine:
        return self.engine

    def renderer_for(self, model: ServedModel) -> Renderer:
        return self.renderer

    async def routed(self, model: ServedModel, conversation: Conversation) -> ServedModel:
        return model

    async def shown(self, model: ServedModel, conversation: Conversation) -> Conversation:
        return conversation

    async def classify(self, model: ServedModel, conversation: Conversation) -> Answer:
        """Labels by the base alone, as the zero-shot arm of a run."""
        (answer,) = await asyncio.to_thread(
            answer_prompts,
            self.model,
            self.renderer,
            [conversation],
            labels=LABELS,
            max_new_tokens=1,
            batch_size=1,
        )
        return with_confidence(answer, model.task, None)

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        vectors: list[list[float]] = self.encoder.embed_with(self.encoder.model, texts).tolist()
        return vectors

    def count_embedding_tokens(self, texts: Sequence[str]) -> int:
        return sum(map(len, self.encoder.token_ids(texts)))

    @property
    def embedding_dimension(self) -> int:
        return self.encoder.width

    def stats(self) -> Mapping[str, EngineStats]:
        return {"tiny": self.engine.stats()}


def save_tiny_adapter(folder: Path) -> Path:
    """An adapter that changes every answer of the tiny model, as peft writes it."""
    adapt(build_model()).save_pretrained(str(folder))
    return folder


def teach(answer: str, question: str, *, tools: Sequence[str] = ()) -> Any:
    """The tiny model, taught one answer by heart."""
    renderer = Renderer(build_tokenizer(), frozenset({END}))
    prompt = renderer.prompt_ids(build_conversation(None, (Role.USER, question)), tools)
    ids = torch.tensor([[*prompt, *renderer.ids(answer), END]])
    model = build_model(dtype=torch.float32).requires_grad_(True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(400):
        logits = model(input_ids=ids).logits[0, len(prompt) - 1 : -1]
        loss = torch.nn.functional.cross_entropy(logits, ids[0, len(prompt) :])
        if loss < 0.01:
            break
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert loss < 0.01
    return model.requires_grad_(False)


def settings(folder: Path, *, api_key: str | None = None, **changes: Any) -> ServeSettings:
    """Of a server on this machine."""
    key_hash = hashlib.sha256(api_key.encode()).hexdigest() if api_key else None
    return ServeSettings(runs=folder, api_key_sha256=key_hash, **changes)


@contextmanager
def live(app: ASGIApp) -> Iterator[str]:
    """The app behind uvicorn on a free port, and its address with /v1."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="on"))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        finally:
            server.should_exit = True
            thread.join()
