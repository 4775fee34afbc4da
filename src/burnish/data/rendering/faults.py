"""What makes a row unfit to be learned from: the checks that rendering makes on every row."""

from burnish.data.finding import Check, Finding, Severity
from burnish.errors import RenderError

TEMPLATE_REFUSES = Check(
    "template_refuses",
    Severity.ERROR,
    "conversations that the base model's chat template refuses",
    "Change the row to what the template allows, or use another base model.",
)
PROMPT_DIFFERS = Check(
    "prompt_differs",
    Severity.ERROR,
    "prompts that the chat template writes differently for training and for inference",
    "Set prompt.thinking to what the answers hold, mend the base model's chat template, or use another base model.",
)
LEFT_OUT = Check(
    "left_out",
    Severity.ERROR,
    "messages or tool calls that the chat template does not write",
    "Put the text where the template writes it, or use a base model whose template knows tools.",
)
NO_END_OF_TURN = Check(
    "no_end_of_turn",
    Severity.ERROR,
    "answers behind which the model would not learn to stop",
    "Mend the base model's chat template, or name its end-of-turn token as eos_token_id in generation_config.json.",
)
TEXT_AFTER_END = Check(
    "text_after_end",
    Severity.ERROR,
    "text that the chat template writes behind the end of the turn",
    "Mend the base model's chat template.",
)
END_IN_ANSWER = Check(
    "end_in_answer", Severity.ERROR, "answers that hold the end-of-turn token itself", "Remove it from the answer."
)
NOTHING_LEARNED = Check(
    "nothing_learned",
    Severity.ERROR,
    "rows of which no token is learned",
    "Give an answer of the row a weight of 1, or remove the row.",
)

NO_EMBEDDING = Check(
    "no_embedding",
    Severity.ERROR,
    "texts with a token that the base model has no embedding for",
    "Take the token out of the row, or use a base model that was trained with it.",
)


class NoEmbeddingError(RenderError):
    """A text with a token that the base model has no embedding for."""


class RowError(RenderError):
    """A row that cannot be rendered, with the finding that says so."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(f"{finding.row}: {finding}")
        self.finding = finding
