"""`burnish record`: what asking costs, the asking, and what came of it."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer
from rich.console import Console

from burnish.cli.check import load_recipe_or_data
from burnish.cli.output import print_json, print_next
from burnish.cli.screen import TerminalScreen
from burnish.recording import (
    Endpoint,
    Prices,
    Recording,
    estimate_cost,
    missing_questions,
    read_questions,
    record_answers,
    spell_money,
)


@dataclass(frozen=True, kw_only=True)
class RecordOptions:
    """What the command line asks for besides the questions and whom to ask."""

    output: Path
    test_only: bool
    num_at_once: int
    per_minute: float | None
    prices: Prices | None
    is_agreed: bool
    """Nobody is asked whether to go on."""
    as_json: bool


def read_key(name: str) -> str | None:
    """The key in an environment variable; None where there is none, which servers of one's own allow."""
    return os.environ.get(name, "").strip() or None


def record(source: str, overrides: list[str], endpoint: Endpoint, options: RecordOptions) -> bool:
    """Tell the cost, ask, and tell what came; whether every question has an answer."""
    screen, console = TerminalScreen(), Console(stderr=True, highlight=False)
    questions = read_questions(load_recipe_or_data(source, overrides), screen, test_only=options.test_only)
    missing = missing_questions(questions, options.output, endpoint)
    if len(missing) < len(questions):
        screen.say(f"{options.output}: {len(questions) - len(missing):,} of {len(questions):,} answers are there.")
    if missing:
        screen.say(f"{estimate_cost(missing, max_tokens=endpoint.max_tokens, prices=options.prices)}")
        if not options.is_agreed and sys.stdin.isatty() and not typer.confirm("Ask them?", err=True):
            return False
    try:
        done = record_answers(
            questions,
            endpoint,
            options.output,
            num_at_once=options.num_at_once,
            per_minute=options.per_minute,
            screen=screen,
        )
    except KeyboardInterrupt:
        console.print(f"Stopped; the answers so far are in {options.output}. The same command goes on.", markup=False)
        raise
    _tell(done, options, console)
    if not options.as_json and not done.refusals:
        recipe = source if source.endswith(".toml") else "RECIPE"
        print_next((f"run {recipe} evaluate.recorded={options.output}", "the specialist against these answers"))
    return not done.refusals


def _tell(done: Recording, options: RecordOptions, console: Console) -> None:
    tokens_in, tokens_out = (
        _sum([getattr(a, name) for a in done.answers]) for name in ("prompt_tokens", "completion_tokens")
    )
    num_cut = sum(answer.finish_reason == "length" for answer in done.answers)
    money = None
    if options.prices and tokens_in is not None and tokens_out is not None:
        money = options.prices.of(tokens_in, tokens_out)
    for note in done.notes:
        console.print(f"note: {note}", markup=False, soft_wrap=True)
    for refusal in done.refusals:
        console.print(f"{refusal.id}: no answer. {refusal.why}", markup=False, soft_wrap=True)
    if options.as_json:
        counts = {"recorded": len(done.answers), "there_before": done.num_kept, "refused": len(done.refusals)}
        usage = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "money": money}
        print_json({"path": str(done.path), **counts, "cut_at_limit": num_cut, **usage})
        return
    text = f"Recorded {len(done.answers):,} answers in {done.path}"
    text += f"; {done.num_kept:,} were there already" if done.num_kept else ""
    if tokens_in is not None and tokens_out is not None:
        text += f"; the endpoint counted {tokens_in:,} prompt tokens and {tokens_out:,} of answers"
    text += f", {spell_money(money)} in all" if money is not None else ""
    console.print(f"{text}.", markup=False, soft_wrap=True)
    if num_cut:
        console.print(f"{num_cut:,} of them were cut at --max-tokens.", markup=False, soft_wrap=True)
    if done.refusals:
        console.print(f"{len(done.refusals):,} have no answer; the same command asks them again.", markup=False)


def _sum(counts: Sequence[int | None]) -> int | None:
    """None where the endpoint did not count all."""
    return None if None in counts else sum(count for count in counts if count is not None)
