"""A grader and an answer -> the reward. What goes wrong in the grading is told beside the reward, as OpenAI does."""

from dataclasses import dataclass, field

from burnish.serve.errors import ApiError
from burnish.serve.jobs.graders.formula import FormulaError, UnknownName, evaluate_formula
from burnish.serve.jobs.graders.shapes import Grader, Multi, StringCheck, TextSimilarity
from burnish.serve.jobs.graders.similarity import similarity
from burnish.serve.jobs.graders.templates import NotJson, Sample, UnknownPlace

MAX_SIMILARITY_CHARACTERS = 50_000
_WHY_NOT = {
    "python": "it would run code of the client's own on this server",
    "score_model": "no model judges here yet",
    "label_model": "no model judges here yet",
}


@dataclass
class Grade:
    """The reward, with what it is made of."""

    reward: float = 0.0
    scores: dict[str, float] = field(default_factory=dict)
    """By the names of the graders."""
    sub_rewards: dict[str, float] = field(default_factory=dict)
    errors: set[str] = field(default_factory=set)


def run_grader(grader: Grader, sample: Sample) -> Grade:
    """Grade an answer; 0 where that cannot be done.

    Raises:
        ApiError: burnish does not run graders of this kind.
    """
    grade = Grade()
    try:
        if isinstance(grader, Multi):
            grade.sub_rewards = {name: _score(each, sample) for name, each in grader.graders.items()}
            grade.scores = dict(grade.sub_rewards)
            grade.reward = evaluate_formula(grader.calculate_output, grade.sub_rewards)
        else:
            grade.reward = _score(grader, sample)
        grade.scores[grader.name] = grade.reward
    except (UnknownPlace, UnknownName):
        grade.errors.add("invalid_variable_error")
    except NotJson:
        grade.errors.add("sample_parse_error")
    except FormulaError:
        grade.errors.add("formula_parse_error")
    return grade


def _score(grader: Grader, sample: Sample) -> float:
    if isinstance(grader, StringCheck):
        return float(_is_so(grader.operation, sample.fill(grader.input), sample.fill(grader.reference)))
    if isinstance(grader, TextSimilarity):
        text, reference = sample.fill(grader.input), sample.fill(grader.reference)
        if max(len(text), len(reference)) > MAX_SIMILARITY_CHARACTERS:
            raise ApiError(f"Texts of more than {MAX_SIMILARITY_CHARACTERS:,} characters are not compared.")
        return similarity(grader.evaluation_metric, text, reference)
    raise ApiError(f"A {grader.type} grader is not run: {_WHY_NOT[grader.type]}.", param="grader.type")


def _is_so(operation: str, text: str, reference: str) -> bool:
    if operation == "like":
        return reference in text
    if operation == "ilike":
        return reference.casefold() in text.casefold()
    return (text == reference) == (operation == "eq")
