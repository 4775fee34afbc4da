"""The training step on one device, in real tokens a second: benchmarks/gpu.py [--shapes 135M 8B] [--device cuda].

Random weights of a known model's shape and random examples, so that nothing is downloaded; prints one Markdown table.
"""

import argparse
import random
import statistics
from dataclasses import replace
from typing import Any

import torch
from job import OPTIONS, RANK
from transformers import AutoModelForCausalLM, LlamaConfig
from work import flops, product_rate, weights_of

from burnish.data import RenderedExample
from burnish.model.adapter import attach_adapter
from burnish.model.device import choose_device, describe_device
from burnish.train.loop import start_training, train

# Layers, width, inner width, query heads, key/value heads, head width, vocabulary, whether the head is the embedding.
SHAPES = {
    "tiny": (2, 64, 128, 4, 2, 16, 1000, True),
    "135M": (30, 576, 1536, 9, 3, 64, 49152, True),
    "1B": (16, 2048, 8192, 32, 8, 64, 128256, True),
    "8B": (32, 4096, 14336, 32, 8, 128, 128256, False),
}


def build(shape: str, dtype: torch.dtype, device: torch.device) -> Any:
    """A frozen Llama of that shape with an adapter on all linear layers."""
    layers, width, inner, heads, kv_heads, head_width, vocabulary, is_tied = SHAPES[shape]
    config = LlamaConfig(
        num_hidden_layers=layers,
        hidden_size=width,
        intermediate_size=inner,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=head_width,
        vocab_size=vocabulary,
        tie_word_embeddings=is_tied,
        max_position_embeddings=8192,
    )
    with device:
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    model.requires_grad_(False)
    return attach_adapter(model, rank=RANK, alpha=32, dropout=0.0, target_modules="all-linear", seed=0)


def draw_examples(count: int, length: int, prefix: int, vocabulary: int) -> list[RenderedExample]:
    """Examples of half to one and a half `length`; they begin alike, and the last third is learned."""
    chance = random.Random(0)
    start = [chance.randrange(vocabulary) for _ in range(prefix)]
    examples = []
    for i in range(count):
        total = chance.randint(length // 2, 3 * length // 2)
        ids = (*start, *(chance.randrange(vocabulary) for _ in range(total)))
        prompt = prefix + 2 * total // 3
        mask = (*[False] * prompt, *[True] * (len(ids) - prompt))
        examples.append(RenderedExample(str(i), ids, mask, prompt))
    return examples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--shapes", nargs="+", default=["135M", "8B"], choices=SHAPES)
    parser.add_argument("--device", type=torch.device, default=choose_device())
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float32"])
    parser.add_argument("--pack", type=int, default=4096, help="tokens of a pack")
    parser.add_argument("--length", type=int, default=512, help="own tokens of an example, on average")
    parser.add_argument("--prefix", type=int, default=0, help="tokens that all examples begin with")
    parser.add_argument("--examples", type=int, default=32, help="in one optimizer step")
    parser.add_argument("--steps", type=int, default=10, help="that are timed, after three that are not")
    given = parser.parse_args()
    dtype = getattr(torch, given.dtype)
    print(
        f"{describe_device(given.device)}; torch {torch.__version__}; {given.dtype}, packs of {given.pack:,} tokens\n"
    )
    print("| shape | real tokens/s | fed tokens/s | share of the product rate | peak memory, GB |")
    print("|---|---|---|---|---|", flush=True)
    for shape in given.shapes:
        model = build(shape, dtype, given.device)
        rate = product_rate(dtype, given.device, 4096 if given.device.type == "cuda" else 1024)
        examples = draw_examples(given.examples, given.length, given.prefix, SHAPES[shape][6])
        options = replace(OPTIONS, epochs=3 + given.steps, batch_size=len(examples), micro_batch_tokens=given.pack)
        real = sum(example.length for example in examples)
        if given.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(given.device)
        timed = list(train(start_training(model, options), examples, options))[3:]
        seconds = [metrics.seconds for metrics in timed]
        median = statistics.median(seconds)
        spread = f"{real / median:,.0f} ({real / max(seconds):,.0f} – {real / min(seconds):,.0f})"
        share = flops(*weights_of(model), timed[0].tokens, timed[0].supervised_tokens) / median / rate
        peak = torch.cuda.max_memory_allocated(given.device) / 1e9 if given.device.type == "cuda" else float("nan")
        print(f"| {shape} | {spread} | {timed[0].tokens / median:,.0f} | {share:.0%} | {peak:.1f} |", flush=True)
        del model


if __name__ == "__main__":
    main()
