"""What asking will cost, before it is asked: requests, tokens and, where prices are known, money."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from burnish.recorded import wire_messages
from burnish.recording.questions import Question

CHARACTERS_PER_TOKEN = 4
"""A usual figure for English; other languages and code take more tokens. The endpoint counts in its own way."""


@dataclass(frozen=True)
class Prices:
    """Money for a million tokens, in whatever currency."""

    per_million_in: float
    per_million_out: float

    def of(self, tokens_in: int, tokens_out: int) -> float:
        """What so many tokens cost."""
        return (tokens_in * self.per_million_in + tokens_out * self.per_million_out) / 1e6


@dataclass(frozen=True)
class Cost:
    """An estimate: tokens by characters, answers as long as those that are wanted."""

    num_requests: int
    prompt_tokens: int
    answer_tokens: int
    money: float | None
    most_money: float | None
    """If every answer is as long as is allowed."""

    def __str__(self) -> str:
        text = (
            f"{self.num_requests:,} requests; an estimate by characters / {CHARACTERS_PER_TOKEN}: about "
            f"{self.prompt_tokens:,} prompt tokens, and {self.answer_tokens:,} of answers as long as the wanted ones"
        )
        if self.money is None or self.most_money is None:
            return f"{text}. Give --price-in and --price-out, per million tokens, to see money."
        money, most = spell_money(self.money), spell_money(self.most_money)
        return f"{text}: about {money}, at most {most} if every answer is as long as it may be."


def estimate_cost(questions: Sequence[Question], *, max_tokens: int, prices: Prices | None = None) -> Cost:
    """What the questions will cost."""
    prompt_tokens = sum(_tokens(_prompt_characters(question)) for question in questions)
    answer_tokens = sum(min(max_tokens, _tokens(len(question.target))) for question in questions)
    most = len(questions) * max_tokens
    return Cost(
        len(questions),
        prompt_tokens,
        answer_tokens,
        prices.of(prompt_tokens, answer_tokens) if prices else None,
        prices.of(prompt_tokens, most) if prices else None,
    )


def spell_money(amount: float) -> str:
    """With two decimals, or four below one, so that little is not shown as nothing."""
    return f"{amount:,.2f}" if amount >= 1 else f"{amount:.4f}"


def _prompt_characters(question: Question) -> int:
    """The texts, and all of what is written of calls and tools; not what a template puts around them."""
    rows = wire_messages(question.prompt)
    calls = [json.dumps(row["tool_calls"], ensure_ascii=False) for row in rows if "tool_calls" in row]
    return sum(map(len, [*(row["content"] for row in rows), *calls, *question.tools]))


def _tokens(num_characters: int) -> int:
    return -(-num_characters // CHARACTERS_PER_TOKEN)
