"""Markup that other programs leave in texts: found where it is, not in what looks like it, and gone once mended."""

import json
from pathlib import Path

import pytest

from burnish.data.markup import MARKUP
from burnish.files import read_jsonl
from tests.test_cli import burnish_here
from tests.tiny import save_base

QUOTED = "On Mon, 3 Mar 2025 at 10:00, Support <s@example.org> wrote:\n> Dear customer,\n> hello"

CLEANED = [
    ("html", "<p>Hello&nbsp;there,</p><p>no <b>4711</b> is late.<br/>Bye</p>", "Hello there,\n\nno 4711 is late.\nBye"),
    ("html", "Use `<div>` and ```<p>x</p>``` please<br>", "Use `<div>` and ```<p>x</p>``` please"),
    ("html", "Tom &amp;amp; Ann", "Tom & Ann"),
    ("html", '<a href="https://example.org/a?b=1&amp;c=2">the page</a>', "the page (https://example.org/a?b=1&c=2)"),
    ("html", '<a href="mailto:a@example.org">a@example.org</a>', "a@example.org"),
    ("html", "<ul><li>one</li><li>two</li></ul>", "- one\n- two"),
    ("html", "<html><head><style>p {a: b}</style></head><body>Hi</body></html>", "Hi"),
    ("quoted_mail", f"Please help.\n\n{QUOTED}", "Please help."),
    ("quoted_mail", "Danke!\nAm 03.03.2025 um 10:00 schrieb Support <s@example.org>:\n> Guten Tag", "Danke!"),
    ("quoted_mail", "Done.\n-----Original Message-----\nFrom: A", "Done."),
    ("quoted_mail", "See below\n\nFrom: A\nSent: Monday\nTo: B\nSubject: C\n\nold", "See below"),
    ("mail_footer", "Thanks\n-- \nA. Customer\nACME", "Thanks"),
    ("mail_footer", "Thanks\nSent from my iPhone", "Thanks"),
    ("mail_footer", "Hi\n\nThis email and its files are confidential\nand meant for you alone.", "Hi"),
    ("quoted_printable", "caf=C3=A9 is =20\nnice=\n, is it", "café is  \nnice, is it"),
    ("chat_markup", "<@U024BE7LH|ann> see <https://example.org|the page>", "@ann see the page (https://example.org)"),
    ("chat_markup", "[b]now[/b] [url=https://example.org]here[/url]", "now here (https://example.org)"),
]  # fmt: skip

PLAIN = [
    "a < b and c > d, <order id>, <s>, <think>hm</think>, <input>x</input>",
    "AT&T, R&D; https://example.org/?a=1&copy=2",
    "On Monday I wrote: a letter",
    QUOTED,  # nothing but the quote
    "This message is important to me.",
    "This e-mail is intended to complain.\nIt is long.",
    "x = 3, y=3D",
    "see <https://example.org> and [1], [a](b)",
    "---\n-- not a signature, as text follows the mark",
]


@pytest.mark.parametrize(("name", "text", "plain"), CLEANED)
def test_found_and_cleaned(name: str, text: str, plain: str) -> None:
    assert MARKUP[name].find(text) is not None
    assert MARKUP[name].clean(text) == plain
    assert MARKUP[name].find(plain) is None or "`" in plain


@pytest.mark.parametrize("text", PLAIN)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    assert {name for name, markup in MARKUP.items() if markup.find(text)} == set()
    assert all(markup.clean(text) == text for markup in MARKUP.values())


def test_a_text_of_nothing_else_stays() -> None:
    assert MARKUP["html"].clean("<p></p>") == "<p></p>"


@pytest.fixture
def mails(tmp_path: Path) -> Path:
    rows = []
    for n in range(40):
        question = f"<p>My order {n} is&nbsp;late.</p>" if n % 2 else f"Where is parcel {n}?\n\n{QUOTED}"
        rows.append({"text": question, "fields": json.dumps({"order": n, "note": "<br>x" if n == 3 else "x"})})
    (tmp_path / "mails.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    save_base(tmp_path / "base")
    return tmp_path


def test_check_names_the_rows_and_fix_writes_plain_text(mails: Path) -> None:
    done = burnish_here(mails, "check", "mails.jsonl", "model.base=base", "--fix", "--json")
    found = json.loads(done.stdout)["findings"]
    rows = {check: {f["row"] for f in found if f["check"] == check} for check in ("html", "quoted_mail")}
    assert rows["html"] == {f"mails.jsonl:{n}" for n in range(2, 41, 2)}
    assert rows["quoted_mail"] == {f"mails.jsonl:{n}" for n in range(1, 41, 2)}
    clean = read_jsonl(mails / "mails.clean.jsonl")
    assert [row["text"] for row in clean[:2]] == ["Where is parcel 0?", "My order 1 is late."]
    assert json.loads(clean[3]["fields"]) == {"order": 3, "note": "x"}
    again = burnish_here(mails, "check", "mails.clean.jsonl", "model.base=base", "--json")
    assert not {"html", "quoted_mail"} & {f["check"] for f in json.loads(again.stdout)["findings"]}


def test_fix_leaves_alone_what_it_is_asked_to(mails: Path) -> None:
    burnish_here(mails, "check", "mails.jsonl", "model.base=base", "--fix", "--leave", "html")
    clean = read_jsonl(mails / "mails.clean.jsonl")
    assert [row["text"] for row in clean[:2]] == ["Where is parcel 0?", "<p>My order 1 is&nbsp;late.</p>"]
    done = burnish_here(mails, "check", "mails.jsonl", "model.base=base", "--fix", "--leave", "htm")
    assert done.returncode == 2 and "--leave: nothing was found by 'htm'" in done.stderr
