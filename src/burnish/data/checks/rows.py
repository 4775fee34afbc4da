"""The checks of a whole file's rows: what would make a run misleading, told before it starts.

Rows that cannot be read are refused by `load`; templates that are not faithful are refused by `render`.
"""

from collections.abc import Sequence

from burnish.conversation import Task
from burnish.data.checks.answers import check_boilerplate, check_forms, check_repeated_questions
from burnish.data.checks.duplicates import check_conflicts, check_duplicates
from burnish.data.checks.labels import check_label_balance, check_label_variants
from burnish.data.checks.language import check_languages
from burnish.data.checks.lengths import check_long_messages, check_short_answers
from burnish.data.checks.markup import check_markup
from burnish.data.example import Example
from burnish.data.finding import Check, Finding, Severity

SOUND_NUM_ROWS = 100

FEW_ROWS = Check(
    "few_rows",
    Severity.WARNING,
    "so few rows that every interval is wide",
    "A few hundred rows give a clear verdict.",
)


def check_examples(examples: Sequence[Example], task: Task) -> list[Finding]:
    """The findings about a whole file of sound examples, in the order in which the checks stand here."""
    findings = [
        *_few_rows(examples),
        *check_duplicates(examples),
        *check_conflicts(examples),
        *check_label_variants(examples),
        *check_forms(examples),
        *check_repeated_questions(examples),
        *check_long_messages(examples),
        *check_short_answers(examples),
        *check_boilerplate(examples),
        *check_languages(examples),
        *check_markup(examples),
    ]
    if task is Task.CLASSIFICATION:
        findings += check_label_balance(examples)
    return findings


def _few_rows(examples: Sequence[Example]) -> list[Finding]:
    few = len(examples) < SOUND_NUM_ROWS
    return [FEW_ROWS.found(f"{len(examples)} rows: expect wide intervals.")] if few else []
