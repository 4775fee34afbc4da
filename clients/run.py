"""Do the clients that people have work with a live `burnish serve`, unchanged? python -m clients.run

One server on a tiny base with a fine-tuned model; each client that is installed talks to it once. `make clients`
installs each in an environment of its own; what cannot be installed is told, with its reason, and fails nothing.
Exit code 1 where an installed one fails.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.live_server import add_adapter, live_server, make_jobs_quick
from tests.tiny import adapt, build_model, save_base

from burnish.model.base import find_base
from burnish.model.encoder import DEFAULT_ENCODER

HERE = Path(__file__).resolve().parent
MODEL, TUNED = "tiny", "ft:tiny:clients::0001"
CLIENT_S = 300
MAX_LENGTH = 4096


@dataclass(frozen=True)
class Client:
    """A package, the script that uses it, and where `make clients` puts it."""

    name: str
    script: str
    home: Path

    @property
    def command(self) -> list[str] | None:
        """What runs a script beside the package; None where it is not installed."""
        if self.script.endswith(".mjs"):
            node = shutil.which("node")
            return [node] if node and (self.home / "node_modules" / "openai").is_dir() else None
        python = self.home / "bin" / "python"
        return [str(python)] if (self.home / ".installed").is_file() else None

    @property
    def failure(self) -> Path:
        """What the installation said where it failed."""
        return self.home / ("node.failed" if self.script.endswith(".mjs") else "pip.log")


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    client: str
    version: str
    steps: str
    result: str


def main() -> int:
    """Serve, talk, tell."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs, base = folder / "runs", save_base(folder / "tiny", max_position_embeddings=MAX_LENGTH)
        make_jobs_quick(runs)
        # What the fine-tuned model says does not matter here, that it is not what the base says does.
        tuned = adapt(build_model(max_position_embeddings=MAX_LENGTH))
        add_adapter(runs, TUNED, tuned, base=find_base(str(base)), base_id=MODEL, precision="fp32")
        with live_server(folder, arguments=["--base", str(base)]) as server:
            arguments = [server.base_url, MODEL, TUNED, DEFAULT_ENCODER]
            rows = [talk(client, arguments) for client in clients(_environments())]
    print_table(rows)
    return 1 if any(row.result.startswith("failed") for row in rows) else 0


def clients(environments: Path) -> Iterator[Client]:
    """All of them, whether they are installed or not."""
    yield Client("openai (node)", "openai_node.mjs", HERE)
    yield Client("llm", "llm_cli.py", environments / ".venv-clients-llm")
    yield Client("langchain-openai", "langchain_client.py", environments / ".venv-clients-langchain")
    yield Client("openai (python)", "openai_python.py", environments / ".venv-clients-openai-1")
    yield Client("openai (python)", "openai_python.py", environments / ".venv-clients-openai-2")


def talk(client: Client, arguments: Sequence[str]) -> Row:
    """One client's steps, as it tells them."""
    command = client.command
    if command is None:
        return Row(client.name, "-", "-", f"not installed: {_reason(client)}")
    version = _version(client, command)
    try:
        done = subprocess.run(
            [*command, str(HERE / client.script), *arguments],
            capture_output=True,
            text=True,
            timeout=CLIENT_S,
            cwd=HERE,
        )
    except subprocess.TimeoutExpired as error:
        steps = (error.stdout or b"").decode().split("\n")[:-1]
        return Row(client.name, version, ", ".join(steps), f"failed: nothing more within {CLIENT_S} s")
    steps = done.stdout.strip().split("\n")
    if done.returncode == 0:
        return Row(client.name, version, ", ".join(steps), "ok")
    print(f"{client.name} {version}:\n{done.stderr[-3000:]}\n")
    return Row(client.name, version, ", ".join(steps), f"failed: {_last_line(done.stderr)}")


def print_table(rows: Sequence[Row]) -> None:
    """In Markdown, for the guides."""
    print("| client | version | what it did | result |\n|---|---|---|---|")
    for row in rows:
        print(f"| {row.client} | {row.version} | {row.steps} | {row.result} |")


def _reason(client: Client) -> str:
    if client.script.endswith(".mjs") and not shutil.which("node"):
        return "there is no node on the path"
    return _last_line(client.failure.read_text()) if client.failure.is_file() else "run make clients"


def _version(client: Client, command: Sequence[str]) -> str:
    package = client.name.partition(" ")[0]
    if client.script.endswith(".mjs"):
        manifest = client.home / "node_modules" / package / "package.json"
        return str(json.loads(manifest.read_text())["version"])
    ask = ["-c", f"from importlib.metadata import version; print(version({package!r}))"]
    return subprocess.run([*command, *ask], capture_output=True, text=True, cwd=HERE).stdout.strip()


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    faults = [line for line in lines if "rror" in line] or lines
    return faults[-1][:200].replace("|", "/") if faults else "no reason was told"


def _environments() -> Path:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--environments", type=Path, default=HERE.parent, help="the folder of the .venv-clients-*")
    found: Path = parser.parse_args().environments
    return found.resolve()


if __name__ == "__main__":
    sys.exit(main())
