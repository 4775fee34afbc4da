"""A job's files, looked through before it waits for its turn: by burnish's own reading, checks and division."""

from collections.abc import Sequence
from pathlib import Path

from burnish.data import Finding, Severity
from burnish.errors import DataError
from burnish.examination import examine
from burnish.preparation import divided_of
from burnish.recipe import LoadedRecipe
from burnish.screen import SilentScreen
from burnish.serve.jobs.worker.refusal import Refusal

MAX_LINES_TOLD = 5
PARAMS = {"train": ("training_file", "Training file"), "validation": ("validation_file", "Validation file")}


def validate(loaded: LoadedRecipe, num_rows: int, *, min_examples: int) -> dict[str, int]:
    """How many rows are learned from, validated and tested with.

    Raises:
        Refusal: a row cannot be used, or there are too few.
    """
    if num_rows < min_examples:
        told = f"Training file has {num_rows} example(s), but must have at least {min_examples} examples"
        raise Refusal("invalid_n_examples", told, "training_file")
    try:
        examined = examine(loaded, SilentScreen(), judges_labels=False)
    except DataError as error:
        raise Refusal("invalid_training_file", str(error), "training_file") from None
    errors = [finding for finding in examined.findings if finding.severity is Severity.ERROR]
    for part, (param, title) in PARAMS.items():
        file = getattr(loaded.recipe.data, part)
        if own := [finding for finding in errors if file and _is_of(finding, Path(file).name)]:
            raise Refusal(f"invalid_{param}", _describe(own, title), param)
    if errors:
        raise Refusal("invalid_training_file", _describe(errors, "Training file"), "training_file")
    try:
        return divided_of(examined).num_rows
    except DataError as error:
        told = f"Of {num_rows} examples a part is held out to choose and to test by. {error}"
        is_of_validation = loaded.recipe.data.validation is not None and "for validation;" in str(error)
        param = "validation_file" if is_of_validation else "training_file"
        raise Refusal("invalid_n_examples", told, param) from None


def _is_of(finding: Finding, file: str) -> bool:
    return finding.row is not None and finding.row.rpartition(":")[0] == file


def _describe(errors: Sequence[Finding], title: str) -> str:
    """The first errors with their lines; what they call a message is counted from 1, as are the lines."""
    told = [f"Line {e.row.rpartition(':')[2]}: {e}" if e.row else str(e) for e in errors[:MAX_LINES_TOLD]]
    num_more = len(errors) - len(told)
    more = f" ... and {num_more} more." if num_more else ""
    return f"{title} has {len(errors)} error(s). {' '.join(told)}{more}"
