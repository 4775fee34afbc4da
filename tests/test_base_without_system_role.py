"""A base without a system role: the instruction stands in the user's message, in check, run, load and the server."""

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

import burnish
from burnish.conversation import Message, Role
from burnish.data.rendering.system import fold_system, needs_folding
from burnish.pipeline import run
from burnish.preparation import prepare
from burnish.recipe import build_recipe
from burnish.screen import SilentScreen
from burnish.serve.jobs.store import open_store
from burnish.serve.server import build_app
from burnish.serve.settings import ServeSettings
from tests.data.chat_models import MODELS, build_chat_renderer
from tests.test_cli import burnish_here
from tests.test_pipeline import FAST, cache_apart  # noqa: F401 (a fixture)
from tests.tiny import CHATML, build_tokenizer, save_base

URL = "http://127.0.0.1"
REFUSES = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
ALTERNATES = (
    "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}{% endfor %}"
)
EACH = "{% for message in messages %}"
DROPS = CHATML.replace(EACH, "{% for message in messages if message['role'] != 'system' %}")
WITHOUT = {"refuses": REFUSES + CHATML, "alternates": ALTERNATES + CHATML, "drops": DROPS}


def cls_rows() -> list[dict[str, Any]]:
    things = ("kettle", "router", "lamp", "chair", "door", "cup")
    return [{"text": f"My {things[n % 6]} broke in week {n}.", "label": "AB"[n % 2]} for n in range(60)]


def chat_rows() -> list[dict[str, Any]]:
    turns = [(("system", "Be terse."), ("user", f"question {n}"), ("assistant", f"answer {n}")) for n in range(60)]
    return [{"messages": [{"role": role, "content": text} for role, text in row]} for row in turns]


def recipe(folder: Path, template: str, task: str) -> dict[str, Any]:
    save_base(folder / "base", chat_template=template)
    rows = cls_rows() if task == "classification" else chat_rows()
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {
        "task": task,
        "data": {"train": str(folder / "rows.jsonl")},
        "model": {"base": str(folder / "base")},
        "output": {"folder": str(folder / "runs")},
        **FAST,
    }


@pytest.mark.parametrize("task", ["classification", "chat"])
@pytest.mark.parametrize("kind", WITHOUT)
def test_check_tells_it_once_and_finds_no_fault(tmp_path: Path, kind: str, task: str) -> None:
    recipe(tmp_path, WITHOUT[kind], task)
    text = f'task = "{task}"\ndata.train = "rows.jsonl"\nmodel.base = "base"\ntrain.precision = "fp32"\n'
    (tmp_path / "recipe.toml").write_text(text)
    done = burnish_here(tmp_path, "check", "recipe.toml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (done.stdout + done.stderr).count("no place for system messages") == 1
    assert "template refuses a conversation" not in done.stdout + done.stderr


@pytest.mark.parametrize("kind", ["alternates", "drops"])
def test_training_test_loading_and_serving_see_the_same(tmp_path: Path, kind: str) -> None:
    loaded = build_recipe(recipe(tmp_path, WITHOUT[kind], "chat"), name="folded")
    prepared = prepare(loaded)
    example, rendered = prepared.split.train[0], prepared.rendered["train"][0]
    prompt = f"<|im_start|>user\nBe terse.\n\n{example.asked}<|im_end|>\n<|im_start|>assistant\n"
    assert prepared.renderer.decode(rendered.input_ids) == plain(f"{prompt}{example.target}\n")
    made = run(loaded, SilentScreen())
    assert made.dir.solution("few_shot").is_dir()

    asked = [{"role": "system", "content": "Be terse."}, {"role": "user", "content": example.asked}]
    settings = ServeSettings(runs=tmp_path / "runs", base=str(tmp_path / "base"))
    body = {"model": made.dir.path.name, "messages": asked, "max_tokens": 6, "temperature": 0}
    with open_store(settings.folder) as store, TestClient(build_app(settings, store), base_url=URL) as client:
        reply = client.post("/v1/chat/completions", json=body).json()
    assert reply["usage"]["prompt_tokens"] == rendered.prompt_length
    said = burnish.load(made.dir.path).generate(asked)
    assert reply["choices"][0]["message"]["content"] == said


def plain(text: str) -> str:
    """As it is decoded, without control tokens."""
    return text.replace("<|im_start|>", "").replace("<|im_end|>", "")


class TestFolding:
    @pytest.mark.parametrize("name", MODELS)
    def test_templates_that_write_system_messages_keep_them(self, name: str) -> None:
        assert not build_chat_renderer(name).folds_system

    @pytest.mark.parametrize("template", [None, "{{ raise_exception('never') }}"])
    def test_what_cannot_be_told_is_left_alone(self, template: str | None) -> None:
        assert template is None or not needs_folding(build_tokenizer(template))

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("s1 u1 a1 s2 u2", "u:s1+u1 a1 u:s2+u2"),
            ("s1 s2 u1", "u:s1+s2+u1"),
            ("s1 a1 u1", "u:s1 a1 u1"),
            ("u1 s1 a1", "u:u1+s1 a1"),
            ("s1", "u:s1"),
            ("u1 a1", "u1 a1"),
        ],
    )
    def test_where_it_stands(self, before: str, after: str) -> None:
        assert fold_system(messages(before)) == messages(after)


def messages(spelled: str) -> tuple[Message, ...]:
    """ "u:s1+u1" is a user's message of two texts."""
    roles = {"s": Role.SYSTEM, "u": Role.USER, "a": Role.ASSISTANT}
    return tuple(Message(roles[word[0]], "\n\n".join(word.removeprefix("u:").split("+"))) for word in spelled.split())
