"""Languages: strays and the mix are told; short texts and one language are not."""

from burnish.data.checks.language import check_languages, languages
from tests.data.datasets import questions

ENGLISH = "The delivery was late again, and nobody told me where my parcel could be ({})."
GERMAN = "Die Lieferung kam schon wieder zu spät, und niemand wusste, wo mein Paket geblieben ist ({})."
FRENCH = "La livraison est encore arrivée en retard et personne ne savait où était mon colis ({})."


def test_languages() -> None:
    assert languages([ENGLISH, GERMAN, FRENCH, "Guten Tag", ""]) == ["en", "de", "fr", None, None]


def test_one_language() -> None:
    assert check_languages(questions(*((ENGLISH.format(n), "Guten Tag") for n in range(20)))) == []


def test_a_stray_question() -> None:
    pairs = [(ENGLISH.format(n), "ok") for n in range(20)]
    findings = check_languages(questions(*pairs, (GERMAN, "ok")))
    assert [(finding.check, finding.row) for finding in findings] == [
        ("language_mix", None),
        ("other_language", "f:21"),
    ]
    assert findings[0].message == "Of the 21 questions that are long enough to tell: en 95.2%, de 4.8%."
    assert findings[1].message == "the question is in language 'de', most are in 'en'."


def test_a_stray_answer_and_one_finding_a_row() -> None:
    pairs = [(ENGLISH.format(n), ENGLISH.format(-n)) for n in range(60)]
    findings = check_languages(questions(*pairs, (ENGLISH, GERMAN), (GERMAN, GERMAN)))
    assert [finding.row for finding in findings if finding.row] == ["f:61", "f:62"]
    assert "the answer is in" in findings[-2].message and "the question is in" in findings[-1].message


def test_a_balanced_mix_has_no_strays() -> None:
    pairs = [(text.format(n), "ok") for n in range(10) for text in (ENGLISH, GERMAN)]
    assert [finding.check for finding in check_languages(questions(*pairs))] == ["language_mix"]
