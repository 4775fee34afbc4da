"""`{{ item.question }}` and `{{ sample.output_text }}` in a grader's texts, filled in."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from burnish.serve.errors import ApiError
from burnish.serve.jobs.asked import whole_number

MAX_FILLED_CHARACTERS = 2**20
"""A long answer that is put in at many places would fill the memory."""
_PLACE = re.compile(r"\{\{\s*(.*?)\s*\}\}", re.DOTALL)


class UnknownPlace(Exception):  # noqa: N818  (told in the reply, not raised to the client)
    """A template names what is not there."""


class NotJson(Exception):  # noqa: N818
    """A template reads the answer as JSON, which it is not."""


@dataclass(frozen=True)
class Sample:
    """An answer of a model, and the row that it belongs to."""

    output_text: str
    item: Mapping[str, Any]

    def fill(self, template: str) -> str:
        """The text with what its places name.

        Raises:
            UnknownPlace, NotJson: something that it names is not there.
            ApiError: it would become too long.
        """
        size = 0

        def place(match: re.Match[str]) -> str:
            nonlocal size
            text = _as_text(self._find(match.group(1)))
            size += len(text)
            if size > MAX_FILLED_CHARACTERS:
                told = f"A text of the grader is longer than {MAX_FILLED_CHARACTERS:,} characters once it is filled in."
                raise ApiError(told, param="grader")
            return text

        return _PLACE.sub(place, template)

    def _find(self, place: str) -> Any:
        root, *path = place.split(".")
        if root == "item":
            return _follow(self.item, path, place)
        if root != "sample" or not path:
            raise UnknownPlace(place)
        if path[0] == "output_text":
            return _follow(self.output_text, path[1:], place)
        if path[0] == "output_json":
            return _follow(self._json(), path[1:], place)
        if path[0] == "output_tools":
            return _follow([], path[1:], place)
        if path[0] == "choices":
            return _follow([{"message": {"role": "assistant", "content": self.output_text}}], path[1:], place)
        raise UnknownPlace(place)

    def _json(self) -> Any:
        try:
            return json.loads(self.output_text)
        except (ValueError, RecursionError):
            raise NotJson(self.output_text) from None


def _follow(value: Any, path: list[str], place: str) -> Any:
    for key in path:
        if isinstance(value, Mapping) and key in value:
            value = value[key]
        elif isinstance(value, list) and (index := whole_number(key)) is not None and index < len(value):
            value = value[index]
        else:
            raise UnknownPlace(place)
    return value


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
