"""Train a job with LitGPT, in its own environment: run_litgpt.py JOB_FOLDER OUTPUT_FOLDER.

LitGPT reads checkpoints of its own format: JOB_FOLDER/litgpt holds the base with the adapter's start, and is made when
it is missing. Make it before the clock runs: run_litgpt.py JOB_FOLDER prepare.

The ids, masks, order and the adapter's start are the job's. `litgpt finetune` has neither clipping nor a linear
schedule, so the optimizer brings both: AdamW that clips, at the learning rates of the job. Settings are for speed on a
CPU: fp32, fused AdamW, no validation, no generation in between; and the examples of a step in one micro-batch, because
LitGPT takes the mean of the means of micro-batches.
"""

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import torch
from litgpt.args import EvalArgs, TrainArgs
from litgpt.data import DataModule, get_sft_collate_fn
from litgpt.finetune.lora import setup
from litgpt.prompts import Default
from litgpt.scripts.convert_hf_checkpoint import convert_hf_checkpoint
from peer import Job, write_facts
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import DataLoader

CONFIG = "SmolLM2-135M-Instruct"
LORA = {
    "lora_r": 16,
    "lora_alpha": 32,
    "lora_dropout": 0.0,
    "lora_query": True,
    "lora_key": True,
    "lora_value": True,
    "lora_projection": True,
    "lora_mlp": True,
}
# LitGPT's layer, and those of the base that it holds in one.
LAYERS = {
    "attn.qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attn.proj": ("self_attn.o_proj",),
    "mlp.fc_1": ("mlp.gate_proj",),
    "mlp.fc_2": ("mlp.up_proj",),
    "mlp.proj": ("mlp.down_proj",),
}
STEP_ENDS: list[float] = []  # filled by the optimizer, which LitGPT makes and keeps


def peft_name(block: int, layer: str, side: str) -> str:
    """The two formats differ in names and in that LitGPT holds q, k and v as one layer."""
    return f"base_model.model.model.layers.{block}.{layer}.lora_{side}.weight"


def from_peft(weights: dict[str, Tensor], num_blocks: int) -> dict[str, Tensor]:
    """An adapter under LitGPT's names."""
    return {
        f"transformer.h.{block}.{name}.lora_{side}": torch.cat([weights[peft_name(block, x, side)] for x in layers])
        for block in range(num_blocks)
        for name, layers in LAYERS.items()
        for side in "AB"
    }


def to_peft(weights: dict[str, Tensor], start: dict[str, Tensor]) -> dict[str, Tensor]:
    """The trained adapter under peft's names; `start` has the shapes of the parts."""
    found: dict[str, Tensor] = {}
    for key, weight in weights.items():
        block, name = key.removeprefix("transformer.h.").rsplit(".lora_", 1)[0].split(".", 1)
        names = [peft_name(int(block), layer, key[-1]) for layer in LAYERS[name]]
        parts = torch.split(weight, [start[x].shape[0] for x in names])
        found |= {x: part.contiguous() for x, part in zip(names, parts, strict=True)}
    return found


def prepare(job: Job, folder: Path) -> Path:
    """The base in LitGPT's format, its LoRA weights those of the start."""
    checkpoint = folder / "litgpt"
    if not (checkpoint / "ready").is_file():
        shutil.copytree(job.base, checkpoint, dirs_exist_ok=True)
        convert_hf_checkpoint(checkpoint, model_name=CONFIG, dtype="float32")
        weights = torch.load(checkpoint / "lit_model.pth")
        num_blocks = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))["num_hidden_layers"]
        start = load_file(job.start / "adapter_model.safetensors")
        torch.save({**weights, **from_peft(start, num_blocks)}, checkpoint / "lit_model.pth")
        (checkpoint / "ready").touch()
    return checkpoint


class JobAdamW(torch.optim.AdamW):
    """AdamW that clips, and whose learning rates are the job's whatever the scheduler sets."""

    def __init__(self, params: Any, rates: list[float], max_norm: float) -> None:
        super().__init__(params, lr=rates[0], weight_decay=0.0, fused=True)
        self.rates, self.max_norm = rates, max_norm

    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            torch.nn.utils.clip_grad_norm_(group["params"], self.max_norm)
            group["lr"] = self.rates[len(STEP_ENDS)]
        result = super().step(closure)
        STEP_ENDS.append(time.time())
        return result


class JobData(DataModule):  # type: ignore[misc]
    """The rows of the job in their order; nothing to validate on."""

    def __init__(self, rows: list[dict[str, list[int]]], batch_size: int) -> None:
        super().__init__()
        self.rows, self.batch_size = rows, batch_size
        self.prompt_style = Default()  # recorded with the checkpoint; renders nothing here

    def connect(self, *_: Any, **__: Any) -> None:
        pass

    def train_dataloader(self) -> DataLoader[Any]:
        samples: Any = []
        for row in self.rows:
            count = len(row["input_ids"])
            counts = {"raw": count, "raw_plus_prompt_template": count}
            samples.append({**{name: torch.tensor(ids) for name, ids in row.items()}, "token_counts": counts})
        return DataLoader(samples, batch_size=self.batch_size, collate_fn=get_sft_collate_fn())

    def val_dataloader(self) -> DataLoader[Any]:
        nothing: Any = []
        return DataLoader(nothing)


def main(folder: Path, output: Path) -> None:
    job = Job(folder)
    checkpoint, rates = prepare(job, folder), job.learning_rates
    # LitGPT records the words of its command line, and merges the adapter by that record.
    sys.argv = ["litgpt", str(checkpoint), *(word for k, v in LORA.items() for word in (f"--{k}", str(v).lower()))]
    setup(
        checkpoint_dir=checkpoint,
        out_dir=output / "litgpt",
        precision="32-true",
        data=JobData(job.rows(), job.batch_size),
        train=TrainArgs(
            save_interval=None,
            log_interval=1,
            global_batch_size=job.batch_size,
            micro_batch_size=job.batch_size,
            lr_warmup_steps=1,
            epochs=1,
            max_steps=len(rates),  # ends without the sample that the end of an epoch generates
        ),
        eval=EvalArgs(interval=len(rates) + 1, max_new_tokens=1, final_validation=False),
        optimizer={
            "class_path": f"{__name__}.JobAdamW",
            "init_args": {"rates": rates, "max_norm": job.max_grad_norm},
        },
        **LORA,
    )
    saved = output / "litgpt" / "final" / "lit_model.pth.lora"
    (output / "adapter").mkdir()
    shutil.copy(job.start / "adapter_config.json", output / "adapter")
    start = load_file(job.start / "adapter_model.safetensors")
    trained = to_peft(torch.load(saved)["model"], start)
    save_file(trained, output / "adapter" / "adapter_model.safetensors")
    # The adapter is written before LitGPT merges it into a copy of the base.
    write_facts(output, STEP_ENDS, job.padded_tokens(job.batch_size), saved_at=saved.stat().st_mtime)


if __name__ == "__main__":
    if sys.argv[2] == "prepare":
        prepare(Job(Path(sys.argv[1])), Path(sys.argv[1]))
    else:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
