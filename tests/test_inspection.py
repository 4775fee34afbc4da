"""What `burnish check --deep` asks the models: answers that the base finds strange, and copies in other words."""

import json
from pathlib import Path

import pytest

from burnish import examination
from burnish.errors import BaseModelError
from burnish.inspection import Inspection, inspect_data
from burnish.recipe import build_recipe
from tests.tiny import save_base

CITIES = ("Paris France", "Rome Italy", "Madrid Spain", "Berlin Germany", "Vienna Austria", "Athens Greece")
CITIES += ("Kyoto Japan", "Pisa Italy", "Nice France", "Cusco Peru", "Giza Egypt", "Graz Austria")
CITIES += ("Bonn Germany", "Milan Italy", "Lyon France", "Osaka Japan", "Turin Italy", "Porto Portugal")
CITIES += ("Lisbon Portugal", "Warsaw Poland", "Oslo Norway", "Cairo Egypt", "Tokyo Japan", "Lima Peru")


def rows() -> list[dict[str, str]]:
    pairs = [city.split() for city in CITIES]
    return [{"question": f"In which land is {city}?", "answer": f"It is in {land}."} for city, land in pairs]


def inspect(folder: Path, rows: list[dict[str, str]], *, base: str, deep: bool = True) -> Inspection:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    values = {
        "task": "chat",
        "data": {"train": str(path), "validation_share": 0.25, "test_share": 0.3},
        "model": {"base": base},
        "train": {"precision": "fp32"},
    }
    return inspect_data(build_recipe(values, name="test"), deep=deep)


def found(inspection: Inspection) -> set[tuple[str, str | None]]:
    return {(f.check, f.row) for f in inspection.findings if f.check in ("similar_question", "strange_answer")}


@pytest.mark.real
def test_a_damaged_answer_stands_out(tmp_path: Path) -> None:
    planted = [*rows(), {"question": "In which land is Lima today?", "answer": "Qx vv81 zk."}]
    for examples, expected in ((rows(), set()), (planted, {("strange_answer", f"rows.jsonl:{len(planted)}")})):
        assert found(inspect(tmp_path, examples, base="smollm2-135m-instruct")) == expected


@pytest.mark.real
def test_a_copy_in_other_words_is_told_where_it_is_asked_for(tmp_path: Path) -> None:
    save_base(tmp_path / "base")
    questions = ("How do I get a new password?", "Could you tell me how I get a new password?")
    planted = [*rows(), *({"question": question, "answer": "Click on the key."} for question in questions)]
    assert found(inspect(tmp_path, planted, base=str(tmp_path / "base"), deep=False)) == set()
    told = ("similar_question", f"rows.jsonl:{len(planted)}")
    assert found(inspect(tmp_path, planted, base=str(tmp_path / "base"))) == {told}


def test_the_rest_is_checked_without_the_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise BaseModelError("no way to it")

    monkeypatch.setattr("burnish.model.encoder.load_encoder", missing)
    save_base(tmp_path / "base")
    inspection = inspect(tmp_path, rows(), base=str(tmp_path / "base"))
    assert inspection.prepared is not None
    assert [f.message for f in inspection.findings if f.check == examination.ENCODER_MISSING.id] == ["no way to it"]
