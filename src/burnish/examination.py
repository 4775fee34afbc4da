"""The data of a recipe, examined: read, made into examples, looked through by every check that needs no base model."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnish.conversation import Task, to_dicts
from burnish.data import (
    Check,
    Example,
    Finding,
    Severity,
    Table,
    TaskForm,
    build_examples,
    can_judge_labels,
    check_answers,
    check_conflicts,
    check_duplicates,
    check_edges,
    check_examples,
    check_joined_labels,
    check_labels,
    check_leaks,
    check_privacy,
    check_similar,
    fields_of,
    has_thoughts,
    labels_of,
    load_table,
    locate,
    system_prompt_of,
)
from burnish.data.json_schema import check_schema
from burnish.data.nested import list_paths, ordered_lists
from burnish.data.split import PARTS
from burnish.data.texts import json_in
from burnish.errors import BaseModelError, DataError, RecipeError
from burnish.evaluate.general import read_general
from burnish.evaluate.unchanged import read_kept_prompts
from burnish.model.base import is_encoder
from burnish.recipe import LoadedRecipe, Recipe, RowFacts, resolve_rows
from burnish.screen import Screen

if TYPE_CHECKING:
    from burnish.evaluate.metrics import CustomMetric

ENCODER_MISSING = Check(
    "encoder_missing",
    Severity.NOTE,
    "what takes the encoder was not looked for, such as wrong labels",
    "Give burnish a way to the encoder; every other check was made.",
)


@dataclass(frozen=True)
class Examination:
    """What the files of a recipe hold, by part: train, and validation and test where they have files of their own."""

    loaded: LoadedRecipe
    """With what the rows settle."""
    form: TaskForm
    tables: dict[str, Table] = field(repr=False)
    """All rows that can be read."""
    examples: dict[str, list[Example]] = field(repr=False)
    """Those without an error; there may be none."""
    findings: list[Finding]
    custom: "Mapping[str, CustomMetric]"
    """The team's own metrics by name."""

    @property
    def has_errors(self) -> bool:
        return has_errors(self.findings)


def has_errors(findings: Iterable[Finding]) -> bool:
    """Whether one of the findings stops a run."""
    return any(finding.severity is Severity.ERROR for finding in findings)


def examine(loaded: LoadedRecipe, screen: Screen, *, judges_labels: bool = True, deep: bool = False) -> Examination:
    """Read the files and make every check; a row with an error is left out of the checks that come after.

    `judges_labels`: look for wrong labels, which takes the encoder. `deep`: look for rows that mean the same, which
    takes it for rows of every kind.

    Raises:
        DataError: a file cannot be read, or has not the columns that the task needs.
        RecipeError: a metric of the team's own is missing or fails, or no answer has a list of `evaluate.ordered`.
    """
    recipe, custom = loaded.recipe, load_metrics(loaded)
    if recipe.retention.keep:  # its faults are told before anything is trained
        read_kept_prompts(Path(recipe.retention.keep))
    if recipe.retention.general:
        read_general(Path(recipe.retention.general))
    tables = {part: _read(recipe, part) for part in PARTS if getattr(recipe.data, part)}
    form = _form_of(recipe, tables["train"])
    findings = [finding for table in tables.values() for finding in table.findings]
    schema = read_schema(recipe)
    for table in tables.values():
        findings += [*check_answers(table, form, schema), *check_edges(table)]
    refused = {finding.row for finding in findings if finding.severity is Severity.ERROR}
    sound = {part: replace(t, rows=[row for row in t.rows if row.id not in refused]) for part, t in tables.items()}
    if not sound["train"].rows:
        return Examination(loaded, form, tables, {}, findings, custom)
    loaded, form = _settle_rows(loaded, sound["train"], form)
    examples = {part: build_examples(table, form) for part, table in sound.items()}
    _try_metrics(custom.values(), examples["train"][0])
    _check_ordered(loaded.recipe.evaluate.ordered, examples["train"])
    findings += _check_files(examples, recipe.task)
    if recipe.task is Task.CLASSIFICATION and not given(recipe.prompt.labels):  # else combinations are meant
        findings += check_joined_labels(examples["train"])
    has_labels = judges_labels and can_judge_labels(examples["train"])
    if has_labels or deep:
        findings += _judge_meaning(examples["train"], screen, has_labels=has_labels, deep=deep)
    return Examination(loaded, form, tables, examples, _once(findings), custom)


def load_metrics(loaded: LoadedRecipe) -> "dict[str, CustomMetric]":
    """The team's own metrics by name, from the files beside the recipe.

    Raises:
        RecipeError: one cannot be had.
    """
    options = loaded.recipe.evaluate
    names = [name for name in (options.metric, *options.metrics) if ":" in name]
    if not names:
        return {}
    from burnish.evaluate.metrics import load_metric  # takes a moment to import

    return {name: load_metric(name, loaded.folder) for name in names}


