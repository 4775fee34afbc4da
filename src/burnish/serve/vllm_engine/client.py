"""vLLM itself: the one place that imports it, and only once it is asked for."""

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from importlib.util import find_spec
from itertools import count
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

from burnish.errors import AdapterError, BaseModelError, BurnishError, DataError
from burnish.files import read_json
from burnish.model.adapter import CONFIG_NAME
from burnish.serve.engine.request import AdapterRef
from burnish.serve.settings import VllmSettings
from burnish.serve.vllm_engine.words import MAX_TOP, Asked, Told

DRAIN_S = 30
"""For answers under way where vLLM's own process is told to end beside the server."""
KEPT_ADAPTERS = 32
"""In the machine's memory; those at work are also in the device's."""
ENDS = ("stop", "length")
ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",  # nothing is sent anywhere
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",  # the server has threads, and may have used the GPU
    "VLLM_LOGGING_LEVEL": "ERROR",  # it warns of each weight that it casts
}
ON_CPU = {"TORCH_COMPILE_DISABLE": "1"}
"""There compiling takes longer than it saves for minutes, and wants a compiler of C++."""


def check_installed() -> None:
    """Refuse to go on without vLLM.

    Raises:
        BurnishError: it is not installed.
    """
    if find_spec("vllm") is None:
        raise BurnishError(
            "--engine vllm: vLLM is not installed beside burnish. "
            'Install it (pip install "burnish[vllm]"), or serve with burnish\'s own engine (--engine burnish).'
        )


def rank_limit(wanted: int) -> int:
    """The least rank that vLLM can be started with and that `wanted` fits in."""
    return next((rank for rank in (8, 16, 32, 64, 128, 256, 320) if rank >= wanted), 512)


class VllmClient:
    """One base model in a process of vLLM's; it is started again where that has died."""

    def __init__(self, folder: Path, *, dtype: str, max_length: int, max_batch: int, settings: VllmSettings) -> None:
        self._folder, self._dtype, self._max_batch, self._settings = folder, dtype, max_batch, settings
        self.max_length = max_length
        self._llm: Any = None
        self._starting = asyncio.Lock()
        self._numbers = count()
        self._adapter_ids: dict[str, int] = {}
        self._loaded = set[str]()

    async def start(self) -> "VllmClient":
        """Load the base, which takes a minute or more.

        Raises:
            BaseModelError: vLLM does not take it, or the memory does not hold it.
        """
        await self._running()
        self.max_length = min(self.max_length, int(self._llm.model_config.max_model_len))
        return self

    async def generate(
        self, prompt_ids: tuple[int, ...], asked: Asked, adapter: AdapterRef | None
    ) -> AsyncGenerator[Told, None]:
        from vllm.exceptions import VLLMClientError
        from vllm.inputs import tokens_input

        llm = await self._running()
        lora = None if adapter is None else await self._lora(llm, adapter)
        number = str(next(self._numbers))
        is_first = True
        try:
            generated = llm.generate(tokens_input(list(prompt_ids)), _params(asked), number, lora_request=lora)
            async with aclosing(generated) as outputs:
                async for output in outputs:
                    yield _told(output, asked, is_first)
                    is_first = False
        except VLLMClientError as error:
            raise DataError(f"vLLM refuses the request: {error}") from error

    def close(self) -> None:
        if self._llm is not None:
            self._llm.shutdown()

    async def _running(self) -> Any:
        async with self._starting:
            if self._llm is None or self._llm.errored:
                self.close()
                self._loaded.clear()
                self._llm = self._start()  # blocks the loop, which has nothing else to do
            return self._llm

    def _start(self) -> Any:
        _set_unset(ENVIRONMENT)
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.platforms import current_platform
        from vllm.v1.engine.async_llm import AsyncLLM

        is_cpu = bool(current_platform.is_cpu())
        if is_cpu:
            _set_unset(ON_CPU)
        settings = self._settings
        options = AsyncEngineArgs(
            model=str(self._folder),
            dtype=self._dtype,
            max_model_len=-1,  # what the base was made for, or what the memory holds
            max_num_seqs=self._max_batch,
            gpu_memory_utilization=settings.memory_share,
            enable_lora=True,
            max_loras=settings.max_adapters,
            max_cpu_loras=max(KEPT_ADAPTERS, settings.max_adapters),
            max_lora_rank=rank_limit(settings.max_rank),
            enable_prefix_caching=True,
            max_logprobs=MAX_TOP,
            structured_outputs_config={"backend": "guidance"},
            generation_config="vllm",
            seed=secrets.randbits(31),  # of requests that bring none
            shutdown_timeout=DRAIN_S,
            enforce_eager=is_cpu,
            disable_log_stats=True,
        )
        try:
            with _no_ctrl_c():
                return AsyncLLM.from_engine_args(options)
        except Exception as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise BaseModelError(
                f"{self._folder}: vLLM does not start with it ({reason}). Its own messages, before this one, say why; "
                "where memory is short, give another --vllm-memory."
            ) from error

    async def _lora(self, llm: Any, ref: AdapterRef) -> Any:
        from vllm.lora.request import LoRARequest

        number = self._adapter_ids.setdefault(ref.name, len(self._adapter_ids) + 1)
        lora = LoRARequest(ref.name, number, str(ref.folder))
        if ref.name not in self._loaded:
            check_rank(ref.folder, rank_limit(self._settings.max_rank))
            try:
                await llm.add_lora(lora)  # one that cannot be read fails here, not in the batch with all others
            except Exception as error:
                reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
                raise AdapterError(f"{ref.folder}: vLLM does not take the adapter ({reason}).") from error
            self._loaded.add(ref.name)
        return lora


