"""The requests as clients send them. What is unknown or out of bounds is refused with its place.

Fields of type `Any` are of the wire, or come back from a client's history, and no answer here depends on them.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from burnish.serve.fields import Shape
from burnish.serve.json_values import check_json_value

Temperature = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]
Penalty = Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)]
Bias = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
TokenId = Annotated[int, Field(ge=0, strict=True)]
Label = Annotated[str, Field(min_length=1)]
UNHEARD = ("audio", "moderation", "reasoning_effort", "verbosity", "web_search_options")
Stop = Annotated[
    list[str], Field(max_length=4), BeforeValidator(lambda value: [value] if isinstance(value, str) else value)
]


class Body(Shape):
    """What every request may have: who asks, and how it is kept and billed elsewhere."""

    metadata: Any = None
    prompt_cache_key: Any = None
    prompt_cache_options: Any = None
    prompt_cache_retention: Any = None
    safety_identifier: Any = None
    service_tier: Any = None
    store: Any = None
    user: Any = None

    @model_validator(mode="before")
    @classmethod
    def _can_be_carried(cls, value: Any) -> Any:
        check_json_value(value)
        return value


class FunctionShape(Shape):
    """A function that the model may call."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    """Whether a finished call fits `parameters`."""


class ToolShape(Shape):
    """A tool; only functions are known."""

    type: Literal["function"]
    function: FunctionShape
    cache_control: Any = None


class NameShape(Shape):
    """A function by name."""

    name: str


class CalledShape(Shape):
    """What an assistant wanted called."""

    name: str
    arguments: str = "{}"
    parsed_arguments: Any = None


class CallShape(Shape):
    """A tool call of an earlier answer."""

    id: str = ""
    type: Literal["function"] = "function"
    function: CalledShape
    index: Any = None


class PartShape(Shape):
    """A part of a message's content; texts only: the others are refused by their type."""

    type: str
    text: str | None = None
    refusal: str | None = None
    cache_control: Any = None
    prompt_cache_breakpoint: Any = None
    audio_url: Any = None
    file: Any = None
    image_url: Any = None
    input_audio: Any = None
    video_url: Any = None


class MessageShape(Shape):
    """One turn of a conversation."""

    role: Literal["developer", "system", "user", "assistant", "tool", "function"]
    content: str | list[PartShape] | None = None
    name: str | None = None
    tool_calls: list[CallShape] | None = None
    function_call: CalledShape | None = None
    tool_call_id: str | None = None
    annotations: Any = None
    audio: Any = None
    cache_control: Any = None
    created_at: Any = None
    id: Any = None
    parsed: Any = None
    reasoning: Any = None
    reasoning_content: Any = None
    reasoning_details: Any = None
    refusal: Any = None
    timestamp: Any = None
    weight: Any = None


class StreamOptions(Shape):
    """What a stream tells besides the answer."""

    include_usage: bool = False
    include_obfuscation: Any = None


class JsonSchemaShape(Shape):
    """A schema that the answer must fit."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    schema_: Annotated[dict[str, Any], Field(alias="schema")] = Field(default_factory=dict)
    description: Any = None
    strict: bool | None = None


class ResponseFormat(Shape):
    """The form of the answer."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaShape | None = None

    @model_validator(mode="after")
    def _has_its_schema(self) -> "ResponseFormat":
        if self.type == "json_schema" and self.json_schema is None:
            raise ValueError("json_schema is missing beside type json_schema")
        return self


class Sampled(Body):
    """What chat and completions have in common."""

    model: str
    temperature: Temperature | None = None
    top_p: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    top_k: Annotated[int, Field(ge=-1)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    max_tokens: Count | None = None
    stop: Stop | None = None
    seed: int | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: dict[str, Bias] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    @property
    def includes_usage(self) -> bool:
        """Whether a stream ends with what it cost."""
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def stops(self) -> tuple[str, ...]:
        """The texts that end an answer."""
        return tuple(stop for stop in self.stop or () if stop)


class ChatRequest(Sampled):
    """The body of `POST /chat/completions`."""

    messages: Annotated[list[MessageShape], Field(min_length=1)]
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    max_completion_tokens: Count | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    response_format: ResponseFormat | None = None
    tools: list[ToolShape] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    functions: list[FunctionShape] | None = None
    function_call: str | NameShape | None = None
    guided_choice: Annotated[list[Label], Field(min_length=1, max_length=1024)] | None = None
    modalities: list[Literal["text"]] | None = None
    prediction: Any = None
    audio: Any = None
    moderation: Any = None
    reasoning_effort: Any = None
    verbosity: Any = None
    web_search_options: Any = None

    @property
    def unheard(self) -> tuple[str, ...]:
        """The fields of OpenAI's API that would change the answer there, and do nothing here."""
        return tuple(name for name in UNHEARD if getattr(self, name) is not None)


class CompletionRequest(Sampled):
    """The body of `POST /completions`."""

    prompt: str | list[str] | list[TokenId] | list[list[TokenId]]
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    best_of: Annotated[int, Field(ge=0, le=20)] | None = None
    echo: bool | None = None
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    suffix: str | None = None


class EmbeddingRequest(Body):
    """The body of `POST /embeddings`."""

    model: str
    input: str | list[str] | list[int] | list[list[int]]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(ge=1)] | None = None
