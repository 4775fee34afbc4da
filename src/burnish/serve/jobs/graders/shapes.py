"""The kinds of graders, each with what it must have."""

from typing import Annotated, Any, Literal

from pydantic import Field, StrictStr, TypeAdapter, ValidationError, model_validator

from burnish.serve.errors import UNKNOWN_PARAMETER, ApiError, first_problem, unknown_parameter
from burnish.serve.fields import Shape

SimilarityMetric = Literal[
    "cosine", "fuzzy_match", "bleu", "gleu", "meteor",
    "rouge_1", "rouge_2", "rouge_3", "rouge_4", "rouge_5", "rouge_l",
]  # fmt: skip
Name = Annotated[StrictStr, Field(min_length=1)]


class StringCheck(Shape):
    """1 where the input has the relation to the reference, else 0."""

    type: Literal["string_check"]
    name: Name
    input: StrictStr
    reference: StrictStr
    operation: Literal["eq", "ne", "like", "ilike"]


class TextSimilarity(Shape):
    """How alike the input and the reference are, from 0 to 1."""

    type: Literal["text_similarity"]
    name: Name
    input: StrictStr
    reference: StrictStr
    evaluation_metric: SimilarityMetric


class Python(Shape):
    """A function of the client's own."""

    type: Literal["python"]
    name: Name
    source: StrictStr
    image_tag: StrictStr | None = None


class ScoreModel(Shape):
    """A model that gives a number."""

    type: Literal["score_model"]
    name: Name
    model: StrictStr
    input: Annotated[list[dict[str, Any]], Field(min_length=1)]
    range: tuple[float, float] | None = None
    sampling_params: dict[str, Any] | None = None


class LabelModel(Shape):
    """A model that chooses a label."""

    type: Literal["label_model"]
    name: Name
    model: StrictStr
    input: Annotated[list[dict[str, Any]], Field(min_length=1)]
    labels: Annotated[list[StrictStr], Field(min_length=1)]
    passing_labels: Annotated[list[StrictStr], Field(min_length=1)]


Single = Annotated[
    StringCheck | TextSimilarity | Python | ScoreModel | LabelModel,
    Field(discriminator="type"),
]


class Multi(Shape):
    """Several graders, whose scores a formula joins."""

    type: Literal["multi"]
    name: Name
    graders: Annotated[dict[Name, Single], Field(min_length=1)]
    """By the name that the formula calls them."""
    calculate_output: StrictStr

    @model_validator(mode="before")
    @classmethod
    def _name_graders(cls, values: Any) -> Any:
        """Clients send a mapping, a list, or, as their types have it, a single grader."""
        graders = values.get("graders") if isinstance(values, dict) else None
        if isinstance(graders, dict) and isinstance(graders.get("type"), str):
            graders = [graders]
        if not isinstance(graders, list):
            return values
        names = [each.get("name") if isinstance(each, dict) else None for each in graders]
        if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
            raise ValueError("the graders of a list need names, each its own")
        return {**values, "graders": dict(zip(names, graders, strict=True))}


Grader = StringCheck | TextSimilarity | Python | ScoreModel | LabelModel | Multi
_ADAPTER: TypeAdapter[Grader] = TypeAdapter(Annotated[Grader, Field(discriminator="type")])


def parse_grader(value: Any) -> Grader:
    """A grader in its shape.

    Raises:
        ApiError: tells the first thing that is wrong, with its place in `param`.
    """
    try:
        return _ADAPTER.validate_python(value)
    except ValidationError as error:
        problem = first_problem(error.errors())
        place = [str(part) for part in problem["loc"] if part not in _KINDS]
        param = ".".join(["grader", *place])
        if problem["type"] == UNKNOWN_PARAMETER:
            raise unknown_parameter(param, problem["msg"]) from None
        raise ApiError(f"'{param}' is not accepted: {problem['msg'].lower()}.", param=param) from None


_KINDS = ("string_check", "text_similarity", "python", "score_model", "label_model", "multi")
