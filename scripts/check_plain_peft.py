"""Plain transformers and peft give the specialist that burnish gave: answer five of a run's test prompts and compare.

    python scripts/check_plain_peft.py RUN [BASE_FOLDER] [--against burnish] [--drift]

The base is found in burnish's cache where no folder is given. With `--against burnish` the logits are compared too;
with `--drift` the rise of the loss on general text with what the report says.
Exit code 1 if an answer differs, or the rise by more than a thousandth of a nat (a hundredth beside a bf16 base, where
peft rounds what burnish does not). Not for classification: there burnish scores the labels and generates nothing.
"""

import json
import os
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer


@torch.no_grad()
def main(run: Path, base: str | None, against_burnish: bool, with_drift: bool) -> int:
    card = json.loads((run / "adapter/burnish.json").read_text(encoding="utf-8"))
    cache = Path(os.environ.get("BURNISH_CACHE") or Path.home() / ".cache/burnish")
    base = base or str(next(cache.glob(f"bases/{card['base_model']}-*/"), card["base_model"]))
    tokenizer = AutoTokenizer.from_pretrained(base)
    is_bf16 = card.get("precision") == "bf16"
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16 if is_bf16 else torch.float32)
    model = PeftModel.from_pretrained(model, str(run / "adapter")).eval()
    lines = (run / "predictions/specialist.jsonl").read_text(encoding="utf-8").split("\n")
    rows = [json.loads(line) for line in lines if line][:5]
    prompts = [tokenizer.apply_chat_template(r["prompt"], add_generation_prompt=True, return_dict=False) for r in rows]
    num_same = 0
    for row, ids in zip(rows, prompts, strict=True):
        out = model.generate(torch.tensor([ids]), max_new_tokens=card["max_new_tokens"], do_sample=False)
        num_same += tokenizer.decode(out[0, len(ids) :], skip_special_tokens=True).strip() == row["prediction"]
    print(f"{num_same} of {len(rows)} answers are the stored ones")
    if against_burnish:
        pairs = zip(prompts, burnish_logits(run, prompts), strict=True)
        gap = max((model(torch.tensor([ids])).logits[0, :-1] - own).abs().max().item() for ids, own in pairs)
        print(f"largest difference of a logit: {gap:.3g}")
    is_other = False
    if with_drift:
        told = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))["retention"]
        rise, said = rise_on_general_text(model, tokenizer), told["general_text_nll_change"]["value"]
        print(f"rise of the loss on general text: {rise:+.4f} nats per token; the report says {said:+.4f}")
        is_other = abs(rise - said) > (0.01 if is_bf16 else 0.001)
    return int(num_same < len(rows) or is_other)


def rise_on_general_text(model: PeftModel, tokenizer: Any) -> float:
    """Nats per token, the mean over the kinds of text of the measurement half; of burnish it needs only these texts."""
    path = Path(__file__).parent.parent / "src/burnish/evaluate/general_text.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    kinds = dict[str, list[tuple[float, int]]]()
    for row in rows:
        if row["half"] == "measurement":
            ids = tokenizer(row["text"], add_special_tokens=False, return_tensors="pt").input_ids
            tuned = summed_loss(model, ids)
            with model.disable_adapter():
                rise = tuned - summed_loss(model, ids)
            kinds.setdefault(row["kind"], []).append((rise, int(ids.shape[1]) - 1))
    return fmean(sum(rise for rise, _ in texts) / sum(count for _, count in texts) for texts in kinds.values())


def summed_loss(model: PeftModel, ids: torch.Tensor) -> float:
    logits = model(ids).logits[0, :-1].float()
    return float(torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum"))


def burnish_logits(run: Path, prompts: list[list[int]]) -> list[torch.Tensor]:
    """burnish's own logits at every position but the last, all prompts in one pack. Only this part needs burnish."""
    import burnish
    from burnish.data import RenderedExample
    from burnish.model.loss import supervised_logits
    from burnish.solution import PromptSolution
    from burnish.train.pack import batches_for

    examples = [RenderedExample("", tuple(ids), (False,) + (True,) * (len(ids) - 1), 1) for ids in prompts]
    solution = burnish.load(run).solution
    assert isinstance(solution, PromptSolution), "a classifier has no logits of tokens"
    with batches_for(solution.model, examples, max_tokens=sum(map(len, prompts))) as batches:
        (batch,) = batches
        logits_SV = supervised_logits(solution.model, batch).cpu()
    return [logits_SV[batch.owners_S.cpu() == owner] for owner in range(len(prompts))]


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word not in ("--against", "burnish", "--drift")]
    if len(words) not in (1, 2):
        sys.exit(__doc__)
    base = words[1] if words[1:] else None
    sys.exit(main(Path(words[0]), base, "--against" in sys.argv, "--drift" in sys.argv))
