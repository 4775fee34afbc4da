"""The bodies that clients send about jobs, with every limit."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, StrictFloat, StrictInt, StrictStr

from burnish.serve.errors import ApiError
from burnish.serve.fields import Shape
from burnish.serve.jobs.asked import parse

Auto = Literal["auto"]
SUFFIX = r"^[A-Za-z0-9_-]{1,64}$"


class MethodType(StrEnum):
    """How a job trains."""

    SUPERVISED = "supervised"
    DPO = "dpo"
    REINFORCEMENT = "reinforcement"


class Hyperparameters(Shape):
    """Those of supervised training."""

    batch_size: Auto | Annotated[StrictInt, Field(ge=1, le=256)] = "auto"
    learning_rate_multiplier: (
        Auto | Annotated[StrictInt, Field(gt=0)] | Annotated[StrictFloat, Field(gt=0, allow_inf_nan=False)]
    ) = "auto"
    n_epochs: Auto | Annotated[StrictInt, Field(ge=1, le=50)] = "auto"


class Method(Shape):
    """Only the part that `type` names is heard."""

    type: MethodType = MethodType.SUPERVISED
    supervised: dict[str, Any] | None = None
    dpo: Any = None
    reinforcement: Any = None


class Supervised(Shape):
    """`method.supervised`."""

    hyperparameters: Hyperparameters | None = None


class WandbProject(Shape):
    """Where a run would be told."""

    project: StrictStr
    name: StrictStr | None = None
    entity: StrictStr | None = None
    tags: list[StrictStr] | None = None


class Integration(Shape):
    """Kept and told back."""

    type: Literal["wandb"]
    wandb: WandbProject


class CreateJob(Shape):
    """The body of `POST /fine_tuning/jobs`."""

    model: Annotated[StrictStr, Field(min_length=1)]
    training_file: Annotated[StrictStr, Field(min_length=1)]
    validation_file: StrictStr | None = None
    suffix: Annotated[StrictStr, Field(pattern=SUFFIX)] | None = None
    seed: Annotated[StrictInt, Field(ge=0, le=2**31 - 1)] | None = None
    hyperparameters: Hyperparameters | None = None
    method: Method | None = None
    integrations: Annotated[list[Integration], Field(max_length=5)] | None = None
    metadata: (
        Annotated[
            dict[Annotated[StrictStr, Field(max_length=64)], Annotated[StrictStr, Field(max_length=512)]],
            Field(max_length=16),
        ]
        | None
    ) = None


def parse_job(body: dict[str, Any]) -> tuple[CreateJob, Hyperparameters]:
    """The body, and the hyperparameters that count: those of the method before those beside it.

    Raises:
        ApiError: something is missing, of a wrong kind or out of its limits, or burnish does not train so.
    """
    asked = parse(CreateJob, body)
    method = asked.method or Method()
    if method.type is not MethodType.SUPERVISED:
        raise ApiError(
            f"burnish does not train by the method {method.type.value} yet. Leave out 'method', or set its type to "
            "supervised.",
            param="method.type",
        )
    own = parse(Supervised, method.supervised or {}, "method.supervised.").hyperparameters
    return asked, own or asked.hyperparameters or Hyperparameters()
