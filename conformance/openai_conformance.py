"""A pytest plugin for the tests of OpenAI's own client: what is known to fail, and a fresh server for each test."""

import os
import urllib.request
from collections.abc import Iterator

import pytest

BASE_URL = os.environ["TEST_API_BASE_URL"]

EMBEDDINGS = "the client asks for base64, and its strict model of the reply wants a list of floats"
PAUSED = 'the documented status "paused" is not among the values of the client\'s own type'
MD5 = 'the test sends "md5" as the MD5 of its parts, and ours is checked'
STORED = "stored completions are not offered"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what cannot pass. Strictly: what passes by surprise fails."""
    for item in items:
        if reason := _known_failure(item.nodeid):
            item.add_marker(pytest.mark.xfail(strict=True, reason=reason))
        if "chat/test_completions.py" in item.nodeid and "_create" not in item.nodeid:
            item.add_marker(pytest.mark.skip(reason=STORED))


@pytest.fixture(autouse=True)
def _reseed() -> Iterator[None]:
    """The files, jobs and models that the tests name, as they were."""
    url = BASE_URL.removesuffix("/v1") + "/_test/reseed"
    urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=30).read()
    yield


def _known_failure(name: str) -> str | None:
    is_strict = "[strict]" in name or "[aiohttp]" in name
    if "test_embeddings.py" in name and "with_all_params" not in name and is_strict:
        return EMBEDDINGS
    if "_pause[" in name and "path_params" not in name:
        return PAUSED
    if "test_uploads.py" in name and "complete_with_all_params" in name:
        return MD5
    return None
