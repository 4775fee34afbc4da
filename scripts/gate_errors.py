"""How often the on-task gate errs on a file of examples: python scripts/gate_errors.py DATA TASK [SEED ...]

The rows are divided as a run with that `data.split_seed` divides them, and the gate is fitted as the run does; no
base model is loaded. Told are the errors on test rows, and on prompts and passages of the measurement half.
"""

import sys

from burnish.data import Example
from burnish.evaluate.bundled import Half, general_prompts, general_text, off_task_texts
from burnish.evaluate.statistics import wilson_interval
from burnish.preparation import prepare_rows
from burnish.recipe import build_recipe
from burnish.routing import fit_gate


def main(data: str, task: str, seeds: list[int]) -> None:
    """Fit and try a gate on each split."""
    for seed in seeds:
        recipe = build_recipe({"task": task, "data": {"train": data, "split_seed": seed}})
        split = prepare_rows(recipe, judges_labels=False).split
        gate = fit_gate(asked(split.train), asked(split.validation), off_task_texts(Half.TRAINING))
        prompts = [row["prompt"] for row in general_prompts(Half.MEASUREMENT)]
        sent = [not kept for kept in gate.is_on_task(asked(split.test))]
        passages = gate.is_on_task([row["text"] for row in general_text(Half.MEASUREMENT)])
        sizes = f"{len(split.train)} training and {len(split.validation)} validation rows"
        print(f"seed {seed}: {sizes}, threshold {gate.threshold:.3f}")
        tell("test rows sent away", sent)
        tell("general prompts let through", gate.is_on_task(prompts))
        tell("general passages let through", passages)


def tell(what: str, found: list[bool]) -> None:
    """A share with its interval."""
    share = wilson_interval(sum(found), len(found))
    print(f"  {what}: {sum(found)} of {len(found)}, {share.value:.1%} ({share.low:.1%} - {share.high:.1%})")


def asked(examples: list[Example]) -> list[str]:
    """What is asked in each."""
    return [example.asked for example in examples]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], [int(seed) for seed in sys.argv[3:]] or [0])
