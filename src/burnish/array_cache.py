"""Arrays that take long to make, kept between runs in the user's cache."""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from burnish.cache import cache_dir, tolerate_unwritable
from burnish.files import keep_newest, new_folder

T = TypeVar("T", bound=np.generic)
_FILE = "array.npy"


def kept_array(
    kind: str, key: str, make: Callable[[], npt.NDArray[T]], *, shape: tuple[int, ...], max_kept: int
) -> npt.NDArray[T]:
    """What `make` gives, an array of `shape`, or what it gave when it was last asked with this `key`.

    `key` is a hash of all that the array depends on. Of a `kind` the `max_kept` arrays that were used last stay. What
    is damaged is made again, and a cache that cannot be written is no reason to stop.
    """
    folder = cache_dir() / kind / key
    try:
        found: npt.NDArray[T] = np.load(folder / _FILE, allow_pickle=False)
        folder.touch()  # so that it is not the next to go
    except (OSError, ValueError, EOFError):
        pass
    else:
        if found.shape == shape:
            return found
    made = make()
    with tolerate_unwritable():
        with new_folder(folder) as draft:
            np.save(draft / _FILE, made)
        keep_newest(folder.parent, max_kept)
    return made
