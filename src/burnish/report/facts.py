"""Names with their values: the top of the page, test, training, environment, fingerprints, and commands to type."""

import shlex
from typing import Any

from burnish.report.arms import has_share_metric
from burnish.report.format import (
    NOT_MEASURED,
    format_bytes,
    format_count,
    format_duration,
    format_nats,
    format_score,
    format_time,
)
from burnish.report.record import ADAPTER_WEIGHTS, Json, RunRecord, dig, items

Facts = tuple[tuple[str, str], ...]


def header_facts(record: RunRecord) -> Facts:
    """What the page is about, in its top line."""
    evaluation = record.evaluation
    return (
        ("Task", str(dig(evaluation, "task") or NOT_MEASURED)),
        ("Base model", str(dig(evaluation, "base_model") or NOT_MEASURED)),
        ("Data", str(dig(evaluation, "data", "train") or NOT_MEASURED)),
        ("Finished", format_time(dig(evaluation, "finished_at"))),
        ("Run", record.run_id),
    )


def data_facts(record: RunRecord) -> Facts:
    """Sizes, lengths, languages, and what the training was expected to take; nothing for a run without a card."""
    card, data = record.card, dig(record.evaluation, "data")
    if not card:
        return ()
    parts = [dig(data, "split", part) for part in ("train", "validation", "test")]
    languages = dig(card, "languages") or {}
    commonest = sorted(languages.items(), key=lambda item: -item[1])[:4]
    return (
        ("Rows", format_count(dig(data, "num_rows"))),
        ("Train / validation / test", NOT_MEASURED if None in parts else " / ".join(map(format_count, parts))),
        ("Duplicates found", format_count(dig(data, "num_duplicates"))),
        ("Prompt tokens, median / 95 % / longest", _spell_lengths(dig(card, "tokens", "prompt"))),
        ("Answer tokens, median / 95 % / longest", _spell_lengths(dig(card, "tokens", "answer"))),
        ("Rows left out", format_count(dig(card, "rows", "left_out"))),
        ("Languages", ", ".join(f"{name} {format_count(n)}" for name, n in commonest) or NOT_MEASURED),
        ("Expected training time", format_duration(dig(card, "estimate", "seconds"))),
        ("Expected peak memory", format_bytes(dig(card, "estimate", "peak_bytes"))),
    )


def test_facts(evaluation: Any) -> Facts:
    """What the test rows can show."""
    smallest = dig(evaluation, "minimum_detectable_difference")
    known = smallest is not None and dig(evaluation, "minimum_detectable_difference_if")
    condition = f", {known}" if known else ""
    facts = [
        ("Test rows", format_count(dig(evaluation, "num_test_rows"))),
        (f"Smallest gain that they show{condition}", spell_points(smallest, has_share_metric(evaluation))),
        ("Rows needed to show the one seen", format_count(dig(evaluation, "verdict", "rows_needed"))),
        ("Groups of rows", format_count(dig(evaluation, "num_test_groups"))),
        ("Adapters judged by these rows", format_count(dig(evaluation, "num_test_openings"))),
    ]
    return tuple((name, value) for name, value in facts if value != NOT_MEASURED or name.startswith("Smallest"))


def spell_points(value: float | None, is_share: bool) -> str:
    """A difference of scores with its unit: "8.1 points"."""
    return format_score(value, is_share=is_share) + (" points" if is_share and value is not None else "")


def training_facts(evaluation: Json) -> Facts:
    """What the training took, and what the same training came to with other seeds."""
    training = dig(evaluation, "training")
    stopped = {True: "yes", False: "no", None: NOT_MEASURED}[dig(training, "stopped_early")]
    num_tokens, elapsed_s = dig(training, "num_tokens"), dig(training, "elapsed_s")
    speed = format_count(num_tokens / elapsed_s) if num_tokens and elapsed_s else NOT_MEASURED
    is_share = has_share_metric(evaluation)
    mending = dig(training, "mending")
    mended = [("Steps more for the retention budget", format_count(dig(mending, "num_steps")))] if mending else []
    seeds = (
        (f"Score with seed {seed['seed']}", format_score(seed["score"], is_share=is_share))
        for seed in items(evaluation, "seeds")
    )
    return (
        ("Training rows", format_count(dig(training, "num_train_rows"))),
        ("Validation rows", format_count(dig(training, "num_validation_rows"))),
        ("Optimizer steps", format_count(dig(training, "num_steps"))),
        *mended,
        ("Chosen step", format_count(dig(training, "best_step"))),
        ("Stopped early", stopped),
        ("Tokens", format_count(num_tokens)),
        ("Tokens a second", speed),
        ("Time", format_duration(elapsed_s)),
        ("Peak memory", format_bytes(dig(training, "peak_memory_bytes"))),
        *seeds,
    )


