"""Tokens to text, a piece at a time: whole characters only, and nothing of what a stop text begins."""

from collections.abc import Callable, Sequence

HALF_CHARACTER = "\N{REPLACEMENT CHARACTER}"


class TextStream:
    """The text of one answer as it grows."""

    def __init__(self, decode: Callable[[Sequence[int]], str], stop: Sequence[str]) -> None:
        self._decode, self._stop = decode, [text for text in stop if text]
        self._ids: list[int] = []
        """Since the last but one place where a character was whole: how a token is spelled depends on those before."""
        self._num_whole = 0
        """Of them, those through the last such place."""
        self._num_said = 0
        """Characters of their text that were said."""
        self._held = ""
        self.has_stopped = False

    def add(self, token: int) -> str:
        """The text that this token completes; empty where nothing can be said yet."""
        self._ids.append(token)
        return self._release(self._new_text(is_last=False), is_last=False)

    def finish(self) -> str:
        """What is left to say when no token follows."""
        return self._release(self._new_text(is_last=True), is_last=True)

    def _new_text(self, *, is_last: bool) -> str:
        text = self._decode(self._ids)
        is_cut = text.endswith(HALF_CHARACTER)  # its last bytes may still become a character
        end = max(self._num_said, len(text) - (is_cut and not is_last))
        new = text[self._num_said : end]
        self._num_said = end
        if not is_cut:
            self._ids = self._ids[self._num_whole :]
            self._num_whole, self._num_said = len(self._ids), len(self._decode(self._ids))
        return new

    def _release(self, new: str, *, is_last: bool) -> str:
        if self.has_stopped:
            return ""
        text = self._held + new
        places = [place for stop in self._stop if (place := text.find(stop)) >= 0]
        if places:
            self.has_stopped, self._held = True, ""
            return text[: min(places)]
        keep = 0 if is_last else max((overlap(text, stop) for stop in self._stop), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]


def overlap(text: str, stop: str) -> int:
    """How many of the last characters of `text` begin `stop`."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
