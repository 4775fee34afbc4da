"""Renderers with the chat templates of `templates/` and the control tokens that go with them, over bytes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from burnish.data import Renderer

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class ChatModel:
    """What a model's tokenizer and generation config say beside its template."""

    template: str
    ends: tuple[str, ...]
    """The end of a text, where that is another token, and then the end of a turn."""
    marks: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    """Tokens of their own that are not control tokens."""
    bos: str | None = None


CHATML = ("<|im_start|>",)
THINK = ("<think>", "</think>", "<tool_call>", "</tool_call>")
MISTRAL_TOOLS = ("[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]")
MODELS = {
    "Llama 3.1": ChatModel(
        "llama3_1",
        ("<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"),
        ("<|start_header_id|>", "<|end_header_id|>"),
        bos="<|begin_of_text|>",
    ),
    "Qwen 2.5": ChatModel("qwen2_5", ("<|endoftext|>", "<|im_end|>"), CHATML, THINK[2:]),
    "Qwen 3": ChatModel("qwen3", ("<|endoftext|>", "<|im_end|>"), CHATML, THINK),
    "Gemma 3": ChatModel("gemma3", ("<eos>", "<end_of_turn>"), ("<start_of_turn>",), bos="<bos>"),
    "Mistral": ChatModel(
        "mistral",
        ("</s>",),
        (
            "[INST]",
            "[/INST]",
            "[AVAILABLE_TOOLS]",
            "[/AVAILABLE_TOOLS]",
            "[TOOL_CALLS]",
            "[TOOL_RESULTS]",
            "[/TOOL_RESULTS]",
        ),
        bos="<s>",
    ),
    "Phi 4": ChatModel("phi4", ("<|endoftext|>", "<|im_end|>"), (*CHATML, "<|im_sep|>")),
    "SmolLM2": ChatModel("smollm2", ("<|im_end|>",), CHATML),
    "SmolLM3": ChatModel("smollm3", ("<|end_of_text|>", "<|im_end|>"), CHATML, THINK),
    "DeepSeek R1": ChatModel(
        "deepseek_r1", ("<|end_of_sentence|>",), ("<|User|>", "<|Assistant|>"), THINK[:2], bos="<|bos|>"
    ),
}
# The prompt of R1 opens a thought that its template leaves out of every answer: no row can be learned faithfully.
FAITHFUL = tuple(name for name in MODELS if name != "DeepSeek R1")
WITH_TOOLS = ("Llama 3.1", "Qwen 2.5", "Qwen 3", "Mistral")


def build_chat_renderer(name: str, *, thinking: bool = False, template: str | None = None) -> Renderer:
    """The renderer of a model; `template` stands in for its own."""
    model = MODELS[name]
    tokenizer = build_chat_tokenizer(model)
    tokenizer.chat_template = template or (TEMPLATES / f"{model.template}.jinja").read_text()
    return Renderer(tokenizer, frozenset(tokenizer.convert_tokens_to_ids(list(model.ends))), thinking)


def build_chat_tokenizer(model: ChatModel) -> Any:
    """One token a byte, one for each control token; a BOS before every text that is not rendered."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([*([model.bos] if model.bos else []), *model.ends, *model.marks])
    core.add_tokens([AddedToken(word, normalized=False) for word in model.words])
    if model.bos:
        core.post_processor = processors.TemplateProcessing(
            single=f"{model.bos} $A", special_tokens=[(model.bos, core.token_to_id(model.bos))]
        )
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token=model.bos, eos_token=model.ends[-1])
