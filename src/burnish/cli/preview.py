"""A rendered example, as the model sees it: prompt plain, learned tokens green, the end of the turn reversed."""

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from burnish.data import RenderedExample, Renderer


def print_preview(console: Console, renderer: Renderer, example: RenderedExample) -> None:
    """Print one example with its loss mask."""
    text = Text()
    for token, is_learned in zip(example.input_ids, example.loss_mask, strict=True):
        piece = str(renderer.tokenizer.decode([token]))
        is_end = token in renderer.end_of_turn_ids
        style = ("bold reverse green" if is_end else "bold green") if is_learned else "dim"
        text.append(piece, style)
    learned, total = example.num_supervised, len(example.input_ids)
    legend = f"{example.id}: {total} tokens, {learned} learned (green, through the end of the turn)"
    console.print(Panel(text, title=legend, title_align="left"))
    if not console.is_terminal:  # without colour the mask is told in words
        answer = renderer.tokenizer.decode([t for t, m in zip(example.input_ids, example.loss_mask, strict=True) if m])
        console.print(f"learned: {answer!r}", markup=False)
