"""The public datasets that some tests use, kept beside the repository; such a test is skipped where they are not."""

import os
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("BURNISH_DATASETS", Path(__file__).parents[2] / "shared" / "data"))


def dataset(name: str) -> Path:
    """A file or folder of the datasets."""
    if not (FOLDER / name).exists():
        pytest.skip(f"the dataset {name} is not there")
    return FOLDER / name
