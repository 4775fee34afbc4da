"""What burnish computes with, so that what is kept of results and times is known to be out of date."""

from functools import cache
from importlib import resources

from burnish.files import sha256_of_json


@cache
def arithmetic() -> str:
    """The hash of the sources of this folder."""
    sources = resources.files("burnish.model").iterdir()
    return sha256_of_json(sorted(file.read_text(encoding="utf-8") for file in sources if file.name.endswith(".py")))
