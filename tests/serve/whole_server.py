"""The whole server on a tiny base, with nothing in place of its parts; it trains nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from burnish.serve.jobs.store import Store, open_store
from burnish.serve.server import build_app
from burnish.serve.settings import ServeSettings
from tests.tiny import save_base


@contextmanager
def whole_server(folder: Path, **changes: Any) -> Iterator[tuple[FastAPI, Store]]:
    """The application, and its store to look into."""
    settings = ServeSettings(runs=folder / "runs", base=str(save_base(folder / "tiny")), trains=False, **changes)
    with open_store(settings.folder) as store:
        yield build_app(settings, store), store
