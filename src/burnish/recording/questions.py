"""The prompts of a recipe's data, each once: what an arm of its run would be asked."""

from collections.abc import Sequence
from dataclasses import dataclass

from burnish.conversation import Conversation
from burnish.data import Example, refuse_errors
from burnish.errors import DataError
from burnish.examination import examine
from burnish.preparation import divided_of
from burnish.recipe import LoadedRecipe
from burnish.recorded import hash_prompt
from burnish.screen import Screen, SilentScreen


@dataclass(frozen=True)
class Question:
    """A prompt, and the example that it is of: the first of those that ask the same."""

    id: str
    prompt: Conversation
    tools: tuple[str, ...]
    """The JSON texts of the functions that may be called."""
    target: str
    """The answer that is wanted."""

    @property
    def sha256(self) -> str:
        return hash_prompt(self.prompt, self.tools)


def read_questions(loaded: LoadedRecipe, screen: Screen | None = None, *, test_only: bool = False) -> list[Question]:
    """The questions of all files of a recipe, or those of the test rows that a run of it would have.

    Raises:
        DataError: rows that cannot be used, or texts that ask nothing.
    """
    examined = examine(loaded, screen or SilentScreen(), judges_labels=False)
    refuse_errors(examined.findings)
    if test_only:
        return _ask_once(divided_of(examined).split.test)
    return _ask_once([example for part in examined.examples.values() for example in part])


def _ask_once(examples: Sequence[Example]) -> list[Question]:
    questions = dict[str, Question]()
    for example in examples:
        if not example.prompt:
            raise DataError(f"{example.id}: a text that answers nothing, so there is nothing to ask.")
        question = Question(example.id, example.prompt, example.tools, example.target)
        questions.setdefault(question.sha256, question)
    return list(questions.values())
