"""The first screen: what to do, by how much, how sure, what was forgotten, what is cheaper, in plain words."""

import re
from pathlib import Path
from typing import Any

import pytest

from burnish.files import read_json
from burnish.report.page import write_report
from burnish.report.questions import answer_questions
from burnish.report.record import read_record
from burnish.report.verdict import build_figures, spell_call, spell_chance, spell_finding, spell_use
from burnish.run_dir import RunDir

from .reading import read_page
from .sample_run import ALL_ARMS, build_sample_run, change_json

JARGON = re.compile(
    r"\b(nats?|NLL|KL|perplexity|p-value|p =|McNemar|bootstrap|Holm|baseline|zero-shot|few-shot|adapter|F1|epoch|LoRA|"
    r"specialist|interval|arm)\b",
    re.IGNORECASE,
)


def first_screen(run: RunDir) -> str:
    html = write_report(run).read_text(encoding="utf-8")
    return read_page(re.search(r"<body>(.*?)<nav", html, re.DOTALL)[1]).text  # type: ignore[index]


def judged(run: RunDir, **verdict: Any) -> dict[str, Any]:
    evaluation: dict[str, Any] = read_json(run.evaluation)
    change_json(run.evaluation, verdict=evaluation["verdict"] | verdict)
    return read_json(run.evaluation)  # type: ignore[no-any-return]


def test_it_says_help_size_certainty_forgetting_and_cost_without_jargon(tmp_path: Path) -> None:
    run = build_sample_run(tmp_path)
    text, evaluation = first_screen(run), read_json(run.evaluation)
    gain = evaluation["comparisons"][1]["difference"]
    assert "Ship it. Fine-tuning helped, and little was forgotten." in text
    assert f"+{100 * gain['value']:.1f} +{100 * gain['low']:.1f} – +{100 * gain['high']:.1f}" in text
    assert "How often luck alone shows such a gap 1 in 323" in text
    # exp(0.0112) - 1, of its limits, and exp(0.02) - 1
    assert "became harder for it to predict by +1.1 % (likely +0.8 % to +1.4 %); the limit is +2.0 %." in text
    tokens = {arm["name"]: f"{arm['prompt_tokens']['mean']:,.0f}" for arm in evaluation["arms"]}
    cost = f"For one request it reads {tokens['few_shot']} tokens (the fine-tuned model {tokens['specialist']})"
    plain = 100 * next(arm for arm in evaluation["arms"] if arm["name"] == "zero_shot")["score"]["value"]
    assert f"{cost} and takes 1.31 s (0.45 s). The base model with the instruction alone: {plain:.1f}. Not" in text
    assert "base model 5f3c9a0e, trained weights" in text
    own_words = re.sub(r"(Base model|Data|Run) \S+", "", text)
    assert not JARGON.search(own_words), JARGON.search(own_words)


@pytest.mark.parametrize("task", ["classification", "chat"])
def test_other_tasks_have_no_jargon_there_either(tmp_path: Path, task: str) -> None:
    text = first_screen(build_sample_run(tmp_path, task, arms=tuple(ALL_ARMS)))
    assert not JARGON.search(text), JARGON.search(text)


@pytest.mark.parametrize(
    ("outcome", "call", "arm", "within", "said"),
    [
        ("better", "ship", "specialist", True, "Ship it. Fine-tuning helped, and little was forgotten. "
         "Use the fine-tuned model. It scores"),
        ("better", "do_not_ship", None, False, "Do not ship it. Fine-tuning helped, but the model forgot too much. "
         "Train it again so that it forgets less: in fewer passes, or at a lower learning rate. Until then use a "
         "prompt with solved examples, which scores"),
        ("better", "do_not_ship", "zero_shot", True, "Do not ship it. A plain prompt does as well. Use a plain "
         "prompt. It scores"),
        ("worse", "do_not_ship", "zero_shot", True, "Do not ship it. Fine-tuning did harm, and a plain prompt does "
         "better. Use a plain prompt."),
        ("not_shown", "cannot_tell", "few_shot", True, "Cannot tell yet. No gain was shown. "
         "Until more is known: Use a prompt with solved examples."),
        ("better", "cannot_tell", None, None, "Cannot tell yet. Fine-tuning helped."),
        ("better", None, None, False, "Fine-tuning helped, but the model forgot too much."),
        (None, None, None, None, "The verdict was not measured."),
    ],
)  # fmt: skip
def test_the_call_follows_the_recommendation(
    tmp_path: Path, outcome: str | None, call: str | None, arm: str | None, within: bool | None, said: str
) -> None:
    run = build_sample_run(tmp_path)
    evaluation = judged(run, outcome=outcome, recommendation=call, recommended_arm=arm)
    evaluation["retention"]["is_within_budget"] = within
    text = f"{spell_call(evaluation)} {spell_finding(evaluation)} {spell_use(evaluation)}".strip()
    assert text.startswith(said)


