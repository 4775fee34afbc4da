"""An adapter that burnish made before, as an arm that the next one must beat."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from burnish.conversation import Task
from burnish.data import Example, example_from_dict
from burnish.errors import AdapterError, BurnishError, RecipeError
from burnish.files import read_jsonl, sha256_of_file
from burnish.model.adapter import CARD_NAME, CONFIG_NAME, WEIGHTS_NAME, AdapterCard, check_base, read_card
from burnish.model.base import find_base
from burnish.model.fetch import Say
from burnish.run_dir import find_run_dir


@dataclass(frozen=True)
class Previous:
    """The adapter's folder and card."""

    adapter: Path
    card: AdapterCard


def find_previous(name: str, runs: Path, task: Task, say: Say = lambda _: None) -> Previous:
    """The adapter in the folder `name`, or of the run that `name` means; its base model is there, as it was.

    Raises:
        RecipeError: there is none, it is for another task, or its base cannot be had or has changed.
    """
    try:
        is_adapter = (Path(name) / CARD_NAME).is_file()
        adapter = (Path(name) if is_adapter else find_run_dir(name, runs).adapter).resolve()
        card = read_card(adapter)
        if missing := [name for name in (CONFIG_NAME, WEIGHTS_NAME) if not (adapter / name).is_file()]:
            raise AdapterError(f"{adapter}: there is no {missing[0]}.")
        if card.task != task:
            raise AdapterError(f"{adapter}: it was trained for {card.task}, not for {task}.")
        check_base(card, adapter, find_base(card.base_model, say))
    except BurnishError as error:
        remedy = "Name a finished run or an adapter folder of this task, or leave evaluate.previous out."
        raise RecipeError(f"evaluate.previous = {name!r}: {error} {remedy}") from None
    return Previous(adapter, card)


def count_seen(previous: Previous, test: Sequence[Example]) -> int | None:
    """How many test rows ask what the adapter was trained or chosen on; None where its run's rows are not beside it."""
    train, validation = (previous.adapter.parent / "data" / f"{part}.jsonl" for part in ("train", "validation"))
    if not (train.is_file() and validation.is_file()) or sha256_of_file(train) != previous.card.train_sha256:
        return None
    seen = {example_from_dict(row).duplicate_key for path in (train, validation) for row in read_jsonl(path)}
    return sum(example.duplicate_key in seen for example in test)
