"""A server with the tiny model, for all tests of the wire."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from openai import OpenAI

from burnish.serve.app import create_app
from tests.serve.plain_backend import PlainBackend, live, settings

LOCAL = "http://127.0.0.1"


@pytest.fixture(scope="session")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlainBackend]:
    found = PlainBackend(tmp_path_factory.mktemp("plain"))
    yield found
    found.engine.close()


@pytest.fixture(scope="session")
def client(backend: PlainBackend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    app = create_app(settings(tmp_path_factory.mktemp("runs")), backend)
    with TestClient(app, base_url=LOCAL) as found:
        yield found


@pytest.fixture(scope="session")
def openai(backend: PlainBackend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAI]:
    """The real client against a live server."""
    with live(create_app(settings(tmp_path_factory.mktemp("live")), backend)) as url:
        yield OpenAI(base_url=url, api_key="any", max_retries=0)
