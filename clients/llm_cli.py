"""The command line `llm` as its users type it: python llm_cli.py BASE_URL MODEL TUNED ENCODER"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

LLM = Path(sys.executable).parent / "llm"
ANSWER_S = 120


def main(base_url: str, tuned: str) -> None:
    """A plain answer, a stream, an answer by a schema, an unknown model; each step is told on a line."""
    with tempfile.TemporaryDirectory() as folder:
        # YAML takes JSON; `served` and `nobody` are the names on the command line.
        models = [
            {
                "model_id": name,
                "model_name": served,
                "api_base": base_url,
                "api_key_name": "burnish",
                "supports_schema": True,
            }
            for name, served in (("served", tuned), ("nobody", "no-such-model"))
        ]
        (Path(folder) / "extra-openai-models.yaml").write_text(json.dumps(models))
        (Path(folder) / "keys.json").write_text('{"burnish": "none"}')
        options = ["-m", "served", "-o", "temperature", "0", "-o", "max_tokens"]
        whole = ask(folder, "Hello", *options, "8", "--no-stream")
        assert whole.strip(), "an empty answer"
        print("plain")
        assert ask(folder, "Hello", *options, "8") == whole
        print("stream")
        schema = {"type": "object", "properties": {"colour": {"enum": ["red", "blue"]}}, "required": ["colour"]}
        answer = json.loads(ask(folder, "Which?", *options, "200", "--schema", json.dumps(schema)))
        assert answer["colour"] in ("red", "blue"), answer
        print("schema")
        told = ask(folder, "Hello", "-m", "nobody", code=1)
        assert "no-such-model" in told and "does not exist" in told, told
        print("error")


def ask(folder: str, *arguments: str, code: int = 0) -> str:
    """What `llm` prints."""
    environment = {**os.environ, "LLM_USER_PATH": folder}
    done = subprocess.run([LLM, *arguments], env=environment, capture_output=True, text=True, timeout=ANSWER_S)
    assert done.returncode == code, (arguments, done.returncode, done.stderr[-500:])
    return done.stdout if code == 0 else done.stderr


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[3])
