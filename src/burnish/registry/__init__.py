"""An SQLite index of run folders, and the count of how often each test split was opened.

The run folders are the truth: the index of them can be made again at any time (`rebuild_registry`).
The openings are kept nowhere else; that table is only ever appended to.
"""

from burnish.registry.index import Registry, open_registry
from burnish.registry.records import RunRecord, RunStatus
from burnish.registry.repair import Rebuilt, rebuild_registry

__all__ = ["Rebuilt", "Registry", "RunRecord", "RunStatus", "open_registry", "rebuild_registry"]
