"""`burnish check`: everything that is wrong with a recipe's data, errors among the rest; nothing is refused."""

from dataclasses import dataclass

from burnish.data import Check, Finding, Severity, can_judge_labels, check_losses
from burnish.errors import DataError, RecipeError
from burnish.examination import Examination, examine, has_errors
from burnish.model.base import is_encoder
from burnish.preparation import Divided, Prepared, divided_of, load_weights, recorded_answers, render, settle
from burnish.recipe import LoadedRecipe
from burnish.screen import Screen, SilentScreen

ROWS_AT_ONCE = 64
"""The base reads so many rows between two ticks of the bar."""

CANNOT_DIVIDE = Check(
    "cannot_divide",
    Severity.ERROR,
    "rows that cannot be divided into train, validation and test",
    "A run needs all three parts.",
)
RECORDED_UNUSABLE = Check(
    "recorded_unusable",
    Severity.ERROR,
    "answers of a hosted model that a run cannot use",
    "Or take evaluate.recorded out of the recipe.",
)


@dataclass(frozen=True)
class Inspection:
    """What the checks say about a recipe's data.

    `divided` is None where an error in the data would stop a run, `prepared` also where the base is an encoder.
    """

    examined: Examination
    findings: list[Finding]
    divided: Divided | None = None
    prepared: Prepared | None = None

    @property
    def num_rows(self) -> dict[str, int]:
        """The rows of each part of the split; without one, those of each file that can be used."""
        if self.divided is None:
            return {part: len(examples) for part, examples in self.examined.examples.items()}
        return self.divided.num_rows


def inspect_data(loaded: LoadedRecipe, screen: Screen | None = None, *, deep: bool = False) -> Inspection:
    """Make every check, and settle what a run would settle where the data allow it.

    `deep`: ask the models, too: rows that mean the same (the encoder), and answers that the base finds strange. The
    first takes the encoder over every question, the second one pass of the base over every row.
    """
    screen = screen or SilentScreen()
    examined = examine(loaded, screen, deep=deep)
    if not examined.examples:
        return Inspection(examined, examined.findings)
    try:
        divided = divided_of(examined)
    except DataError as error:
        return Inspection(examined, [*examined.findings, CANNOT_DIVIDE.found(str(error))])
    recorded = check_recorded(divided)
    if is_encoder(examined.loaded.recipe.model.base):
        return Inspection(examined, [*divided.findings, *recorded], None if has_errors(divided.findings) else divided)
    rendered = render(examined.loaded, divided.split, divided.findings, screen)
    if has_errors(rendered.findings):
        return Inspection(examined, [*rendered.findings, *recorded])
    prepared = settle(rendered, examined.form, divided.details, divided.custom, num_ranks=1)
    needs_losses = deep and not can_judge_labels(prepared.split.train)  # labels are judged by their neighbours
    strange = find_strange_answers(prepared, screen) if needs_losses else []
    return Inspection(examined, [*rendered.findings, *recorded, *strange], prepared, prepared)


def check_recorded(divided: Divided) -> list[Finding]:
    """Whether the file that `evaluate.recorded` names has an answer of one model to each test row."""
    try:
        recorded_answers(divided)
    except RecipeError as error:
        return [RECORDED_UNUSABLE.found(str(error))]
    return []


def find_strange_answers(prepared: Prepared, screen: Screen) -> list[Finding]:
    """The rows, held out or not, whose answer the base finds far less likely than others of its length."""
    from burnish.model.device import choose_device
    from burnish.train.loop import example_losses

    rows = [row for part in prepared.rendered.values() for row in part]
    model = load_weights(prepared, choose_device()).eval()
    losses = list[float]()
    with screen.bar(f"Base model: reading {len(rows):,} answers", len(rows)) as advance:
        for start in range(0, len(rows), ROWS_AT_ONCE):
            some = rows[start : start + ROWS_AT_ONCE]
            sums = example_losses(model, some, micro_batch_tokens=int(prepared.recipe.train.micro_batch_tokens))
            losses += [float(total) / row.num_supervised for total, row in zip(sums, some, strict=True)]
            advance(len(some), "")
    return check_losses([row.id for row in rows], losses, [row.num_supervised for row in rows])
