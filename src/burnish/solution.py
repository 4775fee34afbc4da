"""Solutions: the arms, ready to answer; the same for the test, for `burnish.load` and for what is served."""

import functools
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from burnish.classify import TextClassifier, load_classifier
from burnish.conversation import Conversation, Message, Role, Task
from burnish.data import Example, Renderer, example_from_dict
from burnish.errors import BaseModelError, RunError
from burnish.evaluate.arms import ADAPTED, CLASSIFIERS, Arm, with_shots
from burnish.evaluate.calibration import CALIBRATION_NAME, Calibration, confidence_of, load_calibration
from burnish.evaluate.retrieval import Retriever
from burnish.files import new_folder, read_json, read_jsonl, write_json, write_jsonl
from burnish.generate.answer import Answer, answer_prompts
from burnish.model.adapter import CARD_NAME as ADAPTER_CARD_NAME
from burnish.model.adapter import CONFIG_NAME, WEIGHTS_NAME, AdapterCard, read_card
from burnish.model.encoder import Encoder
from burnish.model.fetch import Say
from burnish.recipe import MIN_BF16_SPEEDUP, Precision

if TYPE_CHECKING:
    import torch

    from burnish.model.base import BaseFiles

CARD_NAME, SHOTS_NAME, ADAPTER_NAME = "solution.json", "shots.jsonl", "adapter"
OnDone = Callable[[int], None]
JUDGED_TASKS = frozenset({Task.CLASSIFICATION, Task.EXTRACTION})
"""Whose answers are right or wrong as a whole."""


@dataclass(frozen=True, kw_only=True)
class SolutionCard:
    """What a solution needs to answer besides weights."""

    arm: Arm
    task: Task
    base_model: str
    base_fingerprint: str
    system: str = ""
    labels: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    max_new_tokens: int = 1
    thinking: bool = False
    precision: str = Precision.FP32
    """Of the base when it was tested."""
    num_retrieved: int = 0
    """Rows that are looked up for each question."""
    schema: Mapping[str, Any] | None = None
    """What answers must fit: nothing else can be written."""


class Solution(Protocol):
    """A way to do the task."""

    @property
    def card(self) -> SolutionCard:
        """What it is."""

    def shown(self, prompts: Sequence[Conversation]) -> list[Conversation]:
        """What the model is given for each prompt."""

    def answer(
        self,
        prompts: Sequence[Conversation],
        *,
        tools: Sequence[Sequence[str]] = (),
        batch_size: int,
        on_done: OnDone = lambda count: None,
    ) -> list[Answer]:
        """One answer, in order, to each prompt that `shown` gave."""

    def save(self, folder: Path) -> None:
        """Write the folder that `load_solution` reads; the run's adapter lies in a folder of its own."""


@dataclass(frozen=True, eq=False)
class PromptSolution:
    """A language model, as it is or with an adapter, and what is put before the question."""

    model: Any
    renderer: Renderer
    card: SolutionCard
    shots: tuple[Example, ...] = ()
    """The same before every question; with a retriever the rows that it looks through."""
    retriever: Retriever | None = None
    max_prompt_tokens: int = 2048
    calibration: Calibration | None = None
    """What turns the model's own probability of an answer into how likely it is right."""

    def shown(self, prompts: Sequence[Conversation]) -> list[Conversation]:
        """The prompts behind the shots."""
        if self.retriever is None:
            return [with_shots(prompt, self.shots) for prompt in prompts]
        found = self.retriever.shots(
            prompts,
            num_shots=self.card.num_retrieved,
            count_tokens=lambda prompt: len(self.renderer.prompt_ids(prompt)),
            limit=self.max_prompt_tokens,
        )
        return [with_shots(prompt, shots) for prompt, shots in zip(prompts, found, strict=True)]

    def answer(
        self,
        prompts: Sequence[Conversation],
        *,
        tools: Sequence[Sequence[str]] = (),
        batch_size: int,
        on_done: OnDone = lambda count: None,
    ) -> list[Answer]:
        """By the model: the most likely label, or text, decoded greedily."""
        answers = answer_prompts(
            self.model,
            self.renderer,
            prompts,
            labels=self.card.labels,
            max_new_tokens=self.card.max_new_tokens,
            batch_size=batch_size,
            tools=tools,
            schema=self.card.schema,
            on_done=on_done,
        )
        return [with_confidence(answer, self.card.task, self.calibration) for answer in answers]

    def save(self, folder: Path) -> None:
        """The card, and the shots or the rows to look through."""
        with new_folder(folder) as draft:
            _write_card(draft, self.card)
            write_jsonl(draft / SHOTS_NAME, [shot.to_dict() for shot in self.shots])


