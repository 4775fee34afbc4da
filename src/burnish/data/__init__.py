"""Files -> Examples -> checked -> split -> rendered."""

from burnish.data.check import check_examples
from burnish.data.columns import detect_task, find_columns
from burnish.data.example import Example, example_from_dict
from burnish.data.faults import refuse_errors
from burnish.data.finding import Check, Finding, Severity
from burnish.data.length import check_test_length, fit_length
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
from burnish.data.pieces import Piece, PieceKind, cut_into_pieces
from burnish.data.read import Row, read_rows
from burnish.data.render import RenderedExample, Renderer, Rendering, render_rows
from burnish.data.rendered import render_cached
from burnish.data.rendering_checks import check_rendering, has_thoughts
from burnish.data.split import Split, count_duplicates, freeze_split, split_examples, thaw_split

__all__ = [
    "Check",
    "Example",
    "Finding",
    "Piece",
    "PieceKind",
    "RenderedExample",
    "Renderer",
    "Rendering",
    "Row",
    "Severity",
    "Split",
    "Table",
    "TaskForm",
    "build_examples",
    "canonical_json",
    "check_examples",
    "check_rendering",
    "check_test_length",
    "count_duplicates",
    "cut_into_pieces",
    "detect_task",
    "example_from_dict",
    "fields_of",
    "find_columns",
    "fit_length",
    "freeze_split",
    "has_thoughts",
    "labels_of",
    "load_table",
    "read_rows",
    "refuse_errors",
    "render_cached",
    "render_rows",
    "split_examples",
    "system_prompt_of",
    "thaw_split",
]
