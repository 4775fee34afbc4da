"""What a run recommends, ready to answer: what `burnish.load` gives."""

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.conversation import Conversation, Message, Role, Task, build_conversation
from burnish.errors import AdapterError, RunError
from burnish.evaluate.arms import Arm
from burnish.evaluate.metrics.fields import find_object
from burnish.files import read_json
from burnish.model.adapter import adapter_off, read_card
from burnish.run_dir import RunDir
from burnish.solution import PromptSolution, Solution, SolutionCard, load_solution, solution_of

BATCH_SIZE = 16


@dataclass(frozen=True)
class Specialist:
    """A solution of the task, whether prompts, a classifier or the base with its adapter, and its instruction."""

    solution: Solution

    @property
    def card(self) -> SolutionCard:
        """Which arm of the run it is, its task, its labels or fields."""
        return self.solution.card

    def generate(self, messages: Sequence[Message] | Sequence[dict[str, str]], *, use_adapter: bool = True) -> str:
        """The answer to a conversation, greedily decoded; a system message is added where there is none."""
        conversation = self._with_system(tuple(_as_message(message) for message in messages))
        return self._answers([conversation], use_adapter=use_adapter)[0]

    def classify(self, texts: Iterable[str]) -> list[str]:
        """The most likely label of each text.

        Raises:
            AdapterError: the specialist is not a classifier.
        """
        self._check_task(Task.CLASSIFICATION)
        return self._answers([self._ask(text) for text in texts])

    def extract(self, texts: Iterable[str]) -> list[dict[str, Any] | None]:
        """The fields of each text; None where the answer holds no JSON object.

        Raises:
            AdapterError: the specialist does not extract.
        """
        self._check_task(Task.EXTRACTION)
        return [find_object(answer) for answer in self._answers([self._ask(text) for text in texts])]

    def _answers(self, prompts: list[Conversation], *, use_adapter: bool = True) -> list[str]:
        solution = self.solution
        with nullcontext() if use_adapter or not isinstance(solution, PromptSolution) else adapter_off(solution.model):
            answers = solution.answer(solution.shown(prompts), batch_size=BATCH_SIZE)
        return [answer.text for answer in answers]

    def _ask(self, text: str) -> Conversation:
        return build_conversation(self.card.system, (Role.USER, text.strip()))

    def _with_system(self, messages: Conversation) -> Conversation:
        if not self.card.system or (messages and messages[0].role is Role.SYSTEM):
            return messages
        return (Message(Role.SYSTEM, self.card.system), *messages)

    def _check_task(self, task: Task) -> None:
        if self.card.task != task:
            raise AdapterError(f"this specialist was trained for {self.card.task}, not for {task}. Use `generate`.")


def load_specialist(adapter: Path) -> Specialist:
    """The specialist in an adapter folder, on its own base model, in fp32.

    Raises:
        AdapterError: no adapter of burnish, or its base has changed.
    """
    return Specialist(solution_of(read_card(adapter), adapter))


def load_arm(run_dir: RunDir, arm: str | None = None) -> Specialist:
    """An arm of a finished run; the one that its verdict recommends, if it recommends one, unless `arm` names another.

    Raises:
        RunError: the run has no such arm.
    """
    if arm is None:
        evaluation = read_json(run_dir.evaluation) if run_dir.evaluation.is_file() else {}
        arm = evaluation.get("verdict", {}).get("recommended_arm") or evaluation.get("candidate")
    if arm is None or (arm == Arm.SPECIALIST and not run_dir.solution(arm).is_dir()):
        return load_specialist(run_dir.adapter)
    if not run_dir.solution(arm).is_dir():
        there = ", ".join(sorted(path.name for path in run_dir.solution(arm).parent.glob("*"))) or "none"
        raise RunError(f"{run_dir.path}: no arm {arm!r}. There are: {there}.")
    return Specialist(load_solution(run_dir.solution(arm), run_dir.adapter))


def _as_message(value: Message | dict[str, str]) -> Message:
    return value if isinstance(value, Message) else Message(Role(value["role"]), value["content"])
