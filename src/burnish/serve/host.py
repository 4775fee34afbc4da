"""The models behind the wire: bases are loaded when they are first asked for, and stay."""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from burnish.conversation import Conversation
from burnish.data import Renderer
from burnish.generate.answer import Answer
from burnish.model.base import BaseFiles, context_length, find_base, is_encoder, load_model, load_tokenizer
from burnish.model.device import choose_device, dtype_of
from burnish.model.encoder import Encoder, load_encoder
from burnish.recipe import Precision
from burnish.routing.gate import OnTaskGate, load_gate
from burnish.serve.catalog import Catalog, ServedModel
from burnish.serve.engine.engine import Engine
from burnish.serve.engine.request import AnswersRequests, EngineStats
from burnish.serve.errors import ApiError, not_found
from burnish.serve.jobs.store import Store
from burnish.serve.settings import EngineKind, ServeSettings
from burnish.solution import (
    ClassifierSolution,
    PromptSolution,
    load_classifier_solution,
    precision_here,
    prompt_solution,
    question_of,
    read_solution_card,
)
from burnish.specialist import BASE_ANSWER_TOKENS


@dataclass(frozen=True)
class _Base:
    """A base model's files and words; its weights are the engine's."""

    files: BaseFiles
    tokenizer: Any
    end_ids: frozenset[int]


