"""Files -> Examples -> checked -> split -> rendered."""

from burnish.data.build import (
    TaskForm,
    build_examples,
    canonical_json,
    check_answers,
    fields_of,
    labels_of,
    system_prompt_of,
)
from burnish.data.check import check_examples
from burnish.data.duplicates import check_leaks, check_similar, cluster_copies
from burnish.data.example import Example, example_from_dict
from burnish.data.finding import Check, Finding, Severity, group_by_check
from burnish.data.formats.detect import Detection, detect_format
from burnish.data.load import Table, detect_file, load_table, refuse_errors, require_sound
from burnish.data.mislabelled import check_labels, check_losses
from burnish.data.reading.locate import locate, sha256_of_data
from burnish.data.reading.row import Row
from burnish.data.reading.rows import read_rows
from burnish.data.render import RenderedExample, Renderer, check_lengths, render_all
from burnish.data.rendered import render_cached
from burnish.data.split import Split, count_duplicates, freeze_split, split_examples, thaw_split

__all__ = [
    "Check",
    "Detection",
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
    "check_answers",
    "check_examples",
    "check_labels",
    "check_leaks",
    "check_lengths",
    "check_losses",
    "check_similar",
    "cluster_copies",
    "count_duplicates",
    "detect_file",
    "detect_format",
    "example_from_dict",
    "fields_of",
    "freeze_split",
    "group_by_check",
    "labels_of",
    "load_table",
    "locate",
    "read_rows",
    "refuse_errors",
    "render_all",
    "render_cached",
    "require_sound",
    "sha256_of_data",
    "split_examples",
    "system_prompt_of",
    "thaw_split",
]
