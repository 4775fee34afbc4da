"""The base model: its tokenizer, its weights, and the fingerprint that an adapter remembers."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from burnish.cache import cache_dir, read_cached_json, write_cached_json
from burnish.errors import BaseModelError
from burnish.files import read_json, sha256_of_file, sha256_of_json
from burnish.model.catalog import CATALOG, BaseKind
from burnish.model.fetch import Say, find_base_folder
from burnish.model.parts import check_tokenizer, check_weights, context_of, num_embeddings, of_config, read_config

if TYPE_CHECKING:
    import torch

# Keys of config.json that change with the library or the place, not with the model.
VOLATILE_CONFIG = ("transformers_version", "_name_or_path", "dtype", "torch_dtype")
SENTENCE_FILES = ("modules.json", "sentence_bert_config.json")
"""One of them lies beside every sentence encoder."""
UNREADABLE = (OSError, ValueError, SafetensorError)
"""What transformers raises where files of a model are missing, cut or of another kind."""


@dataclass(frozen=True)
class BaseFiles:
    """Where a base model lies and who it is."""

    name: str
    folder: Path
    fingerprint: str
    template_sha256: str
    num_embeddings: int | None = None
    """How many token ids it knows; None where its files do not tell."""


def is_encoder(name: str) -> bool:
    """Whether a base model makes vectors instead of text: a sentence encoder of the catalog, of a folder or the hub."""
    if name in CATALOG:
        return CATALOG[name].kind is BaseKind.ENCODER
    folder = Path(os.path.expanduser(name))
    return name.startswith("sentence-transformers/") or any((folder / file).is_file() for file in SENTENCE_FILES)


def find_base(name: str, say: Say = lambda _: None) -> BaseFiles:
    """Locate (and, if need be, fetch) a base model that can generate.

    Raises:
        BaseModelError: it cannot be had, is an encoder, or its parts do not fit each other.
    """
    if is_encoder(name):
        chat = ", ".join(entry.name for entry in CATALOG.values() if entry.kind is BaseKind.CHAT)
        raise BaseModelError(f"{name}: this is an encoder; it cannot write answers. Set model.base to e.g. {chat}.")
    folder = find_base_folder(name, say)
    check_weights(folder)
    return BaseFiles(name, folder, fingerprint(folder), _template_sha256(folder), num_embeddings(folder))


def load_tokenizer(base: BaseFiles) -> tuple[Any, frozenset[int]]:
    """The tokenizer with the base's own chat template, and the ids that end a turn.

    Raises:
        BaseModelError: it cannot be read, or does not fit the weights.
    """
    from transformers import AutoTokenizer

    quiet_transformers()
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(base.folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BaseModelError(
            f"{base.folder}: the tokenizer cannot be read ({reason}). Is the folder complete?"
        ) from error
    ends = _end_ids(base.folder) | ({tokenizer.eos_token_id} if tokenizer.eos_token_id is not None else set())
    if not ends:
        raise BaseModelError(
            f"{base.folder}: the model names no end-of-turn token (eos_token_id). Add it to its config."
        )
    check_tokenizer(base.folder, tokenizer, ends)
    return tokenizer, frozenset(ends)


def load_model(base: BaseFiles, *, dtype: "torch.dtype", device: "torch.device") -> Any:
    """The causal language model, frozen, in `eval` mode."""
    from transformers import AutoModelForCausalLM

    from burnish.model.device import keep_freed_memory

    quiet_transformers()
    keep_freed_memory()
    try:
        model: Any
        model, told = AutoModelForCausalLM.from_pretrained(
            base.folder, dtype=dtype, use_safetensors=True, output_loading_info=True
        )
    except UNREADABLE as error:
        reason = str(error).splitlines()[0]
        raise BaseModelError(f"{base.folder}: the model cannot be read ({reason}). Is the folder complete?") from error
    except RuntimeError as error:
        if "ignore_mismatched_sizes" not in str(error):
            raise
        raise BaseModelError(
            f"{base.folder}: the weights have other shapes than config.json says. Put the files of one model there."
        ) from error
    if missing := sorted(told["missing_keys"]):
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise BaseModelError(f"{base.folder}: the weights lack {missing[0]}{more}. Download the base again.")
    model.requires_grad_(False)
    return model.to(device).eval()


def load_config(base: BaseFiles) -> Any:
    """transformers' configuration of the model."""
    from transformers import AutoConfig

    quiet_transformers()
    return AutoConfig.from_pretrained(base.folder)


def context_length(base: BaseFiles) -> int:
    """The longest sequence that the base was made for, in tokens."""
    path = base.folder / "tokenizer_config.json"
    tokenizer = read_json(path) if path.is_file() else {}
    return context_of(read_config(base.folder), tokenizer.get("model_max_length"))


def width(base: BaseFiles) -> int:
    """Numbers of a hidden state; 1,024 where the model's configuration has another word for it."""
    return int(of_config(read_config(base.folder), "hidden_size") or 1024)


def fingerprint(folder: Path) -> str:
    """SHA-256 over config, tokenizer, chat template and weights; remembered by size and time of the files."""
    weights = sorted(folder.glob("*.safetensors"))
    stamp = {p.name: [p.stat().st_size, p.stat().st_mtime_ns] for p in (*weights, *_identity_files(folder))}
    key = sha256_of_json([str(folder.resolve()), stamp])
    memo = cache_dir() / "fingerprints" / f"{key}.json"
    if known := read_cached_json(memo):
        return str(known["fingerprint"])
    config = {k: v for k, v in read_json(folder / "config.json").items() if k not in VOLATILE_CONFIG}
    parts = {p.name: sha256_of_file(p) for p in (*weights, *_identity_files(folder)) if p.name != "config.json"}
    value = sha256_of_json({"config": config, "files": parts})
    write_cached_json(memo, {"fingerprint": value})
    return value


def quiet_transformers() -> None:
    """Leave progress bars, hints and notes between libraries about their own future to burnish."""
    import warnings

    from transformers.utils import logging

    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _identity_files(folder: Path) -> list[Path]:
    names = ("config.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "chat_template.jinja")
    return [folder / name for name in names if (folder / name).is_file()]


def _template_sha256(folder: Path) -> str:
    own = folder / "chat_template.jinja"
    if own.is_file():
        return sha256_of_file(own)
    config = folder / "tokenizer_config.json"
    template = read_json(config).get("chat_template") if config.is_file() else None
    return sha256_of_json(template)


def _end_ids(folder: Path) -> set[int]:
    ids: set[int] = set()
    for name in ("generation_config.json", "config.json"):
        path = folder / name
        if path.is_file():
            value = json.loads(path.read_text(encoding="utf-8")).get("eos_token_id")
            ids |= set(value if isinstance(value, list) else [] if value is None else [value])
    return ids
