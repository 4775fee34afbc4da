"""The parts of a base held against each other: config, weights, tokenizer, special ids, chat template."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.errors import BaseModelError

EMBEDDINGS = frozenset({"embed_tokens", "wte", "word_embeddings", "embed_in", "tok_embeddings"})
HEADS = frozenset({"lm_head", "embed_out", "output", "head"})
CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "seq_length", "n_ctx")
DEFAULT_CONTEXT, LONGEST_CONTEXT = 2048, 10**9
"""A length beyond the longest stands for "no limit known"; then the default is taken."""
COMPLETE = "Download the base again, or use another one."
SAME_MODEL = "Put the files of one model into the folder."
INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class Weights:
    """The names and shapes of a base's tensors, read from the heads of its files."""

    shapes: Mapping[str, tuple[int, ...]]

    @property
    def embedding(self) -> tuple[int, ...] | None:
        """The shape of the token embeddings; None where no tensor has a usual name for them."""
        return next((shape for name, shape in self.shapes.items() if _module(name) in EMBEDDINGS), None)

    @property
    def has_head(self) -> bool:
        return any(_module(name) in HEADS for name in self.shapes)

    @property
    def num_layers(self) -> int:
        """One more than the largest number behind "layers", "h" or the like; 0 where there is none."""
        numbers = [int(part) for name in self.shapes for part in name.split(".")[:-1] if part.isdigit()]
        return max(numbers, default=-1) + 1


def num_embeddings(folder: Path) -> int | None:
    """How many token ids the base knows; None where neither weights nor config tell."""
    embedding = read_weights(folder).embedding
    known = embedding[0] if embedding else of_config(read_config(folder), "vocab_size")
    return int(known) if known else None


def check_weights(folder: Path) -> None:
    """Hold config and weights against each other.

    Raises:
        BaseModelError: names the folder, the part that does not fit, and a remedy.
    """
    config, weights = read_config(folder), read_weights(folder)
    _check_architecture(folder, config)
    vocabulary, width, layers = (of_config(config, key) for key in ("vocab_size", "hidden_size", "num_hidden_layers"))
    if (embedding := weights.embedding) is None:
        return
    if vocabulary and embedding[0] != vocabulary:
        told = f"the embeddings have {embedding[0]:,} rows; config.json has vocab_size {vocabulary:,}."
        raise _fault(folder, told, SAME_MODEL)
    if width and len(embedding) == 2 and embedding[1] != width and not _has_projection(config):
        told = f"the embeddings are {embedding[1]:,} wide; config.json has hidden_size {width:,}."
        raise _fault(folder, told, SAME_MODEL)
    if layers and weights.num_layers < layers:
        told = f"the weights have {weights.num_layers} layers; config.json has num_hidden_layers {layers}."
        raise _fault(folder, told, SAME_MODEL)
    if of_config(config, "tie_word_embeddings") is False and not weights.has_head:
        told = "the weights have no lm_head, and config.json has tie_word_embeddings false."
        raise _fault(folder, told, "Set it to true if the head is that of the embeddings, or download the base again.")


def check_tokenizer(folder: Path, tokenizer: Any, end_ids: Iterable[int]) -> None:
    """Hold the tokenizer, its special ids and its chat template against the embeddings.

    More embeddings than tokens are usual. Added tokens without an embedding are no fault while nothing writes them.

    Raises:
        BaseModelError: names the folder, the part that does not fit, and a remedy.
    """
    limit = num_embeddings(folder)
    if limit is None:
        return
    added = set(getattr(tokenizer, "added_tokens_decoder", {}))
    highest = max((i for i in tokenizer.get_vocab().values() if i not in added), default=0)
    rows = f"the embeddings have {limit:,} rows"
    if highest >= limit:
        raise _fault(folder, f"the tokenizer has ids up to {highest:,}; {rows}.", SAME_MODEL)
    special = [*(("eos_token_id", i) for i in sorted(end_ids)), *_special_ids(folder, tokenizer)]
    for name, value in special:
        if not isinstance(value, int) or not 0 <= value < limit:
            remedy = "Mend it in tokenizer_config.json, config.json or generation_config.json."
            raise _fault(folder, f"{name} is {value}; {rows}.", remedy)
    _check_template(folder, tokenizer, limit)


def context_of(config: Mapping[str, Any], model_max_length: float | None = None) -> int:
    """The longest sequence in tokens: as the config has it, or else the tokenizer's files, or else 2,048."""
    found = [of_config(config, key) for key in CONTEXT_KEYS]
    return next((int(v) for v in [*found, model_max_length] if _is_length(v)), DEFAULT_CONTEXT)


