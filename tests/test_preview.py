"""The previews show what is learned, token by token, and fold what is long."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from burnish.cli.preview import print_preview
from burnish.data import RenderedExample
from burnish.report.preview import render_preview, write_preview_html
from tests.data.test_render import build_renderer, example

RENDERER = build_renderer()
(SHORT,) = RENDERER.render(example("a <b>\n", "ü [bold]no"))
(LONG,) = RENDERER.render(example("word " * 200, "yes"))


def printed(rendered: RenderedExample, *, is_terminal: bool, **options: bool) -> str:
    console = Console(force_terminal=is_terminal, color_system="truecolor" if is_terminal else None, width=100)
    with console.capture() as capture:
        print_preview(console, RENDERER, rendered, **options)
    return capture.get()


class TestTerminal:
    def test_learned_tokens_alternate_and_the_end_is_reversed(self) -> None:
        text = printed(SHORT, is_terminal=True)
        assert "\x1b[32mü\x1b[0m\x1b[1;92m \x1b[0m" in text
        assert "\x1b[1;7;32m<|im_end|>\x1b[0m" in text
        assert "\x1b[2m<|im_start|>system\x1b[0m" in text
        assert "learned: " not in text

    def test_without_colour_it_is_told_in_words(self) -> None:
        text = printed(SHORT, is_terminal=False)
        assert "\x1b" not in text
        assert "learned: 'ü [bold]no<|im_end|>'" in text
        assert f"x.jsonl:7: {len(SHORT.input_ids)} tokens, {SHORT.num_supervised} learned" in text

    def test_a_long_prompt_is_folded_in_the_middle(self) -> None:
        text = printed(LONG, is_terminal=False)
        count = int(re.search(r"\.\.\. ([\d,]+) tokens \.\.\.", text.replace("\n", ""))[1].replace(",", ""))  # type: ignore[index]
        assert count == LONG.prompt_length - 160
        assert text.count("word") < 40
        assert printed(LONG, is_terminal=False, whole=True).count("word") == 200
        assert "tokens ..." not in printed(SHORT, is_terminal=False)


class Page(HTMLParser):
    """Collects tags, and the texts with the classes around them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.stack: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str, str]] = []
        self.feed(page)
        assert not self.stack, "every tag is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not {"src", "href"} & dict(attrs).keys()
        if tag not in ("meta", "link"):
            self.stack.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        classes = " ".join(str(attrs["class"]) for _, attrs in self.stack if "class" in attrs)
        title = self.stack[-1][1].get("title") if self.stack else None
        if title is not None:
            self.texts.append((classes, title, data))


class TestPage:
    def test_each_token_has_its_id_and_what_is_learned_its_class(self) -> None:
        page = Page(render_preview(RENDERER, [SHORT, LONG]))
        shown = [(kind.split()[-1], title, text) for kind, title, text in page.texts]
        ids = [int(number) for _, title, _ in shown for number in title.split()]
        assert ids == [*SHORT.input_ids, *LONG.input_ids]
        assert ("learned", " ".join(map(str, RENDERER.ids("ü"))), "ü") in shown
        assert [text for kind, _, text in shown if kind == "end"] == ["<|im_end|>"] * 2
        decoded = [RENDERER.tokenizer.decode(list(r.input_ids)) for r in (SHORT, LONG)]
        assert "".join(text for _, _, text in shown) == "".join(decoded)

    def test_it_needs_nothing_but_itself(self) -> None:
        page = render_preview(RENDERER, [SHORT])
        assert "default-src 'none'" in page
        assert not re.search(r"https?://|url\(|@import|<script|<link|<img", page)
        assert "prefers-color-scheme: dark" in page

    def test_a_long_prompt_is_folded(self) -> None:
        assert f"... {LONG.prompt_length - 160} tokens ..." in render_preview(RENDERER, [LONG])
        assert "<details>" not in render_preview(RENDERER, [SHORT])

    def test_written(self, tmp_path: Path) -> None:
        write_preview_html(tmp_path / "preview.html", RENDERER, [SHORT])
        assert (tmp_path / "preview.html").read_text(encoding="utf-8") == render_preview(RENDERER, [SHORT])


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "</div></body>", '" onmouseover="x', "&lt;"])
def test_texts_cannot_become_markup(text: str) -> None:
    (rendered,) = RENDERER.render(example(text, text))
    page = Page(render_preview(RENDERER, [rendered]))
    assert "".join(words for _, _, words in page.texts).count(text) == 2