def _try_metrics(metrics: "Iterable[CustomMetric]", example: Example) -> None:
    """On a right answer and on none: better now than after the training."""
    for metric in metrics:
        for prediction in (example.target, ""):
            row = {"id": example.id, "prompt": to_dicts(example.prompt), "target": example.target}
            metric.score({**row, "prediction": prediction})


def _once(findings: Sequence[Finding]) -> list[Finding]:
    """Of each check at most one finding a row, the first; a message may be too long in itself and beside the others."""
    by_row: dict[tuple[str, str | None, str], Finding] = {}
    for finding in findings:
        by_row.setdefault((finding.check, finding.row, "" if finding.row else finding.message), finding)
    return list(by_row.values())


def _read(recipe: Recipe, part: str) -> Table:
    return load_table(
        locate(getattr(recipe.data, part)),
        recipe.task,
        columns=recipe.data.columns,
        group_by=recipe.data.group_by,
        time_by=recipe.data.time_by,
        missing=recipe.data.missing,
        keeps_missing_spelling=recipe.data.keep_missing_spelling,
        max_rows={"train": recipe.data.max_rows, "test": recipe.data.max_test_rows}.get(part),
    )


def _form_of(recipe: Recipe, train: Table) -> TaskForm:
    """The labels and fields are those of the training file unless given; the instruction is still to be settled."""
    return TaskForm(
        recipe.task,
        "",
        given(recipe.prompt.labels) or labels_of(train),
        given(recipe.prompt.fields) or fields_of(train),
    )


def given(value: Any) -> tuple[str, ...]:
    """The names of a recipe's list; none while it is `auto`."""
    return () if value == "auto" else tuple(value)


def read_schema(recipe: Recipe) -> Mapping[str, Any] | None:
    """The JSON schema that answers must fit.

    Raises:
        DataError: it cannot be read, or is none.
    """
    if recipe.data.json_schema is None:
        return None
    path = Path(recipe.data.json_schema)
    try:
        schema = json.loads(path.read_text(encoding="utf-8"))
        check_schema(schema)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Mend data.json_schema.") from None
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except ValueError as error:
        raise DataError(f"{path}: no JSON ({str(error).splitlines()[0]}). Mend this file.") from None
    return dict(schema)


def ordered_of_recipe(recipe: Recipe) -> frozenset[str]:
    """The lists of an answer whose order counts: by the recipe, and by the JSON schema.

    Raises:
        DataError: the schema cannot be read, or is none.
    """
    return frozenset(recipe.evaluate.ordered) | ordered_lists(read_schema(recipe) or {})


def _check_ordered(ordered: Sequence[str], examples: Sequence[Example]) -> None:
    """Refuse the name of a list that no answer has."""
    if not ordered:
        return
    known = list(dict.fromkeys(path for example in examples for path in list_paths(json_in(example.target))))
    if strange := [name for name in ordered if name not in known]:
        lists = f"Use one of {', '.join(known)}." if known else "Remove evaluate.ordered: no answer has a list."
        raise RecipeError(f"evaluate.ordered: no answer of train has a list named {strange[0]!r}. {lists}")


def _settle_rows(loaded: LoadedRecipe, train: Table, form: TaskForm) -> tuple[LoadedRecipe, TaskForm]:
    """Settle split, prompt and metric."""
    examples = build_examples(train, form)
    words = sorted(len(example.target.split()) for example in examples)
    facts = RowFacts(
        num_rows=len(train.rows),
        labels=form.labels,
        fields=form.fields,
        system=system_prompt_of(train, form.labels, form.fields),
        has_thoughts=has_thoughts(examples),
        median_target_words=words[len(words) // 2],
        base_is_encoder=is_encoder(loaded.recipe.model.base),
    )
    settled = resolve_rows(loaded, facts)
    return settled, replace(form, system=str(settled.recipe.prompt.system))


def _check_files(examples: Mapping[str, Sequence[Example]], task: Task) -> list[Finding]:
    """Each file for itself, and the held-out ones against those that are learned from."""
    train = examples["train"]
    validation, test = (examples.get(part, ()) for part in ("validation", "test"))
    findings = check_examples(train, task)
    for held_out in (validation, test):
        findings += [*check_duplicates(held_out), *check_conflicts(held_out)]
    if validation:
        findings += check_leaks(validation, train)
    if test:
        findings += check_leaks(test, [*train, *validation])
    return findings + check_privacy([*train, *validation, *test])


def _judge_meaning(examples: Sequence[Example], screen: Screen, *, has_labels: bool, deep: bool) -> list[Finding]:
    """What embeddings of the questions tell: labels that are likely wrong, and rows that mean the same."""
    from burnish.model.encoder import load_encoder

    try:
        embeddings_ND = load_encoder(say=screen.say).embed([example.asked for example in examples])
    except BaseModelError as error:
        return [ENCODER_MISSING.found(str(error))]
    findings = check_labels(examples, embeddings_ND) if has_labels else []
    return findings + (check_similar(examples, embeddings_ND) if deep else [])
