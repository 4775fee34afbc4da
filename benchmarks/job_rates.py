"""For peers that are built on transformers' Trainer; it runs in their environments."""

import time
from typing import Any

from transformers import TrainerCallback


class JobRates(TrainerCallback):  # type: ignore[misc]
    """The job's learning rates, through the scheduler that the trainer made; and when each step ended.

    The trainer's own rate must be 1.0 and its scheduler a LambdaLR, such as "linear".
    """

    def __init__(self, rates: list[float]) -> None:
        self.rates = rates
        self.times: list[float] = []

    def on_train_begin(self, *_: Any, optimizer: Any, lr_scheduler: Any, **__: Any) -> None:
        lr_scheduler.lr_lambdas = [lambda step: self.rates[min(step, len(self.rates) - 1)]] * len(lr_scheduler.base_lrs)
        for group in optimizer.param_groups:
            group["lr"] = self.rates[0]

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.times.append(time.time())
