"""What `burnish serve` and `burnish alias` do before and after the server's own work."""

import hashlib
import secrets
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from burnish.errors import BurnishError, RunError
from burnish.files import write_text
from burnish.run_dir import find_run_dir
from burnish.serve.catalog import Catalog
from burnish.serve.jobs.models import aliases, set_alias
from burnish.serve.jobs.store import open_store
from burnish.serve.origins import is_loopback
from burnish.serve.settings import ServeSettings

KEY_FILE = "api_key.sha256"


def key_hash(given: str | None, host: str, folder: Path, console: Console) -> str | None:
    """SHA-256 of the key that clients must send; None on this machine alone where none is given.

    For other machines, where none is given, it is that of the key that was made before, else of a new one, which is
    shown this once.

    Raises:
        BurnishError: the given one is empty.
    """
    if given is not None:
        if not given.strip():
            raise BurnishError("the API key is empty. Give one, or none at all and listen on 127.0.0.1.")
        return _sha256(given)
    if is_loopback(host):
        return None
    path = folder / KEY_FILE
    if path.is_file():
        told = f"Clients need the key that was shown when {path} was made; remove the file for a new one."
        console.print(told, markup=False, soft_wrap=True)
        return path.read_text(encoding="utf-8").strip()
    key = f"sk-burnish-{secrets.token_urlsafe(32)}"
    write_text(path, _sha256(key) + "\n")
    console.print(f"API key, shown this once: {key}", markup=False, soft_wrap=True)
    return _sha256(key)


def name_models(names: Sequence[str], target: str, settings: ServeSettings) -> str:
    """Let each of `names` mean a run, a fine-tuned model or a base; returns the model's own name.

    Raises:
        RunError: there is no such model, or a name is taken.
    """
    with open_store(settings.folder) as store:
        catalog = Catalog(settings.runs, settings.base, store)
        known = aliases(store)
        for name in names:
            if name not in known and catalog.find(name) is not None:
                raise RunError(f"{name}: a model has this name already. Take another one.")
        model = catalog.find(target)
        if model is None:
            run = find_run_dir(target, settings.runs)
            model = catalog.find(run.run_id)
            if model is None:
                raise RunError(f"{run.path}: the run is not finished. Go on with `burnish run --resume {run.run_id}`.")
        for name in names:
            set_alias(store, name, model.id)
        return model.id


def remove_names(names: Sequence[str], settings: ServeSettings) -> None:
    """Let names mean nothing.

    Raises:
        RunError: there is no such alias.
    """
    with open_store(settings.folder) as store:
        for name in names:
            if name not in aliases(store):
                raise RunError(f"{name}: no such alias. `burnish alias` lists all.")
            set_alias(store, name, None)


def list_names(settings: ServeSettings) -> dict[str, str]:
    """All aliases with what they mean."""
    with open_store(settings.folder) as store:
        return aliases(store)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