@dataclass(frozen=True, eq=False)
class ClassifierSolution:
    """A classifier that writes no text."""

    classifier: TextClassifier
    card: SolutionCard

    def shown(self, prompts: Sequence[Conversation]) -> list[Conversation]:
        """The question alone: it needs no instruction."""
        return [tuple(message for message in prompt if message.role is not Role.SYSTEM) for prompt in prompts]

    def answer(
        self,
        prompts: Sequence[Conversation],
        *,
        tools: Sequence[Sequence[str]] = (),
        batch_size: int,
        on_done: OnDone = lambda count: None,
    ) -> list[Answer]:
        """The most probable label of each."""
        answers: list[Answer] = []
        asked = [question_of(prompt) for prompt in prompts]
        for start in range(0, len(asked), batch_size):
            began = time.perf_counter()
            texts = asked[start : start + batch_size]
            probabilities_NL = self.classifier.probabilities(texts)
            latency = time.perf_counter() - began
            for text, row_L in zip(texts, probabilities_NL, strict=True):
                best = int(row_L.argmax())
                tokens = len(self.classifier.encoder.token_ids([text])[0])
                sure = float(row_L[best])
                answers.append(
                    Answer(self.card.labels[best], True, latency, tokens, confidence=sure, is_calibrated=True)
                )
            on_done(len(texts))
        return answers

    def save(self, folder: Path) -> None:
        """The classifier's own folder, with the card in it."""
        self.classifier.save(folder)
        _write_card(folder, self.card)


def with_confidence(answer: Answer, task: Task | None, calibration: Calibration | None) -> Answer:
    """The answer of a language model with how likely it is right, where the task has right and wrong answers."""
    if task not in JUDGED_TASKS or answer.probability is None:
        return answer
    found = confidence_of(answer.probability, calibration)
    return replace(answer, confidence=found.value, is_calibrated=found.is_calibrated)


def save_previous(folder: Path, adapter: Path) -> None:
    """Write the folder of an adapter that was made before, with a copy of it."""
    with new_folder(folder) as draft:
        _write_card(draft, card_of_adapter(read_card(adapter), Arm.PREVIOUS))
        write_jsonl(draft / SHOTS_NAME, [])
        (draft / ADAPTER_NAME).mkdir()
        has_calibration = (adapter / CALIBRATION_NAME).is_file()
        names = [ADAPTER_CARD_NAME, CONFIG_NAME, WEIGHTS_NAME, *([CALIBRATION_NAME] * has_calibration)]
        for name in names:
            shutil.copyfile(adapter / name, draft / ADAPTER_NAME / name)


def load_solution(folder: Path, adapter: Path, *, dtype: "torch.dtype | None" = None) -> Solution:
    """The solution in `folder`, on its own base model; `adapter` is that of its run.

    Without `dtype` the base is in bf16 if it was so when it was tested, and is fast so on this device; else in fp32.

    Raises:
        RunError: the folder is damaged, or the base model is another one by now.
    """
    card = read_solution_card(folder)
    if card.arm in CLASSIFIERS:
        return load_classifier_solution(folder)
    own = folder / ADAPTER_NAME if card.arm is Arm.PREVIOUS else adapter if card.arm in ADAPTED else None
    model, renderer, limit = _load_model(card, own, dtype)
    calibration = load_calibration(own) if own else None
    return replace(prompt_solution(folder, card, model, renderer, limit), calibration=calibration)


def prompt_solution(
    folder: Path, card: SolutionCard, model: Any, renderer: Renderer, max_prompt_tokens: int
) -> PromptSolution:
    """The solution in `folder` on a model that is there; without one it shows prompts but answers none."""
    shots = tuple(example_from_dict(row) for row in read_jsonl(folder / SHOTS_NAME))
    retriever = Retriever(shots, encoder_if_there()) if card.num_retrieved else None
    return PromptSolution(model, renderer, card, shots, retriever, max_prompt_tokens)


