"""The cache of rendered rows gives exactly what rendering gives, and never what other rows or settings gave."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from burnish.conversation import Message, Role
from burnish.data import Example, Renderer, render_cached, render_rows
from burnish.data.rendering import cached as cache_module
from tests.data.test_render import build_renderer, example
from tests.tiny import CHATML

ROWS = [example("Hi", "ho", "and now?", "no"), example("Straße? 🙂", "ja\n\n", system=None)]


class Counted:
    """A tokenizer that counts how often it is asked."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer, self.calls = tokenizer, 0
        self.chat_template, self.bos_token_id = tokenizer.chat_template, tokenizer.bos_token_id
        self.decode, self.apply_chat_template = tokenizer.decode, tokenizer.apply_chat_template

    def __call__(self, *args: Any, **options: Any) -> Any:
        self.calls += 1
        return self.tokenizer(*args, **options)


@pytest.fixture
def renderer() -> Renderer:
    plain = build_renderer()
    return replace(plain, tokenizer=Counted(plain.tokenizer))


def calls_for(renderer: Renderer, rows: list[Example], folder: Path, **options: Any) -> int:
    """How often rendering asks the tokenizer; what comes out is compared with what `render_rows` gives."""
    options = {"supervise_all": True, "fingerprint": "one", **options}
    before = renderer.tokenizer.calls  # type: ignore[attr-defined]
    found = render_cached(renderer, rows, cache=folder, **options)
    calls = int(renderer.tokenizer.calls - before)  # type: ignore[attr-defined]
    assert found == render_rows(build_renderer(), rows, supervise_all=options["supervise_all"])
    return calls


def test_the_same_rows_are_tokenized_once(renderer: Renderer, tmp_path: Path) -> None:
    assert calls_for(renderer, ROWS, tmp_path) > 0
    assert calls_for(renderer, ROWS, tmp_path) == 0


def test_the_same_rows_in_other_lines_keep_their_own_names(renderer: Renderer, tmp_path: Path) -> None:
    calls_for(renderer, ROWS, tmp_path)
    assert calls_for(renderer, [replace(row, id=f"y.csv:{i}") for i, row in enumerate(ROWS)], tmp_path) == 0


def test_whatever_changes_the_ids_is_rendered_anew(renderer: Renderer, tmp_path: Path) -> None:
    calls_for(renderer, ROWS, tmp_path)
    assert calls_for(renderer, ROWS[::-1], tmp_path) > 0
    assert calls_for(renderer, [ROWS[0], example("Straße? 🙂", "nein", system=None)], tmp_path) > 0
    assert calls_for(renderer, [replace(ROWS[0], tools=('{"a": 1}',)), ROWS[1]], tmp_path) > 0
    assert calls_for(renderer, [_silenced(ROWS[0]), ROWS[1]], tmp_path) > 0
    assert calls_for(renderer, ROWS, tmp_path, supervise_all=False) > 0
    assert calls_for(renderer, ROWS, tmp_path, fingerprint="another base") > 0


@pytest.mark.parametrize("damage", ["", '{"parts": [1', '{"parts": []}\n', '{"ids": [1]}\n' * 2, "[]\n[]\n"])
def test_a_damaged_file_is_rendered_anew(renderer: Renderer, tmp_path: Path, damage: str) -> None:
    calls_for(renderer, ROWS, tmp_path)
    (file,) = (tmp_path / "rendered").iterdir()
    file.write_text(damage)
    assert calls_for(renderer, ROWS, tmp_path) > 0
    assert calls_for(renderer, ROWS, tmp_path) == 0


def test_a_folder_that_cannot_be_written_stops_nothing(renderer: Renderer, tmp_path: Path) -> None:
    (tmp_path / "rendered").write_text("a file stands here")
    assert calls_for(renderer, ROWS, tmp_path) > 0


def test_the_files_that_were_used_longest_ago_go(
    renderer: Renderer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "MAX_FILES", 2)
    calls_for(renderer, ROWS, tmp_path)
    (first,) = (tmp_path / "rendered").iterdir()
    calls_for(renderer, ROWS[:1], tmp_path)
    for age, file in enumerate(sorted((tmp_path / "rendered").iterdir(), key=lambda file: file != first)):
        os.utime(file, (age, age))  # the first is the older one
    calls_for(renderer, ROWS, tmp_path)  # but now used again
    calls_for(renderer, ROWS[1:], tmp_path)
    assert calls_for(renderer, ROWS, tmp_path) == 0
    assert calls_for(renderer, ROWS[:1], tmp_path) > 0


def test_what_the_template_writes_today_is_rendered_anew_tomorrow(renderer: Renderer, tmp_path: Path) -> None:
    calls_for(renderer, ROWS, tmp_path)
    renderer.tokenizer.tokenizer.chat_template = "{{ '2 May' }}" + CHATML  # type: ignore[attr-defined]
    before = renderer.tokenizer.calls  # type: ignore[attr-defined]
    render_cached(renderer, ROWS, cache=tmp_path, supervise_all=True, fingerprint="one")
    assert renderer.tokenizer.calls > before  # type: ignore[attr-defined]


def test_thoughts_switched_on_are_rendered_anew(renderer: Renderer, tmp_path: Path) -> None:
    calls_for(renderer, ROWS, tmp_path)
    assert calls_for(replace(renderer, thinking=True), ROWS, tmp_path) > 0


def test_a_fault_is_told_and_not_kept(tmp_path: Path) -> None:
    rows = [*ROWS, replace(example("a", "b<|im_end|>"), id="x.jsonl:9")]
    for _ in range(2):
        found = render_cached(build_renderer(), rows, supervise_all=True, cache=tmp_path, fingerprint="one")
        assert [(finding.check, finding.row) for finding in found.findings] == [("end_in_answer", "x.jsonl:9")]
        assert [len(row) for row in found.rows] == [1, 1, 0]
    assert not (tmp_path / "rendered").exists()


def _silenced(row: Example) -> Example:
    """The same with the first answer as context only."""
    i = next(i for i, message in enumerate(row.messages) if message.role is Role.ASSISTANT)
    silent: Message = replace(row.messages[i], is_learned=False)
    return replace(row, messages=(*row.messages[:i], silent, *row.messages[i + 1 :]))
