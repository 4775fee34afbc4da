"""Answers that fit a JSON schema: what its grammar forbids is never chosen (llguidance).

Shapes: B prompts of a batch, V vocabulary.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any

import numpy as np
import torch
from llguidance import LLMatcher, LLTokenizer
from llguidance.hf import from_tokenizer
from torch import Tensor

from burnish.conversation import Conversation
from burnish.data import Renderer
from burnish.errors import BaseModelError, DataError

COMPACT = {"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}
"""How targets are written, for a schema that says nothing about it in `x-guidance`."""


def build_matchers(renderer: Renderer, schema: Mapping[str, Any], prompts: Sequence[Conversation]) -> list[LLMatcher]:
    """For each prompt a matcher that follows its answer: JSON by `schema`, and what the template writes around it.

    The turn may end where the JSON does, and only there.

    Raises:
        BaseModelError: the tokenizer does not tell what its tokens spell.
        DataError: the schema says something that cannot be followed token by token.
    """
    matcher = build_matcher(renderer, json_grammar(renderer, schema, prompts[0]))
    return [matcher.deep_copy() for _ in prompts]


def json_grammar(renderer: Renderer, schema: Mapping[str, Any], prompt: Conversation) -> str:
    """The grammar of an answer to `prompt`, for llguidance: JSON by `schema`, and what the template writes around it.

    Raises:
        BaseModelError: the tokenizer does not tell what its tokens spell.
    """
    json_rule = "%json " + json.dumps({"x-guidance": COMPACT, **schema}, ensure_ascii=False)
    return f"start: {_around_answer(renderer, spelling(renderer), prompt, json_rule)}"


def build_matcher(renderer: Renderer, grammar: str) -> LLMatcher:
    """A matcher that follows one answer.

    Raises:
        BaseModelError: the tokenizer does not tell what its tokens spell.
        DataError: the grammar holds a schema that cannot be followed token by token.
    """
    matcher = LLMatcher(spelling(renderer), grammar, log_level=0)
    if matcher.is_error():
        reason = matcher.get_error().strip().splitlines()[0].split("failed to compile JSON schema: ")[-1]
        raise DataError(f"the JSON schema cannot be followed token by token: {reason}. Take that out of the schema.")
    return matcher


def spelling(renderer: Renderer) -> LLTokenizer:
    """What each token spells.

    Raises:
        BaseModelError: the tokenizer does not tell.
    """
    known: Any = renderer.tokenizer  # hashable, though its protocol does not say so
    return _spelling(known, tuple(sorted(renderer.end_of_turn_ids)))


def forbid(logits_BV: Tensor, matchers: Sequence[LLMatcher]) -> None:
    """Set the logits of tokens that a row's grammar does not allow next to -inf, in place."""
    bits = [np.frombuffer(matcher.compute_bitmask(), np.uint8) for matcher in matchers]
    # What the model has beyond the tokenizer's vocabulary is padded with 0, so forbidden.
    allowed_BV = np.stack([np.unpackbits(row, count=logits_BV.shape[-1], bitorder="little") for row in bits])
    logits_BV.masked_fill_(torch.from_numpy(allowed_BV == 0).to(logits_BV.device), float("-inf"))


def take(matcher: LLMatcher, token: int) -> None:
    """Go on behind `token`.

    Raises:
        DataError: the grammar has grown beyond what llguidance follows.
    """
    if not matcher.consume_token(token):
        reason = matcher.get_error().strip().splitlines()[0]
        raise DataError(f"the JSON schema can no longer be followed: {reason}. Use a simpler one.")


@lru_cache(maxsize=4)  # reading a vocabulary takes half a second, which a single question should not pay each time
def _spelling(tokenizer: Any, end_ids: tuple[int, ...]) -> LLTokenizer:
    try:
        return from_tokenizer(tokenizer, eos_token=list(end_ids))
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise BaseModelError(
            f"the tokenizer does not tell what its tokens spell ({reason}). Use a fast one."
        ) from error


def _around_answer(renderer: Renderer, tokenizer: LLTokenizer, prompt: Conversation, rule: str) -> str:
    """The grammar of an answer: `rule`, and what the template writes around it, e.g. a space or an empty thought."""
    answer_ids = [token for token in renderer.answer_ids(prompt, "{}") if token not in renderer.end_of_turn_ids]
    parts = list[str]()
    for is_special, ids in groupby(answer_ids, tokenizer.is_special_token):
        if is_special:
            parts += [f"<[{token}]>" for token in ids]
        else:
            text = json.dumps(tokenizer.decode_str(list(ids)), ensure_ascii=False)
            parts.append(text.replace("{}", f'" {rule} "', 1))
    return " ".join(parts)
