"""White space at the edges of texts: told by check, taken out by --fix, with the right count and rows."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.test_cli import burnish_here
from tests.test_minima import write
from tests.tiny import CHATML

TRIMS = CHATML.replace("message['content']", "message['content'] | trim")


def rows(answer: str, question: str = "case", system: str | None = None) -> list[dict[str, Any]]:
    head = [{"role": "system", "content": system}] if system else []
    return [
        {
            "messages": [
                *head,
                {"role": "user", "content": f"{question} {n}"},
                {"role": "assistant", "content": answer.format(n) if n % 2 else f"plain {n}"},
            ]
        }
        for n in range(60)
    ]


def pairs(answer: str) -> list[dict[str, str]]:
    return [{"prompt": f"case {n}", "completion": answer.format(n) if n % 2 else f"plain {n}"} for n in range(60)]


def check(folder: Path, *arguments: str) -> str:
    done = burnish_here(folder, "check", "recipe.toml", *arguments)
    return " ".join(done.stdout.split())


@pytest.mark.parametrize("make", [rows, pairs])
@pytest.mark.parametrize("template", [CHATML, TRIMS])
@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("  def f{}():\n    return 0\n\n", "begins with 2 spaces and ends with 2 line breaks."),
        ("\tx{}", "begins with 1 tab."),
        ("x{} \n", "ends with 2 characters of white space."),
    ],
)
def test_answers_are_told_and_fixed(tmp_path: Path, make: Any, template: str, answer: str, told: str) -> None:
    write(tmp_path, make(answer), "chat", chat_template=template)
    said = check(tmp_path)
    assert "30 × answers that begin or end with white space" in said and told in said and "rows.jsonl:2 " in said
    fixed = check(tmp_path, "--fix")
    assert "rows.clean.jsonl" in fixed
    copy = [json.loads(line) for line in (tmp_path / "rows.clean.jsonl").read_text().splitlines()]
    last = copy[1]["completion"] if make is pairs else copy[1]["messages"][-1]["content"]
    assert last == answer.format(1).strip()
    assert "edge_space" not in check(tmp_path, "data.train=rows.clean.jsonl")


def test_answers_without_it_are_met_with_silence(tmp_path: Path) -> None:
    write(tmp_path, rows("a\n  b {}"), "chat", chat_template=TRIMS)
    assert "white space" not in check(tmp_path)


def test_labels_are_not_told(tmp_path: Path) -> None:
    write(tmp_path, [{"text": f"n {n}", "label": "ab"[n % 2] + " "} for n in range(60)], "classification")
    assert "edge_space" not in check(tmp_path)


@pytest.mark.parametrize(("question", "system"), [("  case", None), ("case", "Be brief.\n\n")])
def test_prompts_are_told_only_where_the_template_trims(tmp_path: Path, question: str, system: str | None) -> None:
    write(tmp_path, rows("x{}", question, system), "chat", chat_template=CHATML)
    assert "prompt_trimmed" not in check(tmp_path)
    write(tmp_path, rows("x{}", question, system), "chat", chat_template=TRIMS)
    assert "prompt_trimmed" in check(tmp_path)
