"""The drawings of the page, each a function from values of the run's files to a `Plot`, or None without such values."""

import os

from burnish.cache import cache_dir

if not os.access(os.path.expanduser("~"), os.W_OK):
    # matplotlib keeps its list of fonts in the home folder; where there is none it warns, and makes the list each time.
    os.environ.setdefault("MPLCONFIGDIR", str(cache_dir() / "matplotlib"))
