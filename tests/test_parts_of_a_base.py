"""A base whose parts do not fit each other: one error of `check` and of `run`, with folder, part and remedy."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken
from transformers import GPT2Config, GPT2LMHeadModel

from burnish.model.base import context_length, find_base
from burnish.serve.jobs.store import open_store
from burnish.serve.server import build_app
from burnish.serve.settings import ServeSettings
from tests.test_cli import burnish_here, fault
from tests.tiny import CHATML, build_tokenizer, save_base

Break = Callable[[Path], None]
WEIGHTS = "model.safetensors"


def edit(name: str, **values: Any) -> Break:
    """Set values of a JSON file; None removes one."""

    def change(base: Path) -> None:
        found = json.loads((base / name).read_text())
        found = {key: value for key, value in {**found, **values}.items() if value is not None}
        (base / name).write_text(json.dumps(found))

    return change


def template(text: str) -> Break:
    return lambda base: edit_template(base, text)


def edit_template(base: Path, text: str) -> None:
    build_tokenizer(text).save_pretrained(base)


def with_letters(base: Path) -> None:
    """A tokenizer of another, larger model: ordinary tokens beyond the embeddings."""
    found = json.loads((base / "tokenizer.json").read_text())
    found["model"]["vocab"] |= {f"word{n}": 256 + n for n in range(40)}
    (base / "tokenizer.json").write_text(json.dumps(found))


def with_token(base: Path, text: str = CHATML) -> None:
    """A token of its own behind the last embedding, as tools add it that extend a tokenizer."""
    tokenizer = build_tokenizer(text)
    tokenizer.add_tokens([AddedToken("<extra>", special=True)])
    tokenizer.save_pretrained(base)


def index(base: Path) -> None:
    (base / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-00002-of-00002.safetensors"}}')


def tensors(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Break:
    def apply(base: Path) -> None:
        save_file(change(load_file(base / WEIGHTS)), base / WEIGHTS, {"format": "pt"})

    return apply


def without(part: str) -> Break:
    return tensors(lambda found: {name: tensor for name, tensor in found.items() if part not in name})


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


FAULTS: dict[str, tuple[Break, str]] = {
    "more tokens": (with_letters, "the tokenizer has ids up to 295; the embeddings have 258 rows."),
    "eos of generation": (edit("generation_config.json", eos_token_id=[256, 400]), "eos_token_id is 400; the embed"),
    "eos of config": (edit("config.json", eos_token_id=-1), "eos_token_id is -1; the embeddings have 258 rows."),
    "template's token": (
        lambda base: with_token(base, "<extra>" + CHATML),
        "its chat template writes '<extra>' (id 258)",
    ),
    "template's syntax": (template("{% if %}"), "its chat template cannot write a question ("),
    "template refuses all": (
        template("{{ raise_exception('no') }}"),
        "its chat template cannot write a question (no).",
    ),
    "no weights": (lambda base: (base / WEIGHTS).unlink(), "no .safetensors file."),
    "half a download": (
        lambda base: cut(base / WEIGHTS),
        "the model cannot be read (model.safetensors is cut or damaged)",
    ),
    "absent shard": (index, "model.safetensors.index.json names model-00002-of-00002.safetensors, which is not there."),
    "fewer layers": (without("layers.1."), "the weights have 1 layers; config.json has num_hidden_layers 2."),
    "vocab size": (
        edit("config.json", vocab_size=300),
        "the embeddings have 258 rows; config.json has vocab_size 300.",
    ),
    "width": (edit("config.json", hidden_size=64), "the embeddings are 32 wide; config.json has hidden_size 64."),
    "no head": (edit("config.json", tie_word_embeddings=False), "the weights have no lm_head"),
    "unknown type": (edit("config.json", model_type="zyx"), "config.json has model_type 'zyx', which this version of"),
    "no type": (edit("config.json", model_type=None), "config.json has no model_type."),
    "no writer": (edit("config.json", model_type="t5"), "a model of type 't5' does not write text."),
    "config cut": (lambda base: (base / "config.json").write_text("{") and None, "config.json cannot be read"),
    "no tokenizer": (lambda base: (base / "tokenizer.json").unlink(), "the tokenizer cannot be read"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_base(tmp_path / "base")
    write(tmp_path, [{"prompt": f"Number {n}?", "completion": f"It is {n}."} for n in range(60)])
    text = 'task = "chat"\ndata.train = "rows.jsonl"\nmodel.base = "base"\ntrain.precision = "fp32"\n'
    (tmp_path / "recipe.toml").write_text(text)
    return tmp_path


def write(folder: Path, rows: list[dict[str, str]]) -> None:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize("verb", ["check", "run"])
@pytest.mark.parametrize("name", FAULTS)
def test_one_error_names_folder_and_part(folder: Path, name: str, verb: str) -> None:
    damage, told = FAULTS[name]
    damage(folder / "base")
    said = " ".join(fault(folder, verb, "recipe.toml").split())
    assert told in said and "base" in said


def test_a_layer_s_missing_tensor_is_told_when_the_weights_are_read(folder: Path) -> None:
    without("layers.0.mlp.up_proj")(folder / "base")
    assert "the weights lack model.layers.0.mlp.up_proj.weight." in burnish_here(folder, "run", "recipe.toml").stderr


def test_tensors_of_another_shape_are_told_when_the_weights_are_read(folder: Path) -> None:
    edit("config.json", intermediate_size=64)(folder / "base")
    said = burnish_here(folder, "run", "recipe.toml").stderr
    assert "the weights have other shapes than config.json says." in said


class TestSpareTokens:
    """Tokens without an embedding are no fault until something writes them."""

    def test_more_embeddings_than_tokens_are_usual(self, folder: Path) -> None:
        save_base(folder / "base", vocab_size=320)
        assert burnish_here(folder, "check", "recipe.toml").returncode == 0

    def test_an_unused_one_is_fine_and_a_row_with_it_is_named(self, folder: Path) -> None:
        with_token(folder / "base")
        assert burnish_here(folder, "check", "recipe.toml").returncode == 0
        write(
            folder, [{"prompt": f"Number {n}?", "completion": f"It {'is' if n else '<extra>'} {n}."} for n in range(60)]
        )
        done = burnish_here(folder, "check", "recipe.toml")
        assert done.returncode == 1 and "no_embedding" in done.stdout and "rows.jsonl:1 " in done.stdout
        assert "no embedding for the token '<extra>' (id 258)" in done.stdout

    def test_the_server_refuses_it(self, folder: Path) -> None:
        with_token(folder / "base")
        settings = ServeSettings(runs=folder / "runs", base=str(folder / "base"))
        with (
            open_store(settings.folder) as store,
            TestClient(build_app(settings, store), base_url="http://127.0.0.1") as client,
        ):
            body = {"model": "base", "messages": [{"role": "user", "content": "a <extra>"}], "max_tokens": 2}
            refused = client.post("/v1/chat/completions", json=body)
            body["messages"] = [{"role": "user", "content": "a"}]
            answered = client.post("/v1/chat/completions", json=body)
        assert (
            refused.status_code == 400 and "no embedding for the token '<extra>'" in refused.json()["error"]["message"]
        )
        assert answered.status_code == 200


class TestContextLength:
    @pytest.mark.parametrize(
        ("config", "tokenizer", "expected"),
        [
            ({"max_position_embeddings": 300}, 100, 300),
            ({"max_position_embeddings": None}, 512, 512),
            ({"max_position_embeddings": 0}, None, 2048),
            ({"max_position_embeddings": 1e30}, 1e30, 2048),
            ({"max_position_embeddings": None, "text_config": {"max_position_embeddings": 128}}, None, 128),
        ],
    )
    def test_a_value_that_is_none_is_passed_over(
        self, folder: Path, config: dict[str, Any], tokenizer: float | None, expected: int
    ) -> None:
        edit("config.json", **config)(folder / "base")
        edit("tokenizer_config.json", model_max_length=tokenizer)(folder / "base")
        assert context_length(find_base(str(folder / "base"))) == expected

    def test_positions_by_another_name(self, folder: Path) -> None:
        sizes = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 300, "vocab_size": 258}
        GPT2LMHeadModel(GPT2Config(**sizes, eos_token_id=256, bos_token_id=256)).save_pretrained(folder / "base")
        assert context_length(find_base(str(folder / "base"))) == 300
        write(folder, [{"prompt": f"Number {n}?{'!' * 300 * (n < 1)}", "completion": f"{n}."} for n in range(60)])
        said = " ".join(burnish_here(folder, "check", "recipe.toml").stdout.split())
        assert "the base model reads at most 300." in said
