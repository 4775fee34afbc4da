"""TOML -> Recipe: every fault named at once, paths anchored, and a saved recipe that reads back equal."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.conversation import Task
from burnish.errors import RecipeError
from burnish.files import write_text
from burnish.recipe import (
    OriginKind,
    Recipe,
    all_keys,
    build_recipe,
    describe_keys,
    dump_recipe,
    json_schema,
    load_recipe,
    origins_of_all,
    starter_recipe,
)

MINIMAL = 'task = "classification"\n[data]\ntrain = "rows.jsonl"\n'
ROOT = Path(__file__).parents[2]


def load(tmp_path: Path, text: str, *overrides: str) -> Recipe:
    (tmp_path / "recipe.toml").write_text(text, encoding="utf-8")
    return load_recipe(tmp_path / "recipe.toml", overrides).recipe


def refusal(tmp_path: Path, text: str, *overrides: str) -> str:
    with pytest.raises(RecipeError) as caught:
        load(tmp_path, text, *overrides)
    return str(caught.value)


class TestFaults:
    @pytest.mark.parametrize(
        ("wrong", "nearest"),
        [
            ("[train]\nepoch = 3", "Did you mean `train.epochs`?"),
            ("[train]\nlearningrate = 1e-3", "Did you mean `train.learning_rate`?"),
            ("rank = 8", "Did you mean `adapter.rank`?"),
            ("[adaptor]\nrank = 8", "`adaptor` is not a key of a recipe."),
            ("[train]\nzzz = 1", "`burnish explain --keys` lists all."),
        ],
    )
    def test_an_unknown_key_is_told_with_the_nearest_one(self, tmp_path: Path, wrong: str, nearest: str) -> None:
        first, _, rest = MINIMAL.partition("\n")
        text = f"{wrong}\n{MINIMAL}" if not wrong.startswith("[") else f"{first}\n{rest}{wrong}\n"
        message = refusal(tmp_path, text)
        assert nearest in message
        assert "is not a key of a recipe" in message
        assert message.startswith(str(tmp_path / "recipe.toml"))

    def test_all_problems_are_told_at_once(self, tmp_path: Path) -> None:
        text = 'task = "poetry"\n[data]\nsplit_sed = 1\n[train]\nepochs = 0\nlearning_rate = "fast"\n'
        lines = refusal(tmp_path, text, "adapter.alpha=-1").splitlines()
        assert lines[0] == "6 problems:"
        found = {line.split("`")[1]: line for line in lines[1:]}
        assert set(found) == {
            "task", "data.train", "data.split_sed", "train.epochs", "train.learning_rate", "adapter.alpha",
        }  # fmt: skip
        assert 'expected one of "chat", "completion", "classification", "extraction"' in found["task"]
        assert "is missing. The file of examples" in found["data.train"]
        assert 'expected a whole number at least 1 or "auto"' in found["train.epochs"]
        assert "'fast' is not accepted: expected a number above 0" in found["train.learning_rate"]
        assert found["adapter.alpha"].strip().startswith("command line: ")
        assert found["train.epochs"].strip().startswith(str(tmp_path / "recipe.toml"))

    @pytest.mark.parametrize(
        "key",
        ["train.epochs", "train.seed", "train.learning_rate", "train.weight_decay", "train.checkpoint_minutes",
         "train.warmup_share", "adapter.alpha", "retention.budget", "evaluate.confidence", "data.max_rows"],
    )  # fmt: skip
    @pytest.mark.parametrize("value", ["true", "false"])
    def test_a_bool_is_not_a_number(self, tmp_path: Path, key: str, value: str) -> None:
        message = refusal(tmp_path, MINIMAL, f"{key}={value}")
        assert f"`{key}` = {value.title()} is not accepted" in message

    @pytest.mark.parametrize("value", ["inf", "nan", "-inf"])
    @pytest.mark.parametrize("key", ["train.learning_rate", "train.weight_decay", "adapter.alpha", "retention.budget"])
    def test_a_number_is_finite(self, tmp_path: Path, key: str, value: str) -> None:
        assert f"`{key}` = {value} is not accepted" in refusal(tmp_path, MINIMAL, f"{key}={value}")

    def test_only_clipping_can_be_put_off_with_inf(self, tmp_path: Path) -> None:
        (tmp_path / "recipe.toml").write_text(MINIMAL)
        loaded = load_recipe(tmp_path / "recipe.toml", ["train.max_grad_norm=inf"])
        assert loaded.recipe.train.max_grad_norm == float("inf")

    @pytest.mark.parametrize(
        "name", ["scores", "scores.py:tone", "a.b:tone", ":tone", "scores:", "scores:to-ne", "7:f"]
    )
    def test_what_names_no_function(self, tmp_path: Path, name: str) -> None:
        message = refusal(tmp_path, MINIMAL, f'evaluate.metric="{name}"')
        expected = '"exact_match", "chrf" or "auto" or text like "scores:tone". The score that decides'
        assert f"`evaluate.metric` = {name!r} is not accepted" in message and expected in message
        assert "is not accepted" in refusal(tmp_path, MINIMAL, f'evaluate.metrics=["{name}"]')

    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(RecipeError, match=r"none\.toml: no such recipe\. Make one with `burnish init DATA`\."):
            load_recipe(tmp_path / "none.toml")

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(RecipeError, match=r"this is a folder\. Name the recipe file in it\."):
            load_recipe(tmp_path)

    def test_not_toml(self, tmp_path: Path) -> None:
        message = refusal(tmp_path, "task = chat\n")
        assert "recipe.toml: not valid TOML" in message
        assert "line 1" in message
        assert "Text needs quotes" in message

    def test_not_utf8(self, tmp_path: Path) -> None:
        (tmp_path / "recipe.toml").write_bytes('task = "ü"'.encode("latin-1"))
        with pytest.raises(RecipeError, match=r"recipe\.toml: not UTF-8 text\..*save it as UTF-8"):
            load_recipe(tmp_path / "recipe.toml")

    def test_a_byte_order_mark_is_fine(self, tmp_path: Path) -> None:
        (tmp_path / "recipe.toml").write_text("\ufeff" + MINIMAL, encoding="utf-8")
        assert load_recipe(tmp_path / "recipe.toml").recipe.task is Task.CLASSIFICATION


class TestOverrides:
    def test_lie_over_the_file(self, tmp_path: Path) -> None:
        recipe = load(
            tmp_path,
            MINIMAL + "[train]\nepochs = 3\nseed = 7\n",
            "train.epochs=2",
            "train.learning_rate=1e-4",
            "task=chat",
            "prompt.system=Be kind = be brief",
            'evaluate.arms=["zero_shot"]',
            "data.columns.text=body",
        )
        assert (recipe.train.epochs, recipe.train.seed, recipe.train.learning_rate) == (2, 7, 1e-4)
        assert (recipe.task, recipe.prompt.system) == ("chat", "Be kind = be brief")
        assert recipe.evaluate.arms == ("zero_shot",)
        assert recipe.data.columns == {"text": "body"}

    @pytest.mark.parametrize("text", ["train.epochs", "=2", "--epochs"])
    def test_not_an_override(self, tmp_path: Path, text: str) -> None:
        message = f'"{text}": not an override. Write key=value, e.g. train.epochs=2.'
        assert refusal(tmp_path, MINIMAL, text) == message

    def test_an_unknown_key(self, tmp_path: Path) -> None:
        message = refusal(tmp_path, MINIMAL, "train.epoch=2")
        assert message == "command line: `train.epoch` is not a key of a recipe. Did you mean `train.epochs`?"

    def test_origins(self, tmp_path: Path) -> None:
        (tmp_path / "recipe.toml").write_text(MINIMAL + "[train]\nepochs = 3\nseed = 7\n")
        overrides = ["train.epochs=2", "data.columns.text=body"]
        loaded = load_recipe(tmp_path / "recipe.toml", overrides)
        kinds = {key: origin.kind for key, _, origin in origins_of_all(loaded)}
        assert list(kinds) == all_keys()
        assert kinds["train.seed"] is OriginKind.FILE
        assert kinds["train.epochs"] is OriginKind.COMMAND_LINE
        assert kinds["data.columns"] is OriginKind.COMMAND_LINE
        assert kinds["adapter.alpha"] is OriginKind.DEFAULT


class TestPaths:
    def test_relative_to_the_file_and_overrides_to_the_current_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "recipes").mkdir()
        (tmp_path / "cwd" / "my-base").mkdir(parents=True)
        monkeypatch.chdir(tmp_path / "cwd")
        recipe = load(
            tmp_path / "recipes", MINIMAL + 'validation = "../v.csv"\n', "data.test=t.csv", "model.base=my-base"
        )
        assert recipe.data.train == str(tmp_path / "recipes" / "rows.jsonl")
        assert recipe.data.validation == str(tmp_path / "v.csv")
        assert recipe.data.test == str(tmp_path / "cwd" / "t.csv")
        assert recipe.model.base == str(tmp_path / "cwd" / "my-base")

    def test_the_files_of_retention_lie_beside_the_recipe_too(self, tmp_path: Path) -> None:
        found = load(tmp_path, MINIMAL + '[retention]\nkeep = "k.jsonl"\ngeneral = "../g.jsonl"\n').retention
        assert (found.keep, found.general) == (str(tmp_path / "k.jsonl"), str(tmp_path.parent / "g.jsonl"))

    def test_a_base_may_also_be_a_name(self, tmp_path: Path) -> None:
        assert load(tmp_path, MINIMAL + '[model]\nbase = "owner/name"\n').model.base == "owner/name"

    def test_an_unknown_home_is_left_to_the_reader_of_the_file(self, tmp_path: Path) -> None:
        assert load(tmp_path, MINIMAL, "data.test=~nobody-of-this-name/t.csv").data.test


words = st.text(min_size=1, max_size=12)
tables = st.fixed_dictionaries(
    {
        "task": st.sampled_from([task.value for task in Task]),
        "data": st.fixed_dictionaries(
            {"train": st.just("rows.jsonl"), "columns": st.dictionaries(words, words, max_size=3)},
            optional={"group_by": words, "max_rows": st.integers(1, 10**9), "test_share": st.floats(0, 0.999)},
        ),
        "prompt": st.fixed_dictionaries({}, optional={"system": words, "labels": st.lists(words, max_size=3)}),
        "adapter": st.fixed_dictionaries({}, optional={"target_modules": words | st.lists(words, max_size=3)}),
        "train": st.fixed_dictionaries(
            {}, optional={"learning_rate": st.floats(1e-300, 1e300), "epochs": st.just("auto") | st.integers(1, 99)}
        ),
        "retention": st.fixed_dictionaries({}, optional={"budget": st.just("off") | st.floats(1e-9, 9)}),
    }
)


class TestWrite:
    @settings(max_examples=25, deadline=None)
    @given(tables)
    def test_a_saved_recipe_reads_back_equal(self, tmp_path_factory: pytest.TempPathFactory, values: object) -> None:
        recipe = build_recipe(values).recipe  # type: ignore[arg-type]
        path = tmp_path_factory.mktemp("saved") / "recipe.toml"
        write_text(path, dump_recipe(recipe))
        assert load_recipe(path).recipe == recipe

    def test_the_schema_in_docs_is_the_one_of_the_code(self) -> None:
        path = ROOT / "docs" / "recipe.schema.json"
        assert path.read_text(encoding="utf-8") == json_schema(), "run `make schema`"

    def test_the_schema_knows_every_key(self) -> None:
        schema = json.loads(json_schema())
        for key in all_keys():
            table = schema
            for part in key.split("."):
                table = schema["$defs"][table["$ref"].rsplit("/", 1)[-1]] if "$ref" in table else table
                table = table["properties"][part]
            assert table.get("description") or key == "task" or "$ref" in table, key

    def test_the_schema_has_the_limits(self) -> None:
        train = json.loads(json_schema())["$defs"]["TrainSection"]["properties"]
        assert train["epochs"]["anyOf"][0] == {"minimum": 1, "type": "integer"}
        assert (train["max_grad_norm"]["exclusiveMinimum"], train["weight_decay"]["minimum"]) == (0.0, 0.0)

    def test_every_key_is_described(self) -> None:
        assert [key for key, _ in describe_keys()] == all_keys()
        assert all(text for _, text in describe_keys())

    def test_a_starter_recipe_loads(self, tmp_path: Path) -> None:
        text = starter_recipe(task=Task.CHAT, data='odd "name" \\ ü.jsonl', base="owner/name", notes=["Why."])
        recipe = load(tmp_path, text)
        assert recipe.task is Task.CHAT
        assert recipe.data.train == str(tmp_path / 'odd "name" \\ ü.jsonl')
        assert recipe.model.base == "owner/name"
        assert "# Why.\n" in text


def test_a_dataset_of_the_hub_is_no_path(tmp_path: Path) -> None:
    data = load(tmp_path, 'task = "chat"\n[data]\ntrain = "hf://datasets/example/one"\ntest = "x.jsonl"\n').data
    assert (data.train, data.test) == ("hf://datasets/example/one", str(tmp_path / "x.jsonl"))
