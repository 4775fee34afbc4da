"""For scripts: a live `burnish serve` in a process of its own, with a tiny base, and what clients ask of it."""

import atexit
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Any

START_S = 180
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def save_tiny_base(folder: Path) -> Path:
    """A random two-layer Llama of bytes: enough for everything but quality."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

    core = Tokenizer(
        models.BPE(vocab={c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, merges=[])
    )
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    marks: dict[str, Any] = {"eos_token": "<|im_end|>", "pad_token": "<|im_end|>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, additional_special_tokens=["<|im_start|>"], **marks)
    tokenizer.chat_template = CHATML
    torch.manual_seed(0)
    sizes = {"vocab_size": 258, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.15}
    ids = {"bos_token_id": None, "eos_token_id": 256, "pad_token_id": 256}
    model: Any = AutoModelForCausalLM.from_config(
        LlamaConfig(**sizes, **heads, **ids, max_position_embeddings=2048, tie_word_embeddings=True)
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


class LiveServer:
    """`burnish serve` for a runs folder: started, killed, and started again at the same address."""

    def __init__(self, runs: Path, base: str, log: Path) -> None:
        self._runs, self._base, self._log = runs, base, log
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = int(free.getsockname()[1])
        atexit.register(self.kill)  # however the script ends
        self.start()

    def start(self) -> None:
        """Begin; `wait_until_ready` tells when it answers."""
        command = [sys.executable, "-m", "burnish", "serve", "--runs", str(self._runs), "--base", self._base]
        with open(self._log, "ab") as log:
            environment = {**os.environ, "BURNISH_CACHE": str(self._runs.parent / "cache")}
            self._process = subprocess.Popen(
                [*command, "--port", str(self._port)], stdout=log, stderr=log, env=environment
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL, to the server alone."""
        self._process.kill()
        self._process.wait()

    def wait_until_ready(self) -> None:
        """Until it answers; ends the script where it never does."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/readyz", timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise SystemExit(f"burnish serve does not start; its log:\n{self._log.read_text(errors='replace')[-3000:]}")

    def get(self, path: str) -> Any:
        return json.loads(self.get_bytes(path))

    def get_bytes(self, path: str) -> bytes:
        return self._ask(urllib.request.Request(self._url(path)))

    def post(self, path: str, body: dict[str, Any]) -> Any:
        data, kind = json.dumps(body).encode(), {"Content-Type": "application/json"}
        return json.loads(self._ask(urllib.request.Request(self._url(path), data, kind)))

    def upload(self, rows: list[dict[str, Any]]) -> str:
        """The id of a training file with these rows."""
        mark = uuid.uuid4().hex
        parts = (
            ('name="purpose"', b"fine-tune"),
            ('name="file"; filename="rows.jsonl"', "".join(json.dumps(row) + "\n" for row in rows).encode()),
        )
        body = b"".join(
            f"--{mark}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + content + b"\r\n"
            for head, content in parts
        )
        kind = {"Content-Type": f"multipart/form-data; boundary={mark}"}
        request = urllib.request.Request(self._url("/files"), body + f"--{mark}--\r\n".encode(), kind)
        return str(json.loads(self._ask(request))["id"])

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._port}/v1{path}"

    def _ask(self, request: urllib.request.Request) -> bytes:
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return bytes(reply.read())
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{request.full_url}: {error} {error.read().decode(errors='replace')}") from None
