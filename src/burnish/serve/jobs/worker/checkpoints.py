"""The adapter as it was at the end of an epoch, in peft's format and with a name, so that it can be asked.

It is as large as its validation found it to keep the retention budget, so that its loss there is that of the model.
"""

import json
import shutil
import sqlite3
from dataclasses import asdict
from pathlib import Path

from burnish.files import new_folder, read_json, sha256_of_file, write_json
from burnish.recipe import Precision, Recipe, load_recipe
from burnish.run_dir import RunDir
from burnish.serve.jobs.events import tell
from burnish.serve.jobs.job import change, get_job, model_name
from burnish.serve.jobs.models import add_model
from burnish.serve.jobs.store import Store, insert, new_id, now
from burnish.serve.jobs.worker.order import Order

NUM_KEPT = 3
"""Checkpoints of a job: those of its last epochs."""


def keep_checkpoint(store: Store, order: Order, run_dir: RunDir, step: int, metrics: dict[str, float]) -> None:
    """Give the adapter of an epoch's last step a folder and a name; the oldest beyond `NUM_KEPT` goes.

    Where a stop came between, the run's own checkpoint of that step may be gone; then there is none by name.
    """
    source = run_dir.checkpoints / f"step-{step:06d}"
    if not (source / "progress.json").is_file():
        return
    folder = order.folder / "checkpoints" / f"step-{step:06d}"
    export_adapter(source, folder, run_dir)
    row = get_job(store, order.job_id)
    name = f"{model_name(row, new_id('')[:8])}:ckpt-step-{step}"
    with store.transaction() as connection:
        change(connection, order.job_id, order.token, last_step=step)
        query = "SELECT 1 FROM checkpoint WHERE job_id = ? AND step = ?"
        if connection.execute(query, (order.job_id, step)).fetchone():
            return
        insert(
            connection,
            "checkpoint",
            id=new_id("ftckpt_"),
            created_at=now(),
            job_id=order.job_id,
            step=step,
            model=name,
            metrics=json.dumps(metrics, allow_nan=False),
        )
        add_model(connection, name, base=row["base"], base_id=row["base_id"], adapter=folder, job_id=order.job_id)
        tell(connection, order.job_id, f"Checkpoint created at step {step}", once=True)
        old = _let_go(connection, order.job_id)
    for path in old:
        shutil.rmtree(path, ignore_errors=True)


def export_adapter(checkpoint: Path, folder: Path, run_dir: RunDir) -> None:
    """Write the adapter of one of a run's own checkpoints as plain peft reads it, with burnish's card."""
    from peft import LoraConfig
    from safetensors import safe_open
    from safetensors.torch import save_file

    recipe = load_recipe(run_dir.recipe).recipe
    with safe_open(checkpoint / "state.safetensors", "pt") as state:
        names = [name for name in state.keys() if name.startswith("adapter/")]  # noqa: SIM118  (it is no mapping)
        # peft leaves the adapter's own name out on disk.
        tensors = {name.removeprefix("adapter/").replace(".default.", "."): state.get_tensor(name) for name in names}
    scale = _kept_scale(checkpoint)
    tensors = {name: scale * tensor if ".lora_B." in name else tensor for name, tensor in tensors.items()}
    targets = sorted({name.split(".lora_")[0].removeprefix("base_model.model.") for name in tensors})
    config = LoraConfig(
        r=int(recipe.adapter.rank),
        lora_alpha=recipe.adapter.alpha,
        lora_dropout=recipe.adapter.dropout,
        target_modules=targets,
        bias="none",
        task_type="CAUSAL_LM",
        inference_mode=True,
        base_model_name_or_path=recipe.model.base,
    )
    with new_folder(folder) as draft:
        config.save_pretrained(str(draft))
        save_file(tensors, draft / "adapter_model.safetensors", metadata={"format": "pt"})
        _write_card(draft, run_dir, recipe, scale)


def _kept_scale(checkpoint: Path) -> float:
    """Of the validation of the checkpoint's step; 1 where no budget is kept."""
    progress = read_json(checkpoint / "progress.json")
    at_step = [each["forgotten"] for each in progress["validations"] if each["step"] == progress["step"]]
    return float(at_step[0]["scale"]) if at_step and at_step[0] else 1.0


def _write_card(folder: Path, run_dir: RunDir, recipe: Recipe, scale: float) -> None:
    from burnish.examination import given
    from burnish.model.adapter import CARD_NAME, AdapterCard
    from burnish.model.base import find_base

    card = AdapterCard(
        run_id=run_dir.run_id,
        base_model=recipe.model.base,
        base_fingerprint=read_json(run_dir.environment)["base_fingerprint"],
        template_sha256=find_base(recipe.model.base).template_sha256,
        train_sha256=sha256_of_file(run_dir.data / "train.jsonl"),
        scale=scale,
        task=recipe.task.value,
        system=str(recipe.prompt.system),
        labels=given(recipe.prompt.labels),
        fields=given(recipe.prompt.fields),
        max_new_tokens=int(recipe.evaluate.max_new_tokens),
        thinking=bool(recipe.prompt.thinking),
        precision=Precision(recipe.train.precision),
    )
    write_json(folder / CARD_NAME, asdict(card))


def _let_go(connection: sqlite3.Connection, job_id: str) -> list[Path]:
    """Take the names of all but the last checkpoints away; returns their folders."""
    query = "SELECT id, model FROM checkpoint WHERE job_id = ? AND deleted = 0 ORDER BY step DESC"
    folders = []
    for row in connection.execute(query, (job_id,)).fetchall()[NUM_KEPT:]:
        connection.execute("UPDATE checkpoint SET deleted = 1 WHERE id = ?", (row["id"],))
        connection.execute("UPDATE model SET deleted = 1 WHERE id = ?", (row["model"],))
        found = connection.execute("SELECT adapter FROM model WHERE id = ?", (row["model"],)).fetchone()
        folders.append(Path(found["adapter"]))
    return folders
