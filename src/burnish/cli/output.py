"""What every verb writes in the same way."""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import typer

from burnish.cli.streams import is_unicode


def print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=not is_unicode(sys.stdout)))


def print_next(*commands: tuple[str, str]) -> None:
    """What to type now, so that the shell finds it: a virtual environment need not be active."""
    from rich.console import Console

    script = Path(sys.argv[0])
    is_hidden = script.stem == "burnish" and script.is_file() and not shutil.which("burnish")
    name = os.path.relpath(script) if is_hidden else "burnish"
    width = max(len(command) for command, _ in commands)
    console = Console(highlight=False)
    console.print("\nNext:", markup=False)
    for command, purpose in commands:
        console.print(f"  {name} {command:{width}}    {purpose}", markup=False, soft_wrap=True)
