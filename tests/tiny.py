"""A two-layer, 32-wide model and a byte-level tokenizer, built in memory: enough to test everything but quality."""

import random
from collections.abc import Sequence
from pathlib import Path
from types import MethodType
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BertModel,
    BertTokenizerFast,
    Gemma3TextConfig,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Starcoder2Config,
)

from burnish.cache import cache_dir
from burnish.data import RenderedExample
from burnish.model.adapter import adapter_parameters, attach_adapter

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def own_cache(folder: Path) -> str:
    """A cache in `folder`, to be named by BURNISH_CACHE; the catalog's models, which take long to come, are shared."""
    shared, own = cache_dir() / "bases", folder / "cache"
    shared.mkdir(parents=True, exist_ok=True)
    if not own.is_dir():
        own.mkdir(parents=True)
        (own / "bases").symlink_to(shared)
    return str(own)


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
    sizes = {**SIZES, "max_position_embeddings": 2048, "pad_token_id": 256, "tie_word_embeddings": True}
    return _fill_at_random(LlamaConfig(**{**sizes, **changes}), seed).to(dtype)


SIZES: dict[str, Any] = {
    "vocab_size": 258,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "bos_token_id": None,
    "eos_token_id": 256,
}
EXACT_KINDS = ("starcoder2", "llama", "qwen3", "gemma3")


def build_exact_model(kind: str = "starcoder2", *, sliding_window: int | None = None) -> Any:
    """A model of one of `EXACT_KINDS` that keeps float64 throughout, with grouped queries.

    A window is on every layer of a Starcoder2 and on the first of two of a Qwen3 or Gemma3; a Llama has none.
    """
    layers = ["full_attention" if sliding_window is None else "sliding_attention", "full_attention"]
    own = {"head_dim": 8, "pad_token_id": 256}
    config = {
        "starcoder2": lambda: Starcoder2Config(**SIZES, sliding_window=sliding_window),
        "llama": lambda: LlamaConfig(**SIZES, **own),
        "qwen3": lambda: Qwen3Config(
            **SIZES, **own, use_sliding_window=True, sliding_window=sliding_window, layer_types=layers
        ),
        "gemma3": lambda: Gemma3TextConfig(
            **SIZES, **own, query_pre_attn_scalar=11, sliding_window=sliding_window or 64, layer_types=layers
        ),
    }[kind]()
    model = _fill_at_random(config).double()
    _norms_in_float64(model)
    return model


def _norms_in_float64(model: Any) -> None:
    """transformers computes RMS norms in float32 whatever the model's format; here the same formula in the input's.

    (The angles of rotary embeddings stay float32 numbers: they depend on the position alone, so are equal in both ways
    of a comparison.)
    """

    def forward(norm: Any, inputs: torch.Tensor) -> torch.Tensor:
        is_gemma = hasattr(norm, "eps")
        scale: torch.Tensor = torch.rsqrt(
            inputs.pow(2).mean(-1, keepdim=True) + (norm.eps if is_gemma else norm.variance_epsilon)
        )
        weight: torch.Tensor = 1 + norm.weight if is_gemma else norm.weight
        return inputs * scale * weight

    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = MethodType(forward, module)


def build_model_without_interface(kind: str) -> Any:
    """A model that does not attend through transformers' interface: an old one ("bloom"), or one whose layers are
    recurrent by turns ("qwen3_next")."""
    from transformers import BloomConfig, Qwen3NextConfig

    ids = {"vocab_size": 258, "bos_token_id": None, "eos_token_id": 256, "pad_token_id": 256}
    config = (
        BloomConfig(hidden_size=32, n_layer=2, n_head=2, **ids)
        if kind == "bloom"
        else Qwen3NextConfig(
            **{**SIZES, **ids},
            layer_types=["linear_attention", "full_attention"],
            head_dim=8,
            linear_key_head_dim=8,
            linear_value_head_dim=8,
            linear_num_key_heads=2,
            linear_num_value_heads=4,
            num_experts=0,
            mlp_only_layers=[0, 1],
        )
    )
    return _fill_at_random(config, matrices_only=True).double()


def _fill_at_random(config: Any, seed: int = 0, *, matrices_only: bool = False) -> Any:
    """A frozen model with weights wide enough that attention matters."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: Any = AutoModelForCausalLM.from_config(config)
        for name, parameter in model.named_parameters():
            if "norm" not in name and (parameter.dim() > 1 or not matrices_only):
                torch.nn.init.normal_(parameter, std=0.15)
    return model.requires_grad_(False).eval()


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


def adapt(model: Any, *, dropout: float = 0, target_modules: str | Sequence[str] = "all-linear") -> Any:
    """The float64 model with a float64 adapter that changes every answer."""
    model = attach_adapter(model, rank=3, alpha=8, dropout=dropout, target_modules=target_modules, seed=0)
    randomize_adapter(model, torch.float64)
    return model


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


def save_encoder(folder: Path, words: Sequence[str], *, seed: int = 0) -> Path:
    """A random BERT of whole words in `folder`, which reads 20 tokens of a text."""
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    folder.mkdir(exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 20}')
    torch.manual_seed(seed)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    config = BertConfig(vocab_size=len(vocabulary), max_position_embeddings=64, initializer_range=0.5, **sizes)
    BertModel(config).save_pretrained(folder)
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder
