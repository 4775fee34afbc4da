"""Files -> Examples -> checked -> split -> rendered."""

from burnish.data.check import check_examples
from burnish.data.columns import detect_task, find_columns
from burnish.data.duplicates import check_leaks, check_similar, cluster_copies
from burnish.data.example import Example, example_from_dict
from burnish.data.finding import Check, Finding, Severity
from burnish.data.load import (
    Table,
    TaskForm,
    build_examples,
    canonical_json,
    fields_of,
    labels_of,
    load_table,
    system_prompt_of,
)
from burnish.data.mislabelled import check_labels, check_losses
from burnish.data.read import Row, read_rows
from burnish.data.render import RenderedExample, Renderer, check_lengths, render_all
from burnish.data.rendered import render_cached
from burnish.data.split import Split, count_duplicates, freeze_split, split_examples, thaw_split

__all__ = [
    "Check",
    "Example",
    "Finding",
    "RenderedExample",
    "Renderer",
    "Row",
    "Severity",
    "Split",
    "Table",
    "TaskForm",
    "build_examples",
    "canonical_json",
    "check_examples",
    "check_labels",
    "check_leaks",
    "check_lengths",
    "check_losses",
    "check_similar",
    "cluster_copies",
    "count_duplicates",
    "detect_task",
    "example_from_dict",
    "fields_of",
    "find_columns",
    "freeze_split",
    "labels_of",
    "load_table",
    "read_rows",
    "render_all",
    "render_cached",
    "split_examples",
    "system_prompt_of",
    "thaw_split",
]