def load_classifier_solution(folder: Path) -> ClassifierSolution:
    """The classifier in `folder`.

    Raises:
        RunError, ClassifierError: the folder is damaged.
    """
    return ClassifierSolution(load_classifier(folder), read_solution_card(folder))


def solution_of(card: AdapterCard, adapter: Path) -> Solution:
    """The solution that an adapter alone tells of.

    Raises:
        AdapterError: its base has changed.
    """
    known = card_of_adapter(card, Arm.SPECIALIST)
    model, renderer, limit = _load_model(known, adapter)
    return PromptSolution(model, renderer, known, max_prompt_tokens=limit, calibration=load_calibration(adapter))


def card_of_adapter(card: AdapterCard, arm: Arm) -> SolutionCard:
    """What an adapter alone tells of the solution that it is."""
    return SolutionCard(
        arm=arm,
        task=Task(card.task),
        base_model=card.base_model,
        base_fingerprint=card.base_fingerprint,
        system=card.system,
        labels=card.labels,
        fields=card.fields,
        max_new_tokens=card.max_new_tokens,
        thinking=card.thinking,
        precision=card.precision,
    )


def _load_model(
    card: SolutionCard, adapter: Path | None, dtype: "torch.dtype | None" = None
) -> tuple[Any, Renderer, int]:
    """The base with the adapter, if there is one; its renderer; the longest prompt."""
    from burnish.model.adapter import load_adapter
    from burnish.model.base import context_length, find_base, load_model, load_tokenizer
    from burnish.model.device import choose_device, dtype_of

    base = find_base(card.base_model)
    if adapter is None and base.fingerprint != card.base_fingerprint:
        raise RunError(f"{card.base_model}: not the base model that this solution was measured with. Run it again.")
    renderer = Renderer(*load_tokenizer(base), thinking=card.thinking, num_embeddings=base.num_embeddings)
    model = load_model(base, dtype=dtype or dtype_of(precision_here(card.precision, base)), device=choose_device())
    limit = context_length(base) - card.max_new_tokens
    return (load_adapter(model, adapter, base) if adapter else model), renderer, limit


def precision_here(tested: str | None, base: "BaseFiles") -> Precision:
    """The number format that a model was tested in, but never a bf16 that is slow on this machine."""
    from burnish.model.base import width

    return Precision.BF16 if tested != Precision.FP32 and _is_bf16_fast(width(base)) else Precision.FP32


@functools.cache  # probed once, so that a process never has one base in both formats
def _is_bf16_fast(width: int) -> bool:
    from burnish.model.device import choose_device, measure_bf16_speedup

    return measure_bf16_speedup(choose_device(), width) >= MIN_BF16_SPEEDUP


def question_of(prompt: Conversation) -> str:
    """What is asked, without the instruction, as `Example.asked` has it."""
    return Example("", (*prompt, Message(Role.ASSISTANT, ""))).asked


def encoder_if_there(say: Say = lambda _: None) -> Encoder | None:
    """The encoder by whose vectors rows are looked up; None where it cannot be had, since words alone serve, too."""
    from burnish.model.encoder import load_encoder

    try:
        return load_encoder(say=say)
    except BaseModelError as error:
        say(f"note: similar rows are found by their words alone ({error})")
        return None


def _write_card(folder: Path, card: SolutionCard) -> None:
    values = {**asdict(card), "arm": card.arm.value, "task": card.task.value}
    write_json(folder / CARD_NAME, values)


def read_solution_card(folder: Path) -> SolutionCard:
    """What the solution in `folder` needs besides weights.

    Raises:
        RunError: the folder holds none, or is damaged.
    """
    try:
        values = read_json(folder / CARD_NAME)
        named = {"arm": Arm(values["arm"]), "task": Task(values["task"])}
        return SolutionCard(**{**values, **named, "labels": tuple(values["labels"]), "fields": tuple(values["fields"])})
    except (OSError, ValueError, TypeError, KeyError):
        raise RunError(f"{folder}: no solution made by burnish ({CARD_NAME} is missing or damaged).") from None
