"""A server's database, and a client of its routers, in a folder of the test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from burnish.serve.jobs.store import Store, open_store
from burnish.serve.settings import ServeSettings
from tests.serve.jobs.jobs_app import client_of


@pytest.fixture
def settings(tmp_path: Path) -> ServeSettings:
    return ServeSettings(runs=tmp_path / "runs", max_file_bytes=10_000)


@pytest.fixture
def store(settings: ServeSettings) -> Iterator[Store]:
    with open_store(settings.folder) as opened:
        yield opened


@pytest.fixture
def client(store: Store, settings: ServeSettings) -> TestClient:
    return client_of(store, settings)
