"""The faults that are the user's to mend, each with a message that says what was found, where, and what to do.

    BurnishError                  exit code 1, never a traceback
    |-- RecipeError     (ValueError)   the recipe: unknown key, wrong value, bad override
    |-- DataError       (ValueError)   a data file or one of its rows
    |   `-- RenderError                the chat template cannot express the row faithfully
    |-- BaseModelError  (LookupError)  a base model that cannot be had or read
    |-- AdapterError    (ValueError)   an adapter that does not belong to the base, or is damaged
    |-- ClassifierError (ValueError)   a classifier that does not belong to its encoder, or is damaged
    |-- TrainingError   (RuntimeError) training cannot go on, e.g. a loss that is not finite
    |-- EndpointError   (ConnectionError) a server that cannot be asked: wrong address, key or model
    |-- RunError        (LookupError)  a run folder that is missing, unfinished or damaged
    `-- StorageError    (OSError)      the disk: unwritable folder, no space left

`Interrupted` is not a fault: the user pressed Ctrl-C and a checkpoint was kept (exit code 130).
"""


class BurnishError(Exception):
    """A problem that the user can mend; its text is the whole message."""


class RecipeError(BurnishError, ValueError):
    """The recipe, or an override of it, is at fault."""


class DataError(BurnishError, ValueError):
    """A data file, or a row of it, is at fault."""


class RenderError(DataError):
    """A chat template that cannot render a row for training and inference alike."""


class BaseModelError(BurnishError, LookupError):
    """A base model that cannot be had or read."""


class AdapterError(BurnishError, ValueError):
    """An adapter that does not belong to its base, or is damaged."""


class ClassifierError(BurnishError, ValueError):
    """A classifier that does not belong to its encoder, or is damaged."""


class TrainingError(BurnishError, RuntimeError):
    """Training that cannot go on."""


class EndpointError(BurnishError, ConnectionError):
    """A server that cannot be asked."""

    __str__ = BurnishError.__str__  # ConnectionError is an OSError, see below


class RunError(BurnishError, LookupError):
    """A run folder that is missing, unfinished or damaged."""


class StorageError(BurnishError, OSError):
    """A place that cannot be written."""

    # OSError.__str__ would look for errno and strerror.
    __str__ = BurnishError.__str__


class Interrupted(Exception):  # noqa: N818  (an event, not an error)
    """The user stopped the work; what was finished is kept."""
