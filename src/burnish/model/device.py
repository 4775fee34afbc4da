"""The device, the number format that is fast on it, and its random numbers."""

import contextlib
import ctypes
import gc
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from burnish.recipe import Precision

# A product of the probe takes a CPU some 20 ms at most.
PROBE_OPERATIONS = 2e9
# In turns, so that other work on the machine disturbs both; the first product of a kind takes longer than the others.
PROBE_ROUNDS = 5
# Times as slow, from where the rounds that are left cannot change the choice.
HOPELESS = 10.0
# Numbers of malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
# oneDNN, and torch's layer above it, keep the kernel of every shape of a product, 1,024 of them and 0.8 MB each. A pack
# has some 30 shapes, and its number of tokens is new in nearly every step, so most would never be used again. Both read
# these names before their first product; whoever has set them keeps what was set.
KERNELS_KEPT = 128
# What bank_chat takes more with 128 than with 8, both filled: kernels, and the holes that they leave in the heap.
KERNELS_BYTES = 330_000_000
KERNEL_LIMITS = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
for _name in KERNEL_LIMITS:
    os.environ.setdefault(_name, str(KERNELS_KEPT))


def choose_device() -> torch.device:
    """The first accelerator (under torchrun the process's own), else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))  # torchrun: one process a device
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def describe_device(device: torch.device) -> str:
    """The device in words."""
    if device.type == "cuda":
        gibibytes = torch.cuda.get_device_properties(device).total_memory / 2**30
        return f"{torch.cuda.get_device_name(device)}, {gibibytes:.0f} GiB"
    return f"{device.type}, {torch.get_num_threads()} threads"


def dtype_of(precision: str) -> torch.dtype:
    """Of the weights of a base in that precision."""
    return torch.bfloat16 if precision == Precision.BF16 else torch.float32


def measure_bf16_speedup(device: torch.device, width: int) -> float:
    """How many times as fast bf16 matrix products of a model of that width are as fp32 ones: a probe of some 150 ms.

    Without hardware support bf16 products on a CPU can be slower by two orders of magnitude, so nothing is assumed.
    """
    tokens = max(64, min(1024, int(PROBE_OPERATIONS / (6 * width**2))))
    products = {dtype: _product(device, dtype, tokens, width) for dtype in (torch.float32, torch.bfloat16)}
    best = dict.fromkeys(products, float("inf"))
    for number in range(PROBE_ROUNDS):
        for dtype, seconds in products.items():
            best[dtype] = min(best[dtype], seconds())
        if number and best[torch.bfloat16] > HOPELESS * best[torch.float32]:
            break
    return best[torch.float32] / best[torch.bfloat16]


def free_bytes(device: torch.device) -> int:
    """Memory that is free now; on a CPU inside a container, what its limit leaves."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    import psutil

    free = int(psutil.virtual_memory().available)
    try:
        limit, used = (int(Path("/sys/fs/cgroup", name).read_text()) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):  # no such group, or no limit ("max")
        return free
    return min(free, limit - used)


def keep_freed_memory() -> None:
    """Let glibc keep what is freed, for the next tensors, instead of returning it to the system.

    A step frees and takes megabytes thousands of times; else each time the system takes the pages away and hands out
    new ones, filled with zeros. Other C libraries have no such setting.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def free_unused() -> None:
    """Give back the memory of models that nobody holds any longer."""
    gc.collect()  # their modules refer to one another
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Run the block with torch's generators seeded; they are put back as they were."""
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(seed)
        yield


def _product(device: torch.device, dtype: torch.dtype, tokens: int, width: int) -> Callable[[], float]:
    """Times one of the kind of a gate or q/k/v projection; of fewer tokens where the model is wide."""
    x = torch.ones(tokens, width, device=device, dtype=dtype)
    w = torch.ones(3 * width, width, device=device, dtype=dtype)

    def seconds() -> float:
        start = time.perf_counter()
        (x @ w.T)[0, 0].item()  # waits for the device
        return time.perf_counter() - start

    return seconds
