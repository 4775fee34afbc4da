"""Names of models to what answers for them: base models, runs, fine-tuned models, checkpoints, aliases."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from os.path import isfile
from pathlib import Path
from typing import Any

from burnish.conversation import Task
from burnish.errors import BurnishError
from burnish.evaluate.arms import ADAPTED, CLASSIFIERS, Arm
from burnish.evaluate.calibration import Calibration, load_calibration
from burnish.files import read_json
from burnish.model.adapter import read_card
from burnish.model.encoder import DEFAULT_ENCODER
from burnish.run_dir import RunDir, list_run_dirs
from burnish.serve.engine.request import AdapterRef
from burnish.serve.errors import ApiError, not_found
from burnish.serve.jobs.models import TrainedModel, delete_model, find_model, follow_aliases, list_models
from burnish.serve.jobs.store import Store
from burnish.solution import ADAPTER_NAME, SolutionCard, card_of_adapter, read_solution_card

OWN, TRAINED = "burnish", "organization"


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """One name of `/v1/models`."""

    id: str
    created: int
    owned_by: str
    """`OWN` for base models, `TRAINED` for what was trained here."""
    base: str
    """The base model as a recipe names it."""
    base_fingerprint: str | None = None
    """Of the base that it was trained on."""
    precision: str | None = None
    """Of the base when it was tested; None: the one that is fast here."""
    adapter: AdapterRef | None = None
    task: Task | None = None
    """What it was trained for; None for a base model."""
    system: str = ""
    """Put first where a conversation brings no system message."""
    labels: tuple[str, ...] = ()
    """Where there are any, answers are one of them."""
    schema: Mapping[str, Any] | None = None
    """Where there is one, answers are JSON that fits it."""
    calibration: Calibration | None = None
    """What turns its own probability of an answer into how likely that is right."""
    max_new_tokens: int = 512
    thinking: bool = False
    solution: Path | None = None
    """Of a run that answers otherwise than by the adapter alone: its examples to show, or its classifier."""
    is_classifier: bool = False
    """Whether the solution answers by itself, without a language model."""


class Catalog:
    """What is served from the run folders and the database: read anew each time, so that nothing needs a restart."""

    def __init__(self, runs: Path, base: str, store: Store) -> None:
        self._runs, self._base, self._store = runs, base, store

    def resolve(self, name: str) -> ServedModel:
        """The model of that name or alias.

        Raises:
            ApiError: there is none.
        """
        found = self.find(name)
        if found is None:
            message = f"The model `{name}` does not exist or you do not have access to it."
            raise not_found(message, param="model", code="model_not_found")
        return found

    def find(self, name: str) -> ServedModel | None:
        """The model of that name or alias, if there is one."""
        name = follow_aliases(self._store, name)
        if name in (self._base, public_id(self._base)):  # at once: most who ask for a base ask for this one
            return _of_base(self._base)
        if trained := find_model(self._store, name):
            return _of_trained(trained)
        run_id = name.removesuffix(f"-{Arm.SPECIALIST}")
        # os.path.isfile says no to a name that no file can have; Path.is_file raises where it is too long.
        if run_id == Path(run_id).name and isfile((run := RunDir(self._runs / run_id)).recipe):
            return next((model for model in _of_run(run) if model.id == name), None)
        return next((base for base in self._bases(self._trained()) if name in (base.id, base.base)), None)

    def models(self) -> list[ServedModel]:
        """All of them, what was trained first and the newest of it first; without aliases."""
        trained = self._trained()
        return [*trained, *self._bases(trained)]

    def delete(self, name: str) -> None:
        """Serve a fine-tuned model no longer; its run folder stays.

        Raises:
            ApiError: it is a run, whose folder has to be removed by who owns it.
        """
        if not delete_model(self._store, name):
            raise ApiError(f"{name} is a run: remove its folder, and it is served no longer.", status=403)

    def _trained(self) -> list[ServedModel]:
        named = [_of_trained(trained) for trained in list_models(self._store)]
        runs = [model for run in reversed(list_run_dirs(self._runs)) for model in _of_run(run)]
        return [*named, *runs]

    def _bases(self, trained: list[ServedModel]) -> list[ServedModel]:
        names = dict.fromkeys([self._base, *(model.base for model in trained), DEFAULT_ENCODER])
        return [_of_base(name) for name in names]


def public_id(base: str) -> str:
    """A base model's name as clients use it: without `/` and `:`, which some of them read as something else."""
    name = Path(base).name if Path(base).is_absolute() else base
    return name.replace("/", "--").replace(":", "-")


