"""The routes of graders."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import StrictStr

from burnish.serve.errors import ApiError
from burnish.serve.fields import Shape, check_names
from burnish.serve.jobs.asked import json_body, parse
from burnish.serve.jobs.graders.run import Grade, run_grader
from burnish.serve.jobs.graders.shapes import Grader, parse_grader
from burnish.serve.jobs.graders.templates import Sample
from burnish.serve.settings import ServeSettings

ERRORS = (
    "formula_parse_error",
    "invalid_variable_error",
    "model_grader_parse_error",
    "model_grader_refusal_error",
    "model_grader_server_error",
    "other_error",
    "python_grader_runtime_error",
    "python_grader_server_error",
    "sample_parse_error",
    "truncated_observation_error",
    "unresponsive_reward_error",
)
DETAILS = (
    "model_grader_server_error_details",
    "python_grader_runtime_error_details",
    "python_grader_server_error_type",
)


class RunGrader(Shape):
    """The body of `run`."""

    grader: object
    model_sample: StrictStr
    item: dict[str, Any] | None = None


def build_router(settings: ServeSettings) -> APIRouter:
    """`/fine_tuning/alpha/graders`, without the prefix `/v1`."""
    router = APIRouter(prefix="/fine_tuning/alpha/graders")
    body_of = Depends(json_body(settings.max_body_bytes))

    @router.post("/run")
    def run(body: Annotated[dict[str, Any], body_of]) -> dict[str, Any]:
        """Grade one answer."""
        grader, asked = parse_grader(_grader_in(body)), parse(RunGrader, body)
        start = time.perf_counter()
        grade = run_grader(grader, Sample(asked.model_sample, asked.item or {}))
        return _to_dict(grader, grade, time.perf_counter() - start)

    @router.post("/validate")
    def validate(body: Annotated[dict[str, Any], body_of]) -> dict[str, Any]:
        """Whether a grader could run."""
        check_names(body, ("grader",))
        parse_grader(_grader_in(body))
        return {"grader": body["grader"]}

    return router


def _grader_in(body: dict[str, Any]) -> Any:
    if "grader" not in body:
        raise ApiError("'grader' is missing.", param="grader")
    return body["grader"]


def _to_dict(grader: Grader, grade: Grade, elapsed_s: float) -> dict[str, Any]:
    return {
        "reward": grade.reward,
        "sub_rewards": grade.sub_rewards,
        "model_grader_token_usage_per_model": {},
        "metadata": {
            "name": grader.name,
            "type": grader.type,
            "execution_time": elapsed_s,
            "scores": grade.scores,
            "token_usage": None,
            "sampled_model_name": None,
            "errors": {name: name in grade.errors for name in ERRORS} | dict.fromkeys(DETAILS),
        },
    }
