"""What holds for the whole suite."""

import pytest

LONG = ("test_ranks.py", "test_shard.py", "test_pipeline.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: so they stay on one worker, which sets them up once, while others take from the end."""
    items.sort(key=lambda item: item.path.name not in LONG)
