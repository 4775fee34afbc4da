"""What a reasoning model thinks stands apart from what it says; the answers of other models are left as they are."""

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.conversation import Role, build_conversation
from burnish.data import Renderer
from burnish.serve.app import create_app
from burnish.serve.inference.chat.thoughts import ThoughtReader, Thoughts, thoughts_of
from tests.data.chat_models import build_chat_renderer
from tests.serve.wire.asking import ask, streamed
from tests.serve.wire.plain_backend import END, PlainBackend, teach
from tests.serve.wire.plain_backend import settings as serve_settings
from tests.tiny import CHATML, build_tokenizer

ANSWER = "<think>\nHm, <b>.\n</think>\n\nHello <think>"
ASKED: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi?"}], "temperature": 0, "max_tokens": 80}


@pytest.mark.parametrize(
    ("name", "thinking", "wanted"),
    [
        ("DeepSeek R1", False, Thoughts.BEGUN),
        ("Qwen 3", True, Thoughts.MAYBE),
        ("Qwen 3", False, Thoughts.MAYBE),
        ("Qwen 2.5", True, Thoughts.NEVER),
        ("SmolLM2", True, Thoughts.NEVER),
    ],
)
def test_the_template_tells_whether_a_model_thinks(name: str, thinking: bool, wanted: Thoughts) -> None:
    renderer = build_chat_renderer(name, thinking=thinking)
    prompt_ids = renderer.prompt_ids(build_conversation(None, (Role.USER, "Hi?")))
    assert thoughts_of(renderer, prompt_ids, has_grammar=False) is wanted
    by_grammar = Thoughts.NEVER if wanted is Thoughts.NEVER else Thoughts.MAYBE
    assert thoughts_of(renderer, prompt_ids, has_grammar=True) is by_grammar


def read(pieces: list[str], thoughts: Thoughts) -> tuple[str, str]:
    reader = ThoughtReader(thoughts)
    found = [reader.feed(piece, is_last=i == len(pieces) - 1) for i, piece in enumerate(pieces)]
    return "".join(thought for thought, _ in found), "".join(said for _, said in found)


@pytest.mark.parametrize(
    ("thoughts", "text", "wanted"),
    [
        (Thoughts.MAYBE, "\n<think>a</think>b", ("a", "b")),
        (Thoughts.MAYBE, "<think>", ("", "")),
        (Thoughts.MAYBE, " <thin", ("", " <thin")),
        (Thoughts.MAYBE, "b <think>a</think>", ("", "b <think>a</think>")),
        (Thoughts.MAYBE, "<think>a</thin", ("a</thin", "")),
        (Thoughts.BEGUN, "a</think>b</think>", ("a", "b</think>")),
        (Thoughts.BEGUN, "a", ("a", "")),
        (Thoughts.NEVER, "<think>a</think>b", ("", "<think>a</think>b")),
    ],
)
def test_a_thought_is_told_from_an_answer(thoughts: Thoughts, text: str, wanted: tuple[str, str]) -> None:
    assert read([text], thoughts) == wanted
    assert read(list(text), thoughts) == wanted


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["<think>", "</think>", "<", "</th", "a", " ", "\n"]), max_size=8), st.data())
def test_it_does_not_matter_where_the_text_is_cut(bits: list[str], data: Any) -> None:
    text, thoughts = "".join(bits), data.draw(st.sampled_from(Thoughts))
    cut = data.draw(st.integers(0, len(text)))
    assert read([text[:cut], text[cut:]], thoughts) == read([text], thoughts)


@pytest.fixture(scope="module", params=[True, False])
def asked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A model that thinks before it answers, whole and as a stream; on a base whose template knows thoughts or not."""
    folder: Path = tmp_path_factory.mktemp("thinker")
    backend = PlainBackend(folder, model=teach(ANSWER, "Hi?"))
    template = CHATML + "{# </think> #}" * request.param
    backend.renderer = Renderer(build_tokenizer(template), frozenset({END}))
    with TestClient(create_app(serve_settings(folder), backend), base_url="http://127.0.0.1") as client:
        yield request.param, ask(client, **ASKED)["choices"][0]["message"], streamed(client, **ASKED)
    backend.engine.close()


def test_the_wire_has_it_beside_the_answer(asked: Any) -> None:
    thinks, message, chunks = asked
    wanted = {"reasoning_content": "Hm, <b>.", "content": "Hello <think>"} if thinks else {"content": ANSWER}
    assert {key: message[key] for key in wanted} == wanted
    assert ("reasoning_content" in message) == thinks
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    for key in ("reasoning_content", "content"):
        assert "".join(delta.get(key) or "" for delta in deltas) == wanted.get(key, "")
    assert sum("reasoning_content" in delta for delta in deltas) > 3 * thinks - 1
