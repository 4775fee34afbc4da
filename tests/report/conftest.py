"""Plots are slow to draw, so only the tests that ask for `drawing` have them."""

import pytest

from burnish.report.plots import svg


@pytest.fixture(scope="session")
def drawing() -> None:
    """The plots of the page are drawn."""


@pytest.fixture(autouse=True)
def drawn_only_where_asked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "drawing" not in request.fixturenames:
        monkeypatch.setattr(svg, "_draw_svg", lambda *_: '<svg viewBox="0 0 1 1"></svg>')
