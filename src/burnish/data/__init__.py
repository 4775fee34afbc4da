"""Files -> Examples -> checked -> split -> rendered."""

from burnish.data.answer_schema import infer_schema
from burnish.data.build import (
    TaskForm,
    build_examples,
    canonical_json,
    check_answers,
    fields_of,
    labels_of,
    system_prompt_of,
)
from burnish.data.card import build_card
from burnish.data.checks.duplicates import check_conflicts, check_duplicates, check_leaks, check_similar, cluster_copies
from burnish.data.checks.edges import check_edges
from burnish.data.checks.labels import check_joined_labels
from burnish.data.checks.language import languages
from burnish.data.checks.mislabelled import can_judge_labels, check_labels, check_losses
from burnish.data.checks.overlap import find_overlaps
from burnish.data.checks.parts import check_parts
from burnish.data.checks.rows import check_examples
from burnish.data.example import Example, example_from_dict
from burnish.data.finding import Check, Finding, Severity, group_by_check, refuse_errors, summarize
from burnish.data.formats.detect import Detection, detect_format, draft_alone
from burnish.data.formats.draft import Draft, Kind
from burnish.data.load import Table, detect_file, load_table
from burnish.data.privacy.check import check_privacy
from burnish.data.reading.locate import locate, sha256_of_data
from burnish.data.reading.row import Row
from burnish.data.reading.rows import read_rows
from burnish.data.rendering.cached import render_cached
from burnish.data.rendering.checks import check_rendering, check_thoughts, has_thoughts
from burnish.data.rendering.length import check_test_length, dropped_rows, fit_length
from burnish.data.rendering.pieces import Piece, PieceKind, cut_into_pieces
from burnish.data.rendering.render import RenderedExample, Renderer, Rendering, render_rows
from burnish.data.split import Split, count_duplicates, freeze_split, split_examples, thaw_split
from burnish.data.stream import StreamReport, check_stream, count_lines

__all__ = [
    "Check",
    "Detection",
    "Draft",
    "Example",
    "Finding",
    "Kind",
    "Piece",
    "PieceKind",
    "RenderedExample",
    "Renderer",
    "Rendering",
    "Row",
    "Severity",
    "Split",
    "StreamReport",
    "Table",
    "TaskForm",
    "build_card",
    "build_examples",
    "can_judge_labels",
    "canonical_json",
    "check_answers",
    "check_conflicts",
    "check_duplicates",
    "check_edges",
    "check_examples",
    "check_joined_labels",
    "check_labels",
    "check_leaks",
    "check_losses",
    "check_parts",
    "check_privacy",
    "check_rendering",
    "check_similar",
    "check_stream",
    "check_test_length",
    "check_thoughts",
    "cluster_copies",
    "count_duplicates",
    "count_lines",
    "cut_into_pieces",
    "detect_file",
    "detect_format",
    "draft_alone",
    "dropped_rows",
    "example_from_dict",
    "fields_of",
    "find_overlaps",
    "fit_length",
    "freeze_split",
    "group_by_check",
    "has_thoughts",
    "infer_schema",
    "labels_of",
    "languages",
    "load_table",
    "locate",
    "read_rows",
    "refuse_errors",
    "render_cached",
    "render_rows",
    "sha256_of_data",
    "split_examples",
    "summarize",
    "system_prompt_of",
    "thaw_split",
]
