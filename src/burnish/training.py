"""The training of a run: the learning rate by trial, then the fit; every choice is made on the validation rows."""

from dataclasses import asdict, replace
from typing import Any

from burnish.answering import ask, card_of, spread
from burnish.evaluate.arms import Arm
from burnish.evaluate.choice import prefers
from burnish.evaluate.metrics import describe_metric
from burnish.files import read_json, write_json
from burnish.keeping import MAX_SCORED_ROWS, Watch, anchor_of, what_is_forgotten
from burnish.preparation import Prepared, savings_of
from burnish.recipe import ChooseBy
from burnish.run_dir import RunDir
from burnish.screen import Screen
from burnish.solution import PromptSolution
from burnish.train.anchor import Anchor
from burnish.train.checkpoint import Forgotten, RowScore, Validation
from burnish.train.fit import Choice, FitEvents, FitOptions, FitResult, fit, validate
from burnish.train.loop import TrainOptions, count_steps
from burnish.train.ranks import ALONE, Ranks
from burnish.train.shard import on_first_rank
from burnish.train.step import StepMetrics
from burnish.train.trial import best_rate, rates_around, rates_up_to, trial_steps, try_rates


def train_adapter(
    model: Any, prepared: Prepared, run_dir: RunDir, screen: Screen, watch: Watch | None, ranks: Ranks
) -> FitResult:
    """Train the adapter of `model`, on every rank alike; the best one by the validation rows is left in it.

    Which is best is told at the scale that keeps the budget of `watch`; it is left unscaled.

    Raises:
        Interrupted: the user stopped it; the last checkpoint is kept.
    """
    recipe = prepared.recipe.train
    options = train_options(prepared)
    choice, anchor = choice_of(model, prepared, watch, ranks), anchor_of(model, prepared, screen, ranks)
    rate = _learning_rate(model, prepared, options, choice, watch, anchor, run_dir, screen, ranks)
    options = replace(options, learning_rate=rate)
    total = count_steps(len(prepared.rendered["train"]), options)
    title = f"Training: {total} steps of {options.batch_size} examples"
    with screen.gentle_stop() as should_stop, screen.bar(title, total) as advance:
        done = 0

        def on_step(metrics: StepMetrics, num_steps: int) -> None:
            nonlocal done
            speed = metrics.tokens / metrics.seconds
            advance(min(metrics.step, total) - done, f"loss {metrics.loss_per_token:.3f}  {speed:,.0f} tokens/s")
            done = min(metrics.step, total)

        return fit(
            model,
            prepared.rendered["train"],
            prepared.rendered["validation"],
            options=options,
            fit_options=FitOptions(recipe.validations_per_epoch, recipe.patience, recipe.checkpoint_minutes * 60),
            checkpoints=run_dir.checkpoints,
            metrics_path=run_dir.metrics,
            events=FitEvents(
                on_step=on_step,
                on_validation=lambda validation: screen.say(_describe(validation, prepared)),
                on_mending=lambda steps: screen.say(
                    f"General text is over the retention budget: {len(steps)} steps more with more of the base's texts."
                ),
                should_stop=should_stop,
            ),
            choice=choice,
            ranks=ranks,
            anchor=anchor,
        )


def train_options(prepared: Prepared) -> TrainOptions:
    """The recipe's `train` section, settled."""
    recipe = prepared.recipe.train
    return TrainOptions(
        seed=recipe.seed,
        epochs=int(recipe.epochs),
        batch_size=int(recipe.batch_size),
        learning_rate=float(recipe.learning_rate),
        schedule=recipe.schedule,
        warmup_share=recipe.warmup_share,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        micro_batch_tokens=int(recipe.micro_batch_tokens),
        savings=savings_of(prepared.recipe),
        recompute_layers=bool(recipe.recompute_layers),
    )


def settled_options(prepared: Prepared, run_dir: RunDir) -> TrainOptions:
    """`train_options` with the learning rate that trials have chosen, if there were any."""
    options = train_options(prepared)
    if not run_dir.trials.is_file():
        return options
    return replace(options, learning_rate=float(read_json(run_dir.trials)["chosen"]))


def choice_of(model: Any, prepared: Prepared, watch: Watch | None, ranks: Ranks = ALONE) -> Choice:
    """By the answers to some validation rows, or by the loss alone, as the recipe says; inside the watched budget."""
    recipe = prepared.recipe.train
    has_a_choice = int(recipe.epochs) * recipe.validations_per_epoch > 1

    def forgotten() -> Forgotten | None:
        return what_is_forgotten(model, prepared, watch, ranks) if watch and watch.has_budget else None

    if recipe.choose_by is ChooseBy.LOSS or not has_a_choice:
        return Choice(forgotten=forgotten)
    rows = spread(prepared.split.validation, MAX_SCORED_ROWS)
    solution = PromptSolution(model, prepared.renderer, card_of(Arm.SPECIALIST, prepared))

    def score() -> list[RowScore]:
        answered = ask(solution, prepared, rows)
        return [(float(row["numerator"]), float(row["denominator"])) for row in answered]

    return Choice(lambda: on_first_rank(score, model, ranks), prefers, forgotten)


def _learning_rate(
    model: Any,
    prepared: Prepared,
    options: TrainOptions,
    choice: Choice,
    watch: Watch | None,
    anchor: Anchor | None,
    run_dir: RunDir,
    screen: Screen,
    ranks: Ranks,
) -> float:
    """The recipe's rate; the best of some around it where the recipe asks for trials and the run is long enough."""
    examples = prepared.rendered["train"]
    num_steps, count = trial_steps(count_steps(len(examples), options)), int(prepared.recipe.train.trials)
    if count == 1 or not num_steps:
        return options.learning_rate
    if ranks.agree(run_dir.trials.is_file()):
        return float(ranks.agree(read_json(run_dir.trials) if ranks.is_first else {})["chosen"])
    by_task = Choice(choice.score, choice.prefers)  # what a trial has forgotten tells nothing; see rates_up_to
    rates = (rates_up_to if watch and watch.has_budget else rates_around)(options.learning_rate, count)
    title = f"Trying {len(rates)} learning rates for {num_steps} steps each"
    with screen.bar(title, len(rates) * num_steps) as advance:
        trials = try_rates(
            model,
            examples,
            rates,
            options=options,
            num_steps=num_steps,
            validate=lambda step: validate(model, prepared.rendered["validation"], step, by_task, options, ranks),
            on_step=lambda: advance(1, ""),
            ranks=ranks,
            anchor=anchor,
        )
    for trial in trials:
        said = _describe(trial.validation, prepared) if trial.validation else "the loss is no longer finite"
        screen.say(f"learning rate {trial.learning_rate:.1e}: {said}")
    chosen = best_rate(trials, choice.prefers)
    if ranks.is_first:
        write_json(run_dir.trials, {"chosen": chosen, "trials": [asdict(trial) for trial in trials]})
    return chosen


def _describe(validation: Validation, prepared: Prepared) -> str:
    said = f"step {validation.step}: validation loss {validation.loss:.4f} nats per token"
    if validation.score is not None:
        metric = describe_metric(prepared.metric).label
        said += f", {metric} {100 * validation.score:.1f} on {len(validation.scores)} rows"
    if validation.forgotten is None:
        return said
    said += f", general text {validation.forgotten.nll_change:+.3f}"
    if validation.forgotten.scale == 1:
        return said
    is_enough = validation.forgotten.is_within_budget
    end = "which should keep the budget" if is_enough else "which should not keep the budget either"
    return f"{said}; judged at {validation.forgotten.scale:g} of the adapter, {end}"
