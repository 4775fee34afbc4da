"""What the wire needs of the models behind it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from burnish.conversation import Conversation
from burnish.data import Renderer
from burnish.generate.answer import Answer
from burnish.serve.catalog import ServedModel
from burnish.serve.engine.request import AnswersRequests, EngineStats


class Backend(Protocol):
    """Names to models, models to what answers for them."""

    def resolve(self, name: str) -> ServedModel:
        """The model of that name or alias.

        Raises:
            ApiError: there is none (404, model_not_found).
        """

    def models(self) -> list[ServedModel]:
        """All of them, without aliases."""

    def delete(self, name: str) -> None:
        """Serve it no longer. It is one that was trained here: the wire refuses all others."""

    def base_fingerprint(self, model: ServedModel) -> str:
        """The hash of the base's weights, tokenizer and template."""

    async def engine_for(self, model: ServedModel) -> AnswersRequests:
        """What answers for it; its base is loaded on first use."""

    def renderer_for(self, model: ServedModel) -> Renderer:
        """Its tokenizer with its chat template."""

    async def routed(self, model: ServedModel, conversation: Conversation) -> ServedModel:
        """Who answers: the model, or its untouched base where its gate finds that the question is not of its task."""

    async def shown(self, model: ServedModel, conversation: Conversation) -> Conversation:
        """The conversation with the examples that the model's `solution` shows before it."""

    async def classify(self, model: ServedModel, conversation: Conversation) -> Answer:
        """The label that a model which `is_classifier` gives."""

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """A vector of unit length for each text."""

    def count_embedding_tokens(self, texts: Sequence[str]) -> int:
        """Tokens that `embed` reads of all of them."""

    @property
    def embedding_dimension(self) -> int:
        """Numbers of such a vector."""

    def stats(self) -> Mapping[str, EngineStats]:
        """What each loaded base's engine does, by name of the base; for the metrics."""