def check_rank(folder: Path, limit: int) -> None:
    """Refuse an adapter that is wider than vLLM was started for.

    Raises:
        AdapterError: it is, or it cannot be read.
    """
    try:
        rank = int(read_json(folder / CONFIG_NAME)["r"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AdapterError(f"{folder}: the adapter cannot be read ({str(error).splitlines()[0]}).") from error
    if rank > limit:
        raise AdapterError(
            f"{folder}: the adapter has rank {rank}, and vLLM was started for at most {limit}. "
            f"Start the server with --vllm-rank {rank}."
        )


@contextmanager
def _no_ctrl_c() -> Iterator[None]:
    """Processes that are started within the block do not hear Ctrl-C, which a terminal sends to all of them: it is for
    the server alone, which lets them finish their answers."""
    resource_tracker.ensure_running()  # when it is started, it lets Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _set_unset(environment: Mapping[str, str]) -> None:
    """For this process and those that it starts; what the operator has set stays."""
    for name, value in environment.items():
        os.environ.setdefault(name, value)


def _params(asked: Asked) -> Any:
    from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams

    grammar = None if asked.grammar is None else StructuredOutputsParams(grammar=asked.grammar)
    return SamplingParams(**asked.arguments(), structured_outputs=grammar, output_kind=RequestOutputKind.DELTA)


def _told(output: Any, asked: Asked, is_first: bool) -> Told:
    answer = output.outputs[0]
    if answer.finish_reason not in (None, *ENDS):
        if asked.grammar is not None:
            raise DataError("the JSON schema can no longer be followed. Use a simpler one.")
        raise RuntimeError(f"vLLM has given up a request ({answer.finish_reason}); its own messages say why")
    return Told(
        token_ids=tuple(answer.token_ids),
        likely=tuple(map(_likely, answer.logprobs or ())),
        prompt_likely=tuple(map(_likely, (output.prompt_logprobs or ())[1:])) if is_first else (),
        num_cached=(output.num_cached_tokens or 0) if is_first else 0,
        is_last=bool(output.finished),
    )


def _likely(place: Mapping[int, Any]) -> Mapping[int, float]:
    return {token: float(told.logprob) for token, told in place.items()}
