"""What a run recommends, ready to answer: what `burnish.load` gives."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from burnish.conversation import Conversation, Message, Role, Task, build_conversation
from burnish.errors import AdapterError, RunError
from burnish.evaluate.arms import ADAPTED, Arm
from burnish.evaluate.metrics.fields import find_object
from burnish.files import read_json
from burnish.generate.answer import Answer, answer_prompts
from burnish.model.adapter import adapter_off, read_card
from burnish.routing import OnTaskGate, load_gate
from burnish.run_dir import RunDir
from burnish.solution import PromptSolution, Solution, SolutionCard, load_solution, question_of, solution_of

BATCH_SIZE = 16
BASE_ANSWER_TOKENS = 256
"""Of the base's answer to a prompt that is not of the task, at most; the specialist's may be a label."""


@dataclass(frozen=True)
class Specialist:
    """A solution of the task, whether prompts, a classifier or the base with its adapter, and its instruction."""

    solution: Solution
    gate: OnTaskGate | None = None
    """What sends prompts that are not of the task to the untouched base."""

    @property
    def card(self) -> SolutionCard:
        """Which arm of the run it is, its task, its labels or fields."""
        return self.solution.card

    def is_on_task(self, texts: Sequence[str]) -> list[bool]:
        """For each question whether the specialist answers it; all of them where it has no gate."""
        return self.gate.is_on_task(texts) if self.gate else [True] * len(texts)

    def generate(self, messages: Sequence[Message] | Sequence[dict[str, str]], *, use_adapter: bool = True) -> str:
        """The answer to a conversation, greedily decoded; a system message is added where there is none.

        What the gate finds not to be of the task the base answers, with nothing added, as if there were no adapter.
        """
        conversation = tuple(_as_message(message) for message in messages)
        if use_adapter and not self.is_on_task([question_of(conversation)])[0]:
            return self._base_answer(conversation)
        return self._answers([self._with_system(conversation)], use_adapter=use_adapter)[0].text

    def answer(self, texts: Iterable[str]) -> list[Answer]:
        """The answer to each text, and, of a label or an extracted object, how likely it is right.

        What the gate finds not to be of the task the base answers, with the same instruction and no confidence.
        """
        return self._routed([self._ask(text) for text in texts])

    def classify(self, texts: Iterable[str]) -> list[str]:
        """The most likely label of each text; to the base, where the gate finds that it is not of the task.

        Raises:
            AdapterError: the specialist is not a classifier.
        """
        self._check_task(Task.CLASSIFICATION)
        return [answer.text for answer in self.answer(texts)]

    def extract(self, texts: Iterable[str]) -> list[dict[str, Any] | None]:
        """The fields of each text; None where the answer holds no JSON object.

        What the gate finds not to be of the task the base answers, with the same instruction.

        Raises:
            AdapterError: the specialist does not extract.
        """
        self._check_task(Task.EXTRACTION)
        return [find_object(answer.text) for answer in self.answer(texts)]

    def _routed(self, prompts: list[Conversation]) -> list[Answer]:
        """The specialist's answers to prompts of the task, the base's to others."""
        is_own = self.is_on_task([question_of(prompt) for prompt in prompts])
        answers = {
            by: iter(self._answers([p for p, own in zip(prompts, is_own, strict=True) if own is by], use_adapter=by))
            for by in set(is_own)
        }
        return [next(answers[own]) for own in is_own]

    def _base_answer(self, conversation: Conversation) -> str:
        """Text of the base, whatever the specialist's task is."""
        solution = self.solution
        assert isinstance(solution, PromptSolution), "only an adapter has a gate"
        with adapter_off(solution.model):
            (answer,) = answer_prompts(
                solution.model,
                solution.renderer,
                [conversation],
                labels=(),
                max_new_tokens=max(solution.card.max_new_tokens, BASE_ANSWER_TOKENS),
                batch_size=1,
            )
        return answer.text

    def _answers(self, prompts: list[Conversation], *, use_adapter: bool = True) -> list[Answer]:
        solution = self.solution
        if use_adapter or not isinstance(solution, PromptSolution):
            return solution.answer(solution.shown(prompts), batch_size=BATCH_SIZE)
        with adapter_off(solution.model):
            answers = solution.answer(solution.shown(prompts), batch_size=BATCH_SIZE)
        return [replace(answer, confidence=None, is_calibrated=False) for answer in answers]

    def _ask(self, text: str) -> Conversation:
        return build_conversation(self.card.system, (Role.USER, text.strip()))

    def _with_system(self, messages: Conversation) -> Conversation:
        if not self.card.system or (messages and messages[0].role is Role.SYSTEM):
            return messages
        return (Message(Role.SYSTEM, self.card.system), *messages)

    def _check_task(self, task: Task) -> None:
        if self.card.task != task:
            raise AdapterError(f"this specialist was trained for {self.card.task}, not for {task}. Use `generate`.")


def load_specialist(adapter: Path, *, use_gate: bool = True) -> Specialist:
    """The specialist in an adapter folder, on its own base model, in fp32, with its gate if it has one.

    Raises:
        AdapterError: no adapter of burnish, or its base or encoder has changed.
    """
    return Specialist(solution_of(read_card(adapter), adapter), load_gate(adapter) if use_gate else None)


def load_arm(run_dir: RunDir, arm: str | None = None, *, use_gate: bool = True) -> Specialist:
    """An arm of a finished run; the one that its verdict recommends, if it recommends one, unless `arm` names another.

    Raises:
        RunError: the run has no such arm.
    """
    if arm is None:
        evaluation = read_json(run_dir.evaluation) if run_dir.evaluation.is_file() else {}
        arm = evaluation.get("verdict", {}).get("recommended_arm") or evaluation.get("candidate")
    if arm is None or (arm == Arm.SPECIALIST and not run_dir.solution(arm).is_dir()):
        return load_specialist(run_dir.adapter, use_gate=use_gate)
    if not run_dir.solution(arm).is_dir():
        there = ", ".join(sorted(path.name for path in run_dir.solution(arm).parent.glob("*"))) or "none"
        raise RunError(f"{run_dir.path}: no arm {arm!r}. There are: {there}.")
    gate = load_gate(run_dir.adapter) if use_gate and arm in ADAPTED else None
    return Specialist(load_solution(run_dir.solution(arm), run_dir.adapter), gate)


def _as_message(value: Message | dict[str, str]) -> Message:
    return value if isinstance(value, Message) else Message(Role(value["role"]), value["content"])
