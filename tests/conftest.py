"""What holds for the whole suite."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from burnish.report.plots import svg

LONG = ("test_ranks.py", "test_shard.py", "test_pipeline.py", "test_worker.py")
_draw = svg._draw_svg


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: so they stay on one worker, which sets them up once, while others take from the end."""
    items.sort(key=lambda item: item.path.name not in LONG)


@pytest.fixture(scope="session", autouse=True)
def drawn_only_where_asked() -> Iterator[None]:
    """Plots are slow to draw: only tests that ask for `drawing` have them, and runs in processes of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(svg, "_draw_svg", lambda *_: '<svg viewBox="0 0 1 1"></svg>')
        yield


@contextmanager
def drawn() -> Iterator[None]:
    """In the block the plots of a page are drawn."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(svg, "_draw_svg", _draw)
        yield


@pytest.fixture
def drawing() -> Iterator[None]:
    """The plots of the page are drawn."""
    with drawn():
        yield
