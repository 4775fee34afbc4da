"""What a bf16 base costs: the same jobs with the base in fp32 and in bf16, judged in fp32; prints a Markdown table.

python benchmarks/precision.py DATA_FOLDER [--workload W1] [--rows 96] [--seeds 0 1 2]

The adapter is fp32 in both. A seed gives the order of the rows and the adapter's start.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from job import WORKLOADS
from systems import HERE, run_once


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--workload", default="W1", choices=WORKLOADS)
    parser.add_argument("--rows", type=int, default=96)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_args()
    print("| seed | held-out loss, fp32 base | bf16 base | difference |")
    print("|---|---|---|---|", flush=True)
    for seed in given.seeds:
        with tempfile.TemporaryDirectory(prefix="job-") as name:
            job = Path(name)
            command = [sys.executable, HERE / "job.py", given.workload, given.data, job]
            subprocess.run([*command, "--rows", str(given.rows), "--seed", str(seed)], check=True)
            fp32, bf16 = (run_once(given.workload, 0, system, job, 3600.0) for system in ("burnish", "burnish-bf16"))
        print(f"| {seed} | {fp32.nll:.4f} | {bf16.nll:.4f} | {bf16.nll - fp32.nll:+.4f} |", flush=True)


if __name__ == "__main__":
    main()
