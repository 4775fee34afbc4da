"""The page in a browser: it fits its window, its targets are large enough. Skipped where there is no Chromium."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from burnish.files import read_json
from burnish.report.page import write_report
from tests.conftest import drawn

from .sample_run import ALL_ARMS, build_sample_run, change_json

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
FLAGS = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync"
FLAGS += " --disable-component-update --allow-file-access-from-files --virtual-time-budget=2000 --window-size=1280,2000"
# A window can't be as narrow as a phone, a frame can.
MEASURE = """<iframe id="page" src="PAGE" style="width:WIDTHpx;height:2000px;border:0"></iframe><script>
page.onload = () => {
  const inner = page.contentDocument, out = document.createElement("pre");
  const sizes = [...inner.querySelectorAll("a, summary, button, select, input")].map((each) => {
    const box = each.getBoundingClientRect();
    return [each.tagName + " " + each.textContent.trim().slice(0, 30), box.width, box.height];
  });
  const [width, height] = [inner.documentElement.scrollWidth, inner.documentElement.scrollHeight];
  out.textContent = JSON.stringify({width, height, small: sizes.filter(([, w, h]) => w > 0 && (w < 24 || h < 24))});
  document.body.append(out);
};
</script>"""


def measure(report: Path, width: int) -> dict[str, Any]:
    """How wide and long the page is in a window of `width`, and its targets under 24 px."""
    frame = report.parent / "frame.html"
    frame.write_text(MEASURE.replace("PAGE", report.name).replace("WIDTH", str(width)))
    profile = f"--user-data-dir={report.parent / 'profile'}"
    command = [str(CHROMIUM), *FLAGS.split(), profile, "--dump-dom", frame.as_uri()]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    measured = re.search(r"<pre>(.*?)</pre>", found, re.DOTALL)
    assert measured is not None
    return dict(json.loads(html.unescape(measured[1])))


@pytest.mark.parametrize("task", ["extraction", "classification"])
def test_it_fits_a_laptop_and_a_phone_and_can_be_pressed(tmp_path: Path, task: str) -> None:
    run = build_sample_run(tmp_path, task, arms=tuple(ALL_ARMS))
    evaluation = read_json(run.evaluation)
    calibration = evaluation["arms"][6][task]["calibration"]
    assert calibration["before"] is not None  # the longest note of a cell
    change_json(run.evaluation, arms=evaluation["arms"])
    with drawn():
        report = write_report(run)
    for width in (1280, 390):
        found = measure(report, width)
        assert found["width"] <= width
        assert found["small"] == []
