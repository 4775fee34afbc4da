"""A two-layer, 32-wide model and a byte-level tokenizer, built in memory: enough to test everything but quality."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

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


def save_base(folder: Path, seed: int = 0, chat_template: str | None = CHATML, **changes: Any) -> Path:
    """The tiny model as a folder that burnish takes as a base."""
    model = build_model(seed, torch.float32, **changes)
    model.generation_config.eos_token_id = 256
    model.save_pretrained(folder)
    build_tokenizer(chat_template).save_pretrained(folder)
    return folder
