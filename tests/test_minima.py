"""Rows enough in each part, and labels to tell apart: tested again after rows are left out, by check and run alike."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.test_cli import burnish_here
from tests.tiny import save_base

LONG = " filler" * 60


def write(folder: Path, rows: list[dict[str, Any]], task: str, data: str = "", more: str = "", **base: Any) -> None:
    save_base(folder / "base", **base)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    head = f'task = "{task}"\nmodel.base = "base"\ntrain.precision = "fp32"\n{more}\n'
    (folder / "recipe.toml").write_text(f'{head}[data]\ntrain = "rows.jsonl"\n{data}\n')


def chat(num_long: int, count: int = 60) -> list[dict[str, str]]:
    return [{"prompt": f"Number {n}?{LONG if n < num_long else ''}", "completion": f"It is {n}."} for n in range(count)]


DROP = 'max_length = 300\non_too_long = "drop"'


@pytest.mark.parametrize("verb", ["check", "run"])
@pytest.mark.parametrize(("num_long", "left"), [(60, "0 rows are left for train"), (57, "rows are left for")])
def test_too_few_rows_are_left_when_long_ones_are_dropped(tmp_path: Path, verb: str, num_long: int, left: str) -> None:
    write(tmp_path, chat(num_long), "chat", DROP)
    done = burnish_here(tmp_path, verb, "recipe.toml")
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 1 and "Traceback" not in said
    assert left in said and "at least 5 are needed. Over data.max_length and left out: " in said
    assert "rows.jsonl:" in said


def test_a_few_that_are_dropped_are_named_and_the_rest_is_sound(tmp_path: Path) -> None:
    write(tmp_path, chat(4), "chat", DROP)
    done = burnish_here(tmp_path, "check", "recipe.toml")
    assert done.returncode == 0 and "dropped_too_long" in done.stdout and "too_few_left" not in done.stdout


def test_a_label_whose_rows_are_all_dropped_is_told(tmp_path: Path) -> None:
    rows = [{"text": f"number {n}{LONG if n % 2 else ''}", "label": "ab"[n % 2]} for n in range(80)]
    write(tmp_path, rows, "classification", DROP)
    done = burnish_here(tmp_path, "check", "recipe.toml")
    assert done.returncode == 1 and "one_label" in done.stdout and "have the label 'a'" in done.stdout


@pytest.mark.parametrize("verb", ["check", "run"])
@pytest.mark.parametrize("arms", ['["zero_shot"]', '["zero_shot", "embedding"]'])
def test_one_label_is_an_error_before_anything_is_asked(tmp_path: Path, verb: str, arms: str) -> None:
    rows = [{"text": f"number {n}", "label": "repair"} for n in range(60)]
    write(tmp_path, rows, "classification", more=f"evaluate.arms = {arms}")
    done = burnish_here(tmp_path, verb, "recipe.toml")
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 1 and "training rows have the label 'repair'." in said
    assert "Add rows of another label" in said and not (tmp_path / "runs").exists()


def test_objects_without_fields_leave_nothing_to_extract(tmp_path: Path) -> None:
    write(tmp_path, [{"text": f"number {n}", "fields": {}} for n in range(60)], "extraction")
    done = burnish_here(tmp_path, "check", "recipe.toml")
    assert done.returncode == 1 and "no_fields" in done.stdout


def test_a_label_of_the_test_that_is_not_learned_is_told(tmp_path: Path) -> None:
    rows = [{"text": f"number {n}", "label": "ab"[n % 2]} for n in range(60)]
    write(tmp_path, rows, "classification", 'test = "test.jsonl"')
    asked = [{"text": f"test number {n}", "label": "abc"[n % 3]} for n in range(12)]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    done = burnish_here(tmp_path, "check", "recipe.toml", "prompt.labels=['a', 'b', 'c']")
    assert done.returncode == 0 and "no training row has the label 'c' of test: 4 rows" in done.stdout


class TestRemedies:
    """A remedy is never one that the base's context rules out, and each that is printed works."""

    def test_data_max_length_is_not_to_be_raised_beyond_the_context(self, tmp_path: Path) -> None:
        write(tmp_path, chat(4), "chat", max_position_embeddings=300)
        done = burnish_here(tmp_path, "check", "recipe.toml")
        said = " ".join((done.stdout + done.stderr).split())
        assert done.returncode == 1 and "the base model reads at most 300" in said
        assert "raise data.max_length" not in said

    def test_a_length_over_the_context_is_not_taken_at_its_word(self, tmp_path: Path) -> None:
        write(tmp_path, chat(4), "chat", "max_length = 5000", max_position_embeddings=300)
        assert "the base model reads at most 300" in burnish_here(tmp_path, "check", "recipe.toml").stdout

    @pytest.mark.parametrize("remedy", ["data.max_length=900", "data.on_too_long=drop"])
    def test_what_is_printed_works(self, tmp_path: Path, remedy: str) -> None:
        write(tmp_path, chat(4), "chat", "max_length = 300")
        assert "too_long]" in burnish_here(tmp_path, "check", "recipe.toml").stdout
        mended = burnish_here(tmp_path, "check", "recipe.toml", remedy)
        assert mended.returncode == 0 and "[too_long]" not in mended.stdout