def _of_base(name: str) -> ServedModel:
    return ServedModel(id=public_id(name), created=0, owned_by=OWN, base=name)


def _of_trained(trained: TrainedModel) -> ServedModel:
    try:
        card = card_of_adapter(read_card(trained.adapter), Arm.SPECIALIST)
    except BurnishError:  # the run folder was removed: who asks for it is told, and it can be deleted
        adapter = AdapterRef(str(trained.adapter), trained.adapter)
        return ServedModel(
            id=trained.id, created=trained.created_at, owned_by=TRAINED, base=trained.base, adapter=adapter
        )
    return _served(trained.id, trained.created_at, card, trained.adapter)


def _of_run(run: RunDir) -> tuple[ServedModel, ...]:
    """A finished run: what it recommends by its own name, and its specialist if that is something else."""
    try:
        return _read_run(run, run.evaluation.stat().st_mtime_ns)
    except (OSError, BurnishError, ValueError, KeyError):  # not finished, or damaged: `burnish runs` tells
        return ()


@lru_cache(maxsize=4096)  # a folder does not change once it is finished
def _read_run(run: RunDir, _: int) -> tuple[ServedModel, ...]:
    evaluation = read_json(run.evaluation)
    candidate = Arm(evaluation.get("candidate") or Arm.SPECIALIST)
    recommended = Arm(evaluation.get("verdict", {}).get("recommended_arm") or candidate)
    created = int(datetime.strptime(run.run_id[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC).timestamp())
    named = {run.run_id: recommended}
    if recommended != candidate:
        named[f"{run.run_id}-{Arm.SPECIALIST}"] = candidate
    models = (_of_arm_if_there(run, arm, name, created) for name, arm in named.items())
    return tuple(model for model in models if model)


def _of_arm_if_there(run: RunDir, arm: Arm, name: str, created: int) -> ServedModel | None:
    """None where the folder is damaged, or older than what is served: the run's other arm is still of use."""
    try:
        return _of_arm(run, arm, name, created)
    except (OSError, BurnishError):
        return None


def _of_arm(run: RunDir, arm: Arm, name: str, created: int) -> ServedModel:
    folder = run.solution(arm)
    if arm in ADAPTED:
        card = read_solution_card(folder) if folder.is_dir() else card_of_adapter(read_card(run.adapter), arm)
        return _served(name, created, card, run.adapter)
    card = read_solution_card(folder)
    if arm is Arm.PREVIOUS:
        return _served(name, created, card, folder / ADAPTER_NAME)
    model = _served(name, created, card, None, None if arm is Arm.ZERO_SHOT else folder)
    return replace(model, is_classifier=arm in CLASSIFIERS)


def _served(
    name: str, created: int, card: SolutionCard, adapter: Path | None, solution: Path | None = None
) -> ServedModel:
    return ServedModel(
        id=name,
        created=created,
        owned_by=TRAINED,
        base=card.base_model,
        base_fingerprint=card.base_fingerprint,
        precision=card.precision,
        adapter=AdapterRef(str(adapter), adapter) if adapter else None,
        task=card.task,
        system=card.system,
        labels=card.labels,
        schema=card.schema,
        calibration=load_calibration(adapter) if adapter else None,
        max_new_tokens=card.max_new_tokens,
        thinking=card.thinking,
        solution=solution,
    )
