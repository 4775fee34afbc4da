"""The systems that are compared, and one run of one of them in a fresh process."""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import torch
from job import SWITCHES
from peer import Job
from work import product_rate

from burnish.model.device import KERNEL_LIMITS

HERE = Path(__file__).parent
REFERENCE = "burnish"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
_SCORES: dict[tuple[Path, str], float] = {}
"""Losses by job and digest of the adapter."""


@dataclass(frozen=True)
class System:
    """A script and the environment in which it runs: `.venv-NAME` beside this folder; burnish's own is this one."""

    title: str
    script: str
    words: tuple[str, ...] = ()
    environment: str | None = None

    @property
    def python(self) -> Path:
        """The interpreter; it need not be there."""
        return Path(sys.executable) if self.environment is None else environment_python(self.environment)


def environment_python(name: str) -> Path:
    """The interpreter of a peer's environment."""
    return HERE.parent / f".venv-{name}" / "bin" / "python"


SYSTEMS = {
    "trl-default": System("TRL, its defaults", "run_trl.py", ("default",), "trl"),
    "trl-tuned": System("TRL, tuned", "run_trl.py", ("tuned",), "trl"),
    "llamafactory": System("LLaMA-Factory, tuned", "run_llamafactory.py", (), "llamafactory"),
    "litgpt": System("LitGPT, tuned", "run_litgpt.py", (), "litgpt"),
    "swift": System("ms-swift, tuned", "run_swift.py", (), "swift"),
    "trl-bf16": System("TRL, tuned, the base in bf16", "run_trl.py", ("tuned", "bf16"), "trl"),
    "swift-bf16": System("ms-swift, tuned, the base in bf16", "run_swift.py", ("bf16",), "swift"),
    REFERENCE: System("burnish", "run_burnish.py"),
    "burnish-bf16": System("burnish, the base in bf16", "run_burnish.py", ("bf16",)),
    **{
        f"{REFERENCE}-{name}": System(f"burnish, train.{name} = false", "run_burnish.py", (f"{name}=off",))
        for name in SWITCHES
    },
}


@dataclass(frozen=True)
class Sizes:
    """Of a job: its examples, what its steps after the first hold, and what the base holds."""

    examples: int
    real_tokens: int
    supervised_tokens: int
    body_weights: int
    head_weights: int


@dataclass(frozen=True)
class Result:
    """One system, one repetition; times in seconds. `ended` tells why there is nothing else, where there is not."""

    workload: str
    repetition: int
    system: str
    sizes: Sizes
    ended: str = "well"
    to_adapter: float = 0.0
    """From exec to the adapter on disk."""
    to_first_step: float = 0.0
    steps: float = 0.0
    """From the end of the first step to the end of the last; the two counts of tokens are of these steps."""
    executed_tokens: int = 0
    head_tokens: int = 0
    """Those whose logits are computed."""
    peak_rss_gb: float = 0.0
    nll: float = 0.0
    precision: str = ""
    recomputes: bool = False
    machine: str = ""
    product_rates: dict[str, float] = field(default_factory=dict)
    """Of matrix products by format, operations a second, just before the run."""
    day: str = field(default_factory=lambda: date.today().isoformat())


def run_once(workload: str, repetition: int, name: str, job: Path, limit: float) -> Result:
    """Train in a fresh process, of at most `limit` seconds, and let the neutral judge score the adapter."""
    system, sizes = SYSTEMS[name], sizes_of(job)
    rates = {kind: product_rate(dtype, torch.device("cpu"), 1024) for kind, dtype in DTYPES.items()}
    if name == "litgpt":  # has a format of its own
        subprocess.run([system.python, HERE / system.script, job, "prepare"], check=True, capture_output=True)
    output = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        start = time.time()
        ended, peak_kb = _execute([system.python, HERE / system.script, job, output, *system.words], output, limit)
        if ended != "well":
            return Result(workload, repetition, name, sizes, ended)
        facts = json.loads((output / "facts.json").read_text())
        return Result(
            workload,
            repetition,
            name,
            sizes,
            to_adapter=facts["saved_at"] - start,
            to_first_step=facts["step_ends"][0] - start,
            steps=facts["step_ends"][-1] - facts["step_ends"][0],
            executed_tokens=sum(facts["executed_tokens"][1:]),
            head_tokens=sum(facts["head_tokens"][1:]),
            peak_rss_gb=peak_kb / 1e6,
            nll=_score(job, output / "adapter"),
            precision=facts["precision"],
            recomputes=facts["recomputes"],
            machine=machine(),
            product_rates=rates,
        )
    finally:
        shutil.rmtree(output)


def machine() -> str:
    """The processor in words."""
    info = Path("/proc/cpuinfo")
    flags = info.read_text() if info.is_file() else ""
    kind = "AVX512-BF16" if "avx512_bf16" in flags else "AVX2" if "avx2" in flags else platform.machine()
    return f"{os.cpu_count()} CPU cores ({kind})"


def sizes_of(folder: Path) -> Sizes:
    """Of the job in a folder."""
    job = Job(folder)
    return Sizes(
        examples=sum(map(len, job.steps)),
        real_tokens=sum(len(row["ids"]) for step in job.steps[1:] for row in step),
        supervised_tokens=sum(job.learned_tokens[1:]),
        body_weights=job.body_weights,
        head_weights=job.head_weights,
    )


def _execute(command: list[str | Path], output: Path, limit: float) -> tuple[str, int]:
    """How it ended, and its peak memory in kilobytes."""
    with (output / "log").open("w") as log:
        start = time.time()
        # What burnish sets for itself when it is imported here is not to be inherited by its peers.
        environment = {name: value for name, value in os.environ.items() if name not in KERNEL_LIMITS}
        process = subprocess.Popen([*map(str, command)], stdout=log, stderr=subprocess.STDOUT, env=environment)
        while (waited := os.wait4(process.pid, os.WNOHANG))[0] == 0:
            if time.time() - start > limit:
                process.kill()
                os.wait4(process.pid, 0)
                return f"more than {limit:.0f} s", 0
            time.sleep(0.05)
    _, status, usage = waited
    code = os.waitstatus_to_exitcode(status)
    if code == 0:
        return "well", usage.ru_maxrss
    print("\n".join((output / "log").read_text().splitlines()[-15:]))
    return "killed: out of memory" if code == -9 else f"failed with {code}", 0


def _score(job: Path, adapter: Path) -> float:
    """The judge's loss. Repetitions of one system mostly give the same bytes, which are judged once."""
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(adapter.glob("adapter_*")))).hexdigest()
    if (job, digest) not in _SCORES:
        command = [sys.executable, str(HERE / "score.py"), str(job), str(adapter)]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        _SCORES[job, digest] = float(json.loads(printed)["nll"])
    return _SCORES[job, digest]