@pytest.mark.parametrize(
    ("outcome", "call", "arm", "answer"),
    [
        ("worse", "do_not_ship", "zero_shot", "Yes: a plain prompt does better."),
        ("better", "do_not_ship", "zero_shot", "Yes: a plain prompt does as well."),
        ("not_shown", "cannot_tell", "zero_shot", "Perhaps: a plain prompt is not shown to be worse."),
        ("better", "ship", "constrained", "No: those tried do less well."),
    ],
)
def test_a_cheaper_way_is_named(tmp_path: Path, outcome: str, call: str, arm: str, answer: str) -> None:
    run = build_sample_run(tmp_path, arms=tuple(ALL_ARMS))
    judged(run, outcome=outcome, recommendation=call, recommended_arm=arm)
    assert answer_questions(read_record(run))[1].answer == answer


def test_text_that_became_easier_is_not_called_harder(tmp_path: Path) -> None:
    run = build_sample_run(tmp_path)
    evaluation = read_json(run.evaluation)
    change = evaluation["retention"]["general_text_nll_change"]
    change |= {"value": -0.003, "low": -0.009, "high": 0.003}
    change_json(run.evaluation, retention=evaluation["retention"])
    question = answer_questions(read_record(run))[3]
    assert question.grounds.startswith(
        "Text outside the task is no harder for it to predict than before: −0.3 % (likely −0.9 % to +0.3 %)"
    )


def test_a_rise_beyond_all_picture_is_told_as_one(tmp_path: Path) -> None:
    run = build_sample_run(tmp_path)
    retention = read_json(run.evaluation)["retention"] | {"budget": 1000.0}
    change_json(run.evaluation, retention=retention)
    assert "the limit is over +100,000.0 %" in answer_questions(read_record(run))[3].grounds


@pytest.mark.parametrize(
    ("p_value", "words"),
    [(None, "not measured"), (0.0009, "under 1 in 1,000"), (0.0031, "1 in 323"), (0.5, "1 in 2"), (1, "nearly always")],
)
def test_chance_is_told_as_one_in_so_many(p_value: float | None, words: str) -> None:
    assert spell_chance(p_value) == words


def test_the_figures_are_those_of_the_evaluation(tmp_path: Path) -> None:
    evaluation = read_json(build_sample_run(tmp_path).evaluation)
    specialist, other, whole, gain, chance = build_figures(evaluation)
    assert (whole.label, whole.value) == (
        "Answers of it fully right",
        f"{evaluation['arms'][2]['num_fully_right']} of {evaluation['num_test_rows']}",
    )
    assert specialist.value == f"{100 * evaluation['arms'][2]['score']['value']:.1f}"
    assert other.value == f"{100 * evaluation['arms'][1]['score']['value']:.1f}"
    assert gain.value == f"+{100 * evaluation['comparisons'][1]['difference']['value']:.1f}"
    assert (other.label, chance.value) == ("The best other way: a prompt with solved examples", "1 in 323")


def test_what_more_rows_would_bring_stands_with_the_data(tmp_path: Path) -> None:
    run = build_sample_run(tmp_path, "classification")
    assert "240 more rows would likely add 0.4 to 3.1 points." in first_screen(run)
    more_data = read_json(run.evaluation)["more_data"]
    more_data["forecasts"][0]["outlook"] = "no_evidence"
    change_json(run.evaluation, more_data=more_data)
    assert "There is no evidence that 240 more rows would help." in first_screen(run)