class Host:
    """Names to models, models to what answers for them."""

    def __init__(self, settings: ServeSettings, store: Store) -> None:
        self._settings = settings
        self._catalog = Catalog(settings.runs, settings.base, store)
        self._bases: dict[str, _Base] = {}
        self._engines: dict[tuple[str, str], AnswersRequests] = {}
        self._solutions: dict[Path, PromptSolution | ClassifierSolution] = {}
        self._gates: dict[str, OnTaskGate | None] = {}
        self._encoder: Encoder | None = None
        self._turn, self._loading = threading.Lock(), threading.RLock()
        """Of files and words, which the event loop may wait for; and of weights, which it must not."""

    def resolve(self, name: str) -> ServedModel:
        """The model of that name or alias.

        Raises:
            ApiError: there is none (404, model_not_found).
        """
        return self._catalog.resolve(name)

    def find(self, name: str) -> ServedModel | None:
        """The model of that name or alias, if there is one."""
        return self._catalog.find(name)

    def models(self) -> list[ServedModel]:
        """All of them, without aliases."""
        return self._catalog.models()

    def delete(self, name: str) -> None:
        """Serve it no longer."""
        self._catalog.delete(name)

    def base_fingerprint(self, model: ServedModel) -> str:
        """The hash of the base's weights, tokenizer and template."""
        return self._base(model.base).files.fingerprint

    def renderer_for(self, model: ServedModel) -> Renderer:
        """Its tokenizer with its chat template."""
        base = self._base(model.base)
        return Renderer(base.tokenizer, base.end_ids, model.thinking, base.files.num_embeddings)

    async def engine_for(self, model: ServedModel) -> AnswersRequests:
        """What answers for it; its base is loaded on first use."""
        return await asyncio.to_thread(self._engine, model)

    async def routed(self, model: ServedModel, conversation: Conversation) -> ServedModel:
        """Who answers: the model, or its untouched base where its gate finds that the question is not of its task."""
        if model.adapter is None or await asyncio.to_thread(self._is_on_task, model, conversation):
            return model
        limit = max(model.max_new_tokens, BASE_ANSWER_TOKENS)
        return replace(
            model, adapter=None, task=None, system="", labels=(), schema=None, calibration=None, max_new_tokens=limit
        )

    async def shown(self, model: ServedModel, conversation: Conversation) -> Conversation:
        """The conversation with the examples that the model's solution shows before it."""
        solution = await asyncio.to_thread(self._solution, model)
        (shown,) = await asyncio.to_thread(solution.shown, [conversation])
        return shown

    async def classify(self, model: ServedModel, conversation: Conversation) -> Answer:
        """The label that a classifier gives."""
        solution = await asyncio.to_thread(self._solution, model)
        (answer,) = await asyncio.to_thread(lambda: solution.answer(solution.shown([conversation]), batch_size=1))
        return answer

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """A vector of unit length for each text."""
        vectors = await asyncio.to_thread(lambda: self._load_encoder().embed(texts))
        return [[float(value) for value in row] for row in vectors]

    def count_embedding_tokens(self, texts: Sequence[str]) -> int:
        """Tokens that `embed` reads of all of them."""
        return sum(map(len, self._load_encoder().token_ids(texts)))

    @property
    def embedding_dimension(self) -> int:
        """Numbers of such a vector."""
        return int(self._load_encoder().embed(["a"]).shape[1])

    def stats(self) -> Mapping[str, EngineStats]:
        """What each loaded base's engine does."""
        return {f"{name} ({precision})": engine.stats() for (name, precision), engine in list(self._engines.items())}

    def close(self) -> None:
        """Finish what runs, refuse what waits."""
        for engine in self._engines.values():
            engine.close()

    def _base(self, name: str) -> _Base:
        with self._turn:
            if name not in self._bases:
                if is_encoder(name):
                    raise ApiError(f"{name} makes embeddings; it writes no text. Ask /v1/embeddings.", param="model")
                files = find_base(name)
                self._bases[name] = _Base(files, *load_tokenizer(files))
            return self._bases[name]

    def _engine(self, model: ServedModel) -> AnswersRequests:
        if model.adapter is not None and not model.adapter.folder.is_dir():
            told = (
                f"The model `{model.id}` has lost its adapter, which was removed with its run folder. Delete the model."
            )
            raise not_found(told, param="model", code="model_not_found")
        with self._loading:
            files = self._base(model.base).files
            if model.base_fingerprint not in (None, files.fingerprint):
                raise ApiError(f"{model.id}: its base model {model.base} is another one by now.", param="model")
            precision = self._precision(model, files)
            if (model.base, precision) not in self._engines:
                start = _start_vllm if self._settings.engine is EngineKind.VLLM else _start_own
                self._engines[model.base, precision] = start(files, self.renderer_for(model), precision, self._settings)
            return self._engines[model.base, precision]

    def _precision(self, model: ServedModel, files: BaseFiles) -> str:
        """As the model was tested, where it can be; on a GPU vLLM multiplies with adapters in half precision only."""
        if self._settings.engine is EngineKind.VLLM and choose_device().type != "cpu":
            return Precision.BF16
        return precision_here(model.precision, files)

    def _is_on_task(self, model: ServedModel, conversation: Conversation) -> bool:
        assert model.adapter is not None
        with self._loading:
            if model.adapter.name not in self._gates:
                self._gates[model.adapter.name] = load_gate(model.adapter.folder)
            gate = self._gates[model.adapter.name]
        return gate is None or gate.is_on_task([question_of(conversation)])[0]

    def _solution(self, model: ServedModel) -> PromptSolution | ClassifierSolution:
        assert model.solution is not None
        with self._loading:
            if model.solution not in self._solutions:
                card = read_solution_card(model.solution)
                self._solutions[model.solution] = (
                    load_classifier_solution(model.solution)
                    if model.is_classifier
                    else prompt_solution(
                        model.solution,
                        card,
                        None,
                        self.renderer_for(model),
                        context_length(self._base(model.base).files) - card.max_new_tokens,
                    )
                )
            return self._solutions[model.solution]

    def _load_encoder(self) -> Encoder:
        with self._loading:
            self._encoder = self._encoder or load_encoder()
            return self._encoder


def _start_own(files: BaseFiles, renderer: Renderer, precision: str, settings: ServeSettings) -> AnswersRequests:
    return Engine(
        load_model(files, dtype=dtype_of(precision), device=choose_device()),
        renderer,
        max_length=context_length(files),
        max_batch=settings.max_batch,
        max_waiting=settings.max_waiting,
        adapter_bytes=settings.adapter_bytes,
        prefix_bytes=settings.prefix_bytes,
    )


def _start_vllm(files: BaseFiles, renderer: Renderer, precision: str, settings: ServeSettings) -> AnswersRequests:
    from burnish.serve.vllm_engine.client import VllmClient
    from burnish.serve.vllm_engine.engine import VllmEngine

    async def start() -> VllmClient:
        client = VllmClient(
            files.folder,
            dtype="bfloat16" if precision == Precision.BF16 else "float32",
            max_length=context_length(files),
            max_batch=settings.max_batch,
            settings=settings.vllm,
        )
        return await client.start()

    return VllmEngine(start, renderer, max_batch=settings.max_batch, max_waiting=settings.max_waiting)
