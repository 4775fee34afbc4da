"""Keys of a row that change what is learned are honoured, refused or told, by the command line."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from burnish.cli.main import main
from burnish.conversation import Task
from burnish.data import TaskForm, build_examples, load_table, refuse_errors
from burnish.errors import DataError
from tests.test_cli import burnish_here
from tests.tiny import save_base

ASKED = {"role": "user", "content": "Which shelf?"}


def write(tmp_path: Path, *rows: dict[str, Any]) -> Path:
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def learned(path: Path) -> Any:
    table = load_table(path, Task.CHAT, columns={})
    refuse_errors(table.findings)
    return build_examples(table, TaskForm(Task.CHAT, ""))[0]


@pytest.mark.parametrize(
    "flag", [{"train": False}, {"loss": 0.0}, {"mask": True}, {"weight": 0}, {"trainable": "false"}]
)
def test_a_flagged_answer_is_context(tmp_path: Path, flag: dict[str, Any]) -> None:
    bad, good = {"role": "assistant", "content": "bad"} | flag, {"role": "assistant", "content": "good"}
    example = learned(write(tmp_path, {"messages": [ASKED, bad, ASKED, good]}))
    assert [message.is_learned for message in example.messages if message.role == "assistant"] == [False, True]


def test_flags_of_sharegpt(tmp_path: Path) -> None:
    turns = [("human", "a"), ("gpt", "bad"), ("human", "b"), ("gpt", "good")]
    rows = [{"from": who, "value": said} | ({"train": False} if said == "bad" else {}) for who, said in turns]
    example = learned(write(tmp_path, {"conversations": rows}))
    assert [message.is_learned for message in example.messages] == [True, False, True, True]


@pytest.mark.parametrize("flags", [{"weight": 1, "train": False}, {"loss_scale": 0.5}])
def test_flags_that_cannot_be_kept_are_refused(tmp_path: Path, flags: dict[str, Any]) -> None:
    path = write(tmp_path, {"messages": [ASKED, {"role": "assistant", "content": "x"} | flags]})
    with pytest.raises(DataError, match=f"{next(iter(flags))} = "):
        learned(path)


@pytest.mark.parametrize(
    "answer",
    [
        {"reasoning_content": "hm", "content": "3"},
        {"content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "3"}]},
    ],
)
def test_a_thought_stands_before_its_answer(tmp_path: Path, answer: dict[str, Any]) -> None:
    example = learned(write(tmp_path, {"messages": [ASKED, {"role": "assistant"} | answer]}))
    assert example.messages[-1].content == "<think>\nhm\n</think>\n\n3"


def test_history_becomes_earlier_turns(tmp_path: Path) -> None:
    example = learned(write(tmp_path, {"instruction": "c", "output": "d", "history": [["a", "b"]]}))
    assert [message.content for message in example.messages] == ["a", "b", "c", "d"]


def test_a_rejected_response_is_the_worse_answer(tmp_path: Path) -> None:
    row = {"messages": [ASKED, {"role": "assistant", "content": "good"}], "rejected_response": "bad"}
    assert learned(write(tmp_path, row)).rejected == "bad"


def test_a_call_joins_the_answer_before_it(tmp_path: Path) -> None:
    call = json.dumps({"name": "stock", "arguments": {}})
    turns = [("human", "a"), ("gpt", "I look."), ("function_call", call), ("observation", "1"), ("gpt", "One.")]
    example = learned(write(tmp_path, {"conversations": [{"from": who, "value": said} for who, said in turns]}))
    said = example.messages[1]
    assert (said.content, [call.name for call in said.tool_calls]) == ("I look.", ["stock"])
    table = load_table(tmp_path / "x.jsonl", Task.CHAT, columns={})
    assert [(f.check, f.row) for f in table.findings] == [("joined_calls", "x.jsonl:1")]


def test_check_tells_keys_that_nothing_reads_and_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = {"role": "assistant", "content": "x", "prefix": True, "id": 7}
    path = write(tmp_path, {"messages": [ASKED, answer], "enable_thinking": False})
    printed = check(path, monkeypatch, capsys)
    assert "'prefix' of a message" in printed
    assert "'enable_thinking' of a row" in printed
    assert "'id'" not in printed
    path = write(tmp_path, {"messages": [ASKED, answer], "images": ["a.png"]})
    assert "pictures, sound or video" in check(path, monkeypatch, capsys)


def test_an_answer_that_is_marked_as_bad_is_refused(tmp_path: Path) -> None:
    rows = [{"prompt": f"q{n}", "completion": f"answer {n}", "label": bool(n % 2)} for n in range(4)]
    table = load_table(write(tmp_path, *rows), Task.CHAT, columns={})
    assert [(f.check, f.row) for f in table.findings if f.severity == "error"] == [
        ("bad_answer", "x.jsonl:1"),
        ("bad_answer", "x.jsonl:3"),
    ]


def test_tools_of_columnar_files_and_their_parameters_as_text(tmp_path: Path) -> None:
    given = {"type": "object", "properties": {"sku": {"type": "string", "enum": None}, "city": None}}
    for parameters in (given, json.dumps({"type": "object", "properties": {"sku": {"type": "string"}}})):
        row = {"messages": [ASKED, {"role": "assistant", "content": "x"}]}
        row |= {"tools": [{"name": "stock", "parameters": parameters, "strict": None}]}
        (tool,) = learned(write(tmp_path, row)).tools
        assert json.loads(tool)["function"]["parameters"] == {
            "type": "object",
            "properties": {"sku": {"type": "string"}},
        }


def test_thoughts_for_a_base_that_knows_none_are_refused_and_every_remedy_works(tmp_path: Path) -> None:
    save_base(tmp_path / "base")
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"{n}?"},
                {"role": "assistant", "content": str(n), "reasoning": "hm"},
            ]
        }
        for n in range(60)
    ]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    checked = burnish_here(tmp_path, "check", "x.jsonl", "model.base=base", "--fix")
    assert checked.returncode == 1 and "60 × answers with thoughts for a base model whose" in checked.stdout
    assert json.loads((tmp_path / "x.clean.jsonl").read_text().split("\n")[7])["messages"][1] == {
        "role": "assistant",
        "content": "7",
    }
    for arguments in (["x.clean.jsonl"], ["x.jsonl", "prompt.thinking=true"]):
        done = burnish_here(tmp_path, "check", *arguments, "model.base=base")
        assert (done.returncode, "no_thoughts" in done.stdout) == (0, False), done.stdout


def check(path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What `burnish check --quick` prints, on one line."""
    monkeypatch.setattr("sys.argv", ["burnish", "check", "--quick", str(path)])
    with contextlib.suppress(SystemExit):
        main()
    streams = capsys.readouterr()
    return " ".join((streams.out + streams.err).split())