def retention_counts(retention: Any) -> str:
    """What retention was measured on, and what is allowed."""
    prompts, tokens = (format_count(dig(retention, key)) for key in ("num_prompts", "num_tokens"))
    budget = dig(retention, "budget")
    limit = (
        "no budget is set" if budget is None else f"the budget is {format_nats(budget, is_signed=False)} nats a token"
    )
    return f"{prompts} general prompts, {tokens} tokens; {limit}{_replayed(dig(retention, 'general'))}"


def _replayed(general: Any) -> str:
    """What of the team's own general rows training could use."""
    if general is None:
        return ""
    used, rows = (format_count(dig(general, key)) for key in ("num_used", "num_rows"))
    copies = (dig(general, "num_of_task") or 0) + (dig(general, "num_of_measurement") or 0)
    left = (
        f"; {format_count(copies)} were left out as near copies of the task's or the measuring texts" if copies else ""
    )
    return f". Training could replay {used} of your {rows} general rows{left}"


def environment_facts(record: RunRecord) -> Facts:
    """Where and how the run was made."""
    environment = record.environment
    names = ("burnish", "python", "platform", "device", "seed", "base_model")
    labels = ("burnish", "Python", "Platform", "Device", "Seed", "Base model")
    values = (dig(environment, name) for name in names)
    texts = (NOT_MEASURED if value is None else str(value) for value in values)
    command = items(environment, "command")
    return (
        *zip(labels, texts, strict=True),
        ("Command", shlex.join(map(str, command)) if command else NOT_MEASURED),
        ("Started", format_time(dig(environment, "started_at"))),
    )


def fingerprints(record: RunRecord) -> Facts:
    """The hashes that tie the adapter to its base and its data."""
    environment = record.environment
    data = dig(environment, "data_sha256") or {}
    return (
        ("Base model", str(dig(environment, "base_fingerprint") or NOT_MEASURED)),
        ("Adapter weights, SHA-256", record.adapter_sha256 or NOT_MEASURED),
        ("Frozen test rows, SHA-256", str(dig(record.evaluation, "data", "test_sha256") or NOT_MEASURED)),
        *((f"{name}, SHA-256", str(value)) for name, value in sorted(data.items())),
    )


def next_commands(record: RunRecord) -> Facts:
    """What to do with the specialist now, with the command."""
    run, recipe = shlex.quote(record.run_id), shlex.quote(f"{record.folder}/recipe.toml")
    explain = ("See each setting, where it came from and why", f"burnish explain {recipe}")
    talk = (("Talk to base and specialist side by side", f"burnish chat {run}"),) if record.adapter_sha256 else ()
    use = (*talk, ("Use it from Python", f"burnish.load({str(record.folder)!r})"))
    compare = ("Compare it with another run", f"burnish compare {run} OTHER_RUN")
    if dig(record.evaluation, "verdict", "outcome") == "better":
        return (*use, explain, compare)
    return (explain, compare, *use)


def verify_commands(record: RunRecord) -> Facts:
    """How to see for oneself that the files and the figures are these."""
    recipe = shlex.quote(f"{record.folder}/recipe.toml")
    again = ("Make the run again from its resolved recipe", f"burnish run {recipe}")
    if not record.adapter_sha256:
        return (again,)
    weights = shlex.quote(f"{record.folder}/adapter/{ADAPTER_WEIGHTS}")
    return (("Compare the adapter's weights", f"sha256sum {weights}"), again)


def _spell_lengths(lengths: Any) -> str:
    found = [dig(lengths, key) for key in ("median", "p95", "max")]
    return NOT_MEASURED if None in found else " / ".join(map(format_count, found))