def read_config(folder: Path) -> dict[str, Any]:
    """The base's config.json.

    Raises:
        BaseModelError: there is none, or it holds no object.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _fault(folder, f"config.json cannot be read ({type(error).__name__}).", COMPLETE) from None
    if not isinstance(config, dict):
        raise _fault(folder, "config.json holds no object.", COMPLETE)
    return config


def of_config(config: Mapping[str, Any], key: str) -> Any:
    """A value of the config, or of the text model's part of it."""
    value = config.get(key)
    return value if value is not None else (config.get("text_config") or {}).get(key)


def read_weights(folder: Path) -> Weights:
    """The names and shapes of all tensors.

    Raises:
        BaseModelError: the index names a file that is not there.
    """
    files = sorted(folder.glob("*.safetensors"))
    index = folder / INDEX
    if index.is_file():
        try:
            named = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, AttributeError):
            raise _fault(folder, f"{INDEX} cannot be read.", COMPLETE) from None
        if absent := [name for name in named if not (folder / name).is_file()]:
            more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
            raise _fault(folder, f"{INDEX} names {absent[0]}{more}, which is not there.", COMPLETE)
        files = [folder / name for name in named]
    return Weights({name: shape for file in files for name, shape in _head(file)})


def _head(file: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Of a safetensors file, which has to be as long as its head says."""
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            head = json.loads(stream.read(length)) if length < size else {}
        rows = {name: row for name, row in head.items() if name != "__metadata__"}
        if not rows or max(row["data_offsets"][1] for row in rows.values()) + 8 + length != size:
            raise ValueError(size)
        yield from ((name, tuple(row["shape"])) for name, row in rows.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise _fault(
            file.parent, f"the model cannot be read ({file.name} is cut or damaged).", "Is the folder complete?"
        ) from None


def _check_architecture(folder: Path, config: Mapping[str, Any]) -> None:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    kind = config.get("model_type")
    if not kind:
        raise _fault(folder, "config.json has no model_type.", COMPLETE)
    if kind not in CONFIG_MAPPING_NAMES:
        told = f"config.json has model_type {kind!r}, which this version of transformers does not know."
        raise _fault(folder, told, "Update transformers, or use another base model.")
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise _fault(folder, f"a model of type {kind!r} does not write text.", "Use a causal language model.")


def _special_ids(folder: Path, tokenizer: Any) -> Iterator[tuple[str, Any]]:
    """bos and pad wherever they are named; eos is among the ends of a turn."""
    for key in ("bos_token_id", "pad_token_id"):
        if (value := getattr(tokenizer, key, None)) is not None:
            yield f"the tokenizer's {key}", value


def _check_template(folder: Path, tokenizer: Any, limit: int) -> None:
    """The template must be able to write one question, with tokens that have an embedding."""
    if not tokenizer.chat_template:
        return
    turn = {"role": "user", "content": "a"}
    try:
        text = _first_that_works(tokenizer, [[turn], [{"role": "system", "content": "b"}, turn]])
    except Exception as error:  # jinja templates raise what they like
        reason = " ".join(str(error).split())[:200]
        told = f"its chat template cannot write a question ({reason})."
        raise _fault(folder, told, "Mend the template, or remove it to train on plain text.") from None
    beyond = [i for i in tokenizer(text, add_special_tokens=False)["input_ids"] if i >= limit]
    if beyond:
        token = tokenizer.decode(beyond[:1])
        told = f"its chat template writes {token!r} (id {beyond[0]:,}); the embeddings have {limit:,} rows."
        raise _fault(folder, told, "Use the template and tokenizer of this base, or a base with this token trained.")


def _first_that_works(tokenizer: Any, conversations: list[list[dict[str, str]]]) -> str:
    for messages in conversations[:-1]:
        try:
            return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
        except Exception:
            continue
    return str(tokenizer.apply_chat_template(conversations[-1], tokenize=False, add_generation_prompt=True))


def _has_projection(config: Mapping[str, Any]) -> bool:
    return any(of_config(config, key) for key in ("word_embed_proj_dim", "embedding_size", "embedding_dim"))


def _is_length(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < LONGEST_CONTEXT


def _module(name: str) -> str:
    """The module that a weight is of: "embed_tokens" of "model.embed_tokens.weight"."""
    parts = name.split(".")
    return parts[-2] if len(parts) > 1 and parts[-1] == "weight" else ""


def _fault(folder: Path, told: str, remedy: str) -> BaseModelError:
    return BaseModelError(f"{folder}: {told} {remedy}")
