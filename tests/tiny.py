"""A two-layer, 32-wide model and a byte-level tokenizer, built in memory: enough to test everything but quality."""

import random
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast, Starcoder2Config

from burnish.data import RenderedExample
from burnish.model.adapter import adapter_parameters

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def build_tokenizer(chat_template: str | None = CHATML) -> Any:
    """One token a byte, and ChatML's two marks."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>"],
    )
    tokenizer.chat_template = chat_template
    return tokenizer


def build_model(seed: int = 0, dtype: torch.dtype = torch.float64, **changes: Any) -> Any:
    """A random Llama with grouped queries (4 heads, 2 key/value heads)."""
    settings: dict[str, Any] = {
        "vocab_size": 258,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "bos_token_id": None,
        "eos_token_id": 256,
        "pad_token_id": 256,
        "tie_word_embeddings": True,
    }
    config = LlamaConfig(**{**settings, **changes})
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: Any = AutoModelForCausalLM.from_config(config)
        for name, parameter in model.named_parameters():
            if "norm" not in name:
                torch.nn.init.normal_(parameter, std=0.15)  # wide enough that attention matters
    return model.to(dtype).requires_grad_(False).eval()


def build_exact_model(seed: int = 0, sliding_window: int | None = None) -> Any:
    """A model that keeps float64 throughout (Llama's norms do not), with grouped queries and, if asked, a window."""
    config = Starcoder2Config(
        vocab_size=258,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=sliding_window,
        bos_token_id=None,
        eos_token_id=256,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: Any = AutoModelForCausalLM.from_config(config)
        for name, parameter in model.named_parameters():
            if "norm" not in name:
                torch.nn.init.normal_(parameter, std=0.15)
    return model.double().requires_grad_(False).eval()


def build_model_without_interface(kind: str) -> Any:
    """A model that does not attend through transformers' interface: an old one ("bloom"), or one whose layers are
    recurrent by turns ("qwen3_next")."""
    from transformers import BloomConfig, Qwen3NextConfig

    ids = {"vocab_size": 258, "bos_token_id": None, "eos_token_id": 256, "pad_token_id": 256}
    config = (
        BloomConfig(hidden_size=32, n_layer=2, n_head=2, **ids)
        if kind == "bloom"
        else Qwen3NextConfig(
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            layer_types=["linear_attention", "full_attention"],
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=8,
            linear_key_head_dim=8,
            linear_value_head_dim=8,
            linear_num_key_heads=2,
            linear_num_value_heads=4,
            num_experts=0,
            mlp_only_layers=[0, 1],
            **ids,
        )
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: Any = AutoModelForCausalLM.from_config(config)
        for name, parameter in model.named_parameters():
            if "norm" not in name and parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.15)
    return model.double().requires_grad_(False).eval()


def random_examples(count: int, shared: int, seed: int = 0, longest: int = 40) -> list[RenderedExample]:
    """Examples of odd lengths that share their first `shared` ids; some learn tokens in the middle as well."""
    chance = random.Random(seed)
    prefix = [chance.randrange(256) for _ in range(shared)]
    examples = []
    for number in range(count):
        ids = prefix + [chance.randrange(256) for _ in range(chance.randrange(3, longest))]
        start = chance.randrange(max(1, shared), len(ids) - 1)
        mask = [False] * start + [chance.random() < 0.7 for _ in ids[start:]]
        mask[start + 1] = True
        examples.append(RenderedExample(f"rows.jsonl:{number + 1}", tuple(ids), tuple(mask), start))
    return examples


def randomize_adapter(model: Any, dtype: torch.dtype, seed: int = 0, std: float = 0.3) -> None:
    """Fill the adapter, whose B starts at zero, so that it changes every answer."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in adapter_parameters(model).values():
        parameter.data = (torch.randn(parameter.shape, generator=generator) * std).to(dtype)


def save_base(folder: Path, seed: int = 0, chat_template: str | None = CHATML, **changes: Any) -> Path:
    """The tiny model as a folder that burnish takes as a base."""
    model = build_model(seed, torch.float32, **changes)
    model.generation_config.eos_token_id = 256
    model.save_pretrained(folder)
    build_tokenizer(chat_template).save_pretrained(folder)
    return folder
