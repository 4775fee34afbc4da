"""`{{ item.question }}` and `{{ sample.output_text }}` in a grader's texts, filled in."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
        """
        return _PLACE.sub(lambda match: _as_text(self._find(match.group(1))), template)

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
        except ValueError:
            raise NotJson(self.output_text) from None


def _follow(value: Any, path: list[str], place: str) -> Any:
    for key in path:
        if isinstance(value, Mapping) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isascii() and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            raise UnknownPlace(place)
    return value


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
