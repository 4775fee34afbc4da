"""An answer tells the model's own probability of exactly it, whether it is a label, an object or free text."""

import math

import pytest
import torch

from burnish.conversation import Role, build_conversation
from burnish.data import Renderer
from burnish.generate.answer import answer_prompts
from tests.tiny import build_exact_model, build_tokenizer

LABELS = ("red", "green", "blue")


@torch.no_grad()
def test_a_label_has_its_probability_and_a_text_that_of_its_tokens() -> None:
    model, renderer = build_exact_model(), Renderer(build_tokenizer(), frozenset({256}))
    prompts = [build_conversation("Which colour?", (Role.USER, text)) for text in ("a", "bc", "def")]
    options = {"max_new_tokens": 3, "batch_size": 2}
    for prompt, answer in zip(prompts, answer_prompts(model, renderer, prompts, labels=LABELS, **options), strict=True):
        head = list(renderer.prompt_ids(prompt))
        likelihoods = {}
        for label in LABELS:
            tail = list(renderer.answer_ids(prompt, label))
            logp = model(input_ids=torch.tensor([head + tail])).logits[0].log_softmax(-1)
            likelihoods[label] = math.exp(sum(logp[len(head) - 1 + i, token].item() for i, token in enumerate(tail)))
        assert answer.text == max(LABELS, key=lambda label: likelihoods[label])
        assert answer.probability == pytest.approx(likelihoods[answer.text], rel=1e-4)
    for prompt, answer in zip(prompts, answer_prompts(model, renderer, prompts, labels=(), **options), strict=True):
        ids = list(renderer.prompt_ids(prompt))
        total = 0.0
        for _ in range(3):
            logits_V = model(input_ids=torch.tensor([ids])).logits[0, -1].log_softmax(-1)
            total += float(logits_V.max())
            ids.append(int(logits_V.argmax()))
        assert 256 not in ids[-3:] and answer.probability == pytest.approx(math.exp(total), rel=1e-4)
        assert answer.confidence is None
