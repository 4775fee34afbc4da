"""A talk with base and specialist side by side."""

import json
import sys
from collections.abc import Iterator

from rich.columns import Columns
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from burnish.conversation import Message, Role
from burnish.specialist import Specialist


def chat_loop(specialist: Specialist, console: Console, *, message: str | None, as_json: bool) -> None:
    """Answer `message`, or each line of standard input until its end; each line is a conversation of its own."""
    for text in [message] if message else _lines(console):
        asked = [Message(Role.USER, text)]
        answers = {
            "base": specialist.generate(asked, use_adapter=False),
            "specialist": specialist.generate(asked),
        }
        if as_json:
            print(json.dumps({"message": text, **answers}, ensure_ascii=False), flush=True)
        elif console.is_terminal:
            width = max(24, console.width // 2 - 2)
            panels = [Panel(Text(answer), title=name, width=width) for name, answer in answers.items()]
            console.print(Columns(panels))
        else:
            for name, answer in answers.items():
                console.print(f"{name}: {answer}", markup=False, soft_wrap=True)


def _lines(console: Console) -> Iterator[str]:
    if sys.stdin.isatty():
        console.print("Each line is a message of its own; an empty line or Ctrl-D ends.", style="dim")
    while True:
        try:
            line = input("> " if sys.stdin.isatty() else "").strip()
        except EOFError:
            return
        if not line:
            return
        yield line
