"""burnish: turn a general language model into a specialist, and prove it.

import burnish
run = burnish.run("recipe.toml")
run.verdict, run.evaluation, run.adapter_path, run.report_path
specialist = burnish.load(run)  # .generate(messages) .classify(texts) .extract(texts)
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnish.errors import BurnishError
from burnish.threads import wait_politely, warn_if_too_late

if TYPE_CHECKING:
    from burnish.pipeline import Run
    from burnish.recipe import Recipe
    from burnish.specialist import Specialist

__all__ = ["BurnishError", "Recipe", "load", "run"]

wait_politely()


def run(recipe: "str | Path | Recipe", *overrides: str) -> "Run":
    """Do the whole job for a recipe (a file or a Recipe), with overrides such as "train.epochs=2".

    Raises:
        BurnishError: recipe, data, base model or disk is at fault; the text says what to do.
    """
    from burnish import pipeline
    from burnish.recipe import build_recipe, load_recipe

    warn_if_too_late()

    if isinstance(recipe, str | Path):
        return pipeline.run(load_recipe(Path(recipe), overrides))
    return pipeline.run(build_recipe(recipe.model_dump(exclude_unset=True), overrides=overrides))


def load(run: "Run | str | Path", *, arm: str | None = None, use_gate: bool = True) -> "Specialist":
    """What a run (the Run itself, its folder or its id) recommends, ready to answer; or the adapter in a folder.

    `arm` names another arm of the run, such as "specialist", "few_shot" or "embedding". `use_gate`: a specialist that
    has an on-task gate leaves prompts that are not of its task to its base.

    Raises:
        BurnishError: there is none, or it does not fit its base model.
    """
    from burnish.run_dir import find_run_dir
    from burnish.specialist import load_arm, load_specialist

    warn_if_too_late()
    if not isinstance(run, str | Path):
        return load_arm(run.dir, arm, use_gate=use_gate)
    path = Path(run)
    if (path / "adapter_config.json").is_file():
        return load_specialist(path, use_gate=use_gate)
    return load_arm(find_run_dir(run, Path("runs")), arm, use_gate=use_gate)


def __getattr__(name: str) -> Any:
    if name == "Recipe":  # pydantic is only imported by those who need it
        from burnish.recipe import Recipe

        return Recipe
    raise AttributeError(f"module 'burnish' has no attribute {name!r}")
