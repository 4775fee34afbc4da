"""The neutral judge, plain transformers and peft in fp32: prints the held-out loss of an adapter, nats per token.

python benchmarks/score.py JOB_FOLDER ADAPTER_FOLDER
"""

import json
import sys
from pathlib import Path

import torch
from peft import PeftModel
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForCausalLM

TOKENS_AT_ONCE = 1024


@torch.no_grad()
def main(folder: Path, adapter: Path) -> None:
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    model = AutoModelForCausalLM.from_pretrained(job["base"], dtype=torch.float32)
    model = PeftModel.from_pretrained(model, adapter).eval()
    rows = sorted(job["held_out"], key=lambda row: -len(row["ids"]))
    total, count = 0.0, 0
    while rows:
        size = max(1, TOKENS_AT_ONCE // len(rows[0]["ids"]))
        batch, rows = rows[:size], rows[size:]
        ids, mask = (pad_sequence([torch.tensor(row[of]) for row in batch], batch_first=True) for of in ("ids", "mask"))
        is_token = pad_sequence([torch.ones(len(row["ids"]), dtype=torch.long) for row in batch], batch_first=True)
        logits = model(input_ids=ids, attention_mask=is_token).logits[:, :-1]
        is_learned = mask[:, 1:].bool()
        total += cross_entropy(logits[is_learned], ids[:, 1:][is_learned], reduction="sum").item()
        count += int(is_learned.sum())
    print(json.dumps({"nll": total / count, "tokens": count}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
