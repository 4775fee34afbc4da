"""The neutral judge, plain transformers and peft in fp32: prints the held-out loss of an adapter, nats per token.

python benchmarks/score.py JOB_FOLDER ADAPTER_FOLDER
"""

import json
import sys
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM


@torch.no_grad()
def main(folder: Path, adapter: Path) -> None:
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    model = AutoModelForCausalLM.from_pretrained(job["base"], dtype=torch.float32)
    model = PeftModel.from_pretrained(model, adapter).eval()
    total, count = 0.0, 0
    for row in job["held_out"]:
        ids, mask = torch.tensor(row["ids"]), torch.tensor(row["mask"]).bool()
        log_probabilities = model(input_ids=ids[None]).logits[0, :-1].log_softmax(-1)
        losses = -log_probabilities.gather(-1, ids[1:, None])[:, 0]
        total += losses[mask[1:]].sum().item()
        count += int(mask[1:].sum())
    print(json.dumps({"nll": total / count, "tokens": count}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
