"""A recorded model as an arm: found by what was asked, refused where answers are missing, scored like the others."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

import burnish
from burnish.cli.check import CheckOptions, check_data
from burnish.conversation import from_dicts
from burnish.data import Severity
from burnish.errors import RecipeError, RunError
from burnish.files import read_jsonl, write_jsonl
from burnish.generate.answer import answer_prompts
from burnish.inspection import inspect_data
from burnish.pipeline import Run, resume, run
from burnish.preparation import prepare_rows
from burnish.recipe import build_recipe, load_recipe
from burnish.recorded import RecordedAnswer, find_recorded, hash_prompt, read_recorded
from burnish.recording import Endpoint, read_questions, record_answers
from burnish.screen import SilentScreen
from tests.recording.server import Asked, Reply, serving
from tests.report.test_first_screen import JARGON
from tests.tiny import own_cache, save_base

WORDS = ["red", "green", "blue"]
MAX_TOKENS = 6


class Listener(SilentScreen):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said = list[str]()

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture(autouse=True)
def cache_apart(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BURNISH_CACHE", own_cache(tmp_path_factory.getbasetemp()))


def write_recipe(folder: Path, base: Path, *, has_test: bool = True) -> Path:
    """A recipe for 60 conversations, with a test of 40 others."""
    for name, count in (("train", 60), ("test", 40)):
        rows = [
            {
                "messages": [
                    {"role": "system", "content": "Say it."},
                    {"role": "user", "content": f"{name} {n * 7919}"},
                    {"role": "assistant", "content": WORDS[n % 3]},
                ]
            }
            for n in range(count)
        ]
        write_jsonl(folder / f"{name}.jsonl", rows)
    path = folder / "recipe.toml"
    path.write_text(
        f'task = "chat"\n[data]\ntrain = "train.jsonl"\n{"test = " if has_test else "# "}"test.jsonl"\n'
        f'[model]\nbase = "{base}"\n[train]\nepochs = 1\nlearning_rate = 0.01\nprecision = "fp32"\n'
        "[retention]\nmeasure = false\n"
        f'[evaluate]\nrecorded = "answers.jsonl"\narms = ["zero_shot"]\nmetric = "chrf"\nnum_resamples = 200\n'
        f'margin = 0.25\nmax_new_tokens = {MAX_TOKENS}\n[output]\nfolder = "{folder / "runs"}"\n'
    )
    return path


class TinyEndpoint:
    """The tiny base model behind the wire: it answers as the arm of the plain prompt does."""

    def __init__(self, base: Path) -> None:
        import torch

        from burnish.data import Renderer
        from burnish.model.base import find_base, load_model, load_tokenizer
        from burnish.model.device import choose_device

        files = find_base(str(base))
        self.renderer = Renderer(*load_tokenizer(files))
        self.model = load_model(files, dtype=torch.float32, device=choose_device())
        self.lock = threading.Lock()

    def __call__(self, asked: Asked, number: int) -> Reply:
        with self.lock:
            answer = answer_prompts(
                self.model,
                self.renderer,
                [from_dicts(asked.body["messages"])],
                labels=(),
                max_new_tokens=asked.body["max_tokens"],
                batch_size=1,
            )[0]
        message = {"role": "assistant", "content": answer.text}
        choice = {"index": 0, "message": message, "finish_reason": "stop" if answer.has_ended else "length"}
        return 200, {}, {"choices": [choice], "usage": {"prompt_tokens": answer.prompt_tokens, "completion_tokens": 1}}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Listener]:
    """A run with the recorded answers of its own base model, from another folder than the recipe's."""
    folder = tmp_path_factory.mktemp("recorded")
    base = save_base(folder / "base")
    recipe, screen = write_recipe(folder, base), Listener()
    with pytest.MonkeyPatch.context() as patch, serving(TinyEndpoint(base)) as server:
        patch.setenv("BURNISH_CACHE", own_cache(tmp_path_factory.getbasetemp()))
        endpoint = Endpoint(base_url=server.url, model="ft:tiny", max_tokens=MAX_TOKENS)
        record_answers(read_questions(load_recipe(recipe)), endpoint, folder / "answers.jsonl")
        return run(load_recipe(recipe), screen), screen


def test_it_is_an_arm_like_any_other_on_the_rows_of_the_test(made: tuple[Run, Listener]) -> None:
    done, screen = made
    evaluation = done.evaluation
    assert [arm["name"] for arm in evaluation["arms"]] == ["zero_shot", "recorded", "specialist"]
    zero_shot, recorded = (read_jsonl(done.dir.predictions(arm)) for arm in ("zero_shot", "recorded"))
    assert len(recorded) == 40
    same = ("id", "prompt", "prediction", "target", "score", "has_ended", "prompt_tokens")
    assert [[row[key] for key in same] for row in recorded] == [[row[key] for key in same] for row in zero_shot]
    told = {answer.id: answer for answer in read_recorded(Path(done.dir.path).parents[1] / "answers.jsonl").values()}
    assert len(told) == 100
    assert [row["latency_s"] for row in recorded] == [told[row["id"]].latency_s for row in recorded]
    assert evaluation["arms"][0]["score"] == evaluation["arms"][1]["score"]
    pairs = {pair["baseline"]: pair for pair in evaluation["comparisons"]}
    assert pairs["recorded"]["difference"] == pairs["zero_shot"]["difference"]
    assert evaluation["replacement"]["margin"] == 0.25
    assert screen.said and not [text for text in screen.said if "looks too good" in text]


def test_the_report_and_the_terminal_answer_whether_it_may_be_replaced(
    made: tuple[Run, Listener], capsys: pytest.CaptureFixture[str]
) -> None:
    from rich.console import Console

    from burnish.cli.tables import print_evaluation
    from burnish.report.verdict import spell_replacement

    evaluation = made[0].evaluation
    page = made[0].report_path.read_text()
    first_screen = page[page.index("<header") : page.index("<nav")]
    assert spell_replacement(evaluation) in first_screen
    assert spell_replacement(evaluation).startswith("The fine-tuned model is ")
    assert " the recorded model: " in spell_replacement(evaluation)
    print_evaluation(Console(width=200), evaluation)
    said = capsys.readouterr().out
    assert evaluation["replacement"]["sentence"] in said and "Recorded model" in said
    for standing, words in (
        ("as_good", "is shown to be at most 25 points worse than the recorded model"),
        ("not_shown", "is not shown to be at most 25 points worse than the recorded model"),
        ("better", "is shown to be better than the recorded model"),
        ("worse", "is shown to be worse than the recorded model"),
    ):
        judged = {**evaluation, "replacement": {**evaluation["replacement"], "standing": standing}}
        assert f"The fine-tuned model {words}: " in spell_replacement(judged)
        assert not JARGON.search(spell_replacement(judged))
    assert spell_replacement({**evaluation, "replacement": None}) == ""


def test_the_run_folder_holds_all_that_it_needs_to_go_on(made: tuple[Run, Listener]) -> None:
    done = made[0]
    answers = Path(done.dir.path).parents[1] / "answers.jsonl"
    text = answers.read_text()
    done.dir.evaluation.unlink()
    answers.unlink()
    try:
        again = resume(done.dir)
    finally:
        answers.write_text(text)
    assert again.evaluation["replacement"] == done.evaluation["replacement"]
    with pytest.raises(RunError, match="no arm 'recorded'"):
        burnish.load(again, arm="recorded")  # its weights are elsewhere


def test_missing_answers_are_counted_before_there_is_a_run(tmp_path: Path, made: tuple[Run, Listener]) -> None:
    recipe = write_recipe(tmp_path, tmp_path / "no-base")
    with pytest.raises(RecipeError, match=r"evaluate\.recorded: .*answers\.jsonl: cannot be read .*`burnish record`"):
        run(load_recipe(recipe))
    known = read_jsonl(Path(made[0].dir.path).parents[1] / "answers.jsonl")
    tested = {row["id"] for row in known if row["id"].startswith("test")}
    write_jsonl(tmp_path / "answers.jsonl", [row for row in known if row["id"] not in sorted(tested)[:7]])
    with pytest.raises(RecipeError) as raised:
        run(load_recipe(recipe, ["data.max_test_rows=39"]))
    assert "has no answer to 7 of the 39 test rows. Record them with `burnish record " in str(raised.value)
    command = f"`burnish record {recipe} data.max_test_rows=39 --test-only --model ft:tiny --base-url URL --output "
    assert command in str(raised.value)
    assert not (tmp_path / "runs").exists()


def test_the_check_tells_what_a_run_would_refuse_and_shows_the_rest(
    tmp_path: Path, made: tuple[Run, Listener], capsys: pytest.CaptureFixture[str]
) -> None:
    source = Path(made[0].dir.path).parents[1]
    recipe, answers = write_recipe(tmp_path, source / "base"), tmp_path / "answers.jsonl"
    known = read_jsonl(source / "answers.jsonl")
    own_rows = len([row for row in known if row["id"].startswith("test")])

    def told() -> list[str]:
        inspection = inspect_data(load_recipe(recipe))
        assert inspection.prepared is not None, "what is wrong with the answers is not wrong with the rows"
        return [str(finding) for finding in inspection.findings if finding.severity is Severity.ERROR]

    remedy = "Or take evaluate.recorded out of the recipe."
    no_file = f"evaluate.recorded: {answers}: cannot be read (No such file or directory). `burnish record` makes "
    assert told() == [f"{no_file}such a file. {remedy}"]
    answers.write_text(json.dumps(known[0]) + "\n{}\n")
    no_answer = f"evaluate.recorded: {answers}:2: no answer of `burnish record`. Remove the line, or name another."
    assert told() == [f"{no_answer} {remedy}"]
    write_jsonl(answers, known[:-7])
    lacking = f"evaluate.recorded: {answers} has no answer to 7 of the {own_rows} test rows. Record them with `burnish "
    assert [text[: len(lacking)] for text in told()] == [lacking] and told()[0].endswith(f"`. {remedy}")
    options = CheckOptions(
        (), False, None, fix=False, leave=frozenset(), redact=False, output=None, deep=False, as_json=False
    )
    assert not check_data(str(recipe), [], options)
    shown = capsys.readouterr().out
    assert lacking in shown and "[recorded_unusable]" in shown and "--fix" not in shown
    write_jsonl(answers, known)
    assert told() == []


def test_the_rows_are_found_by_what_was_asked_and_not_by_their_place(
    tmp_path: Path, made: tuple[Run, Listener]
) -> None:
    known = read_jsonl(Path(made[0].dir.path).parents[1] / "answers.jsonl")
    shuffled = [{**row, "id": f"elsewhere:{n}"} for n, row in enumerate(reversed(known))]
    write_jsonl(tmp_path / "answers.jsonl", shuffled)
    test = prepare_rows(load_recipe(write_recipe(tmp_path, tmp_path))).split.test
    found = find_recorded(tmp_path / "answers.jsonl", test)
    assert [answer.prompt_sha256 for answer in found] == [hash_prompt(example.prompt) for example in test]
    by_hash = {row["prompt_sha256"]: row["answer"] for row in known}
    assert [answer.answer for answer in found] == [by_hash[hash_prompt(example.prompt)] for example in test]


def test_where_the_test_is_a_part_of_train_it_is_said_that_the_model_may_know_it(tmp_path: Path) -> None:
    from burnish.answering import keep_recorded
    from burnish.run_dir import RunDir

    recipe = write_recipe(tmp_path, tmp_path, has_test=False)
    questions = read_questions(load_recipe(recipe))
    line = line_of()
    answers = [{**line, "id": question.id, "prompt_sha256": question.sha256} for question in questions]
    write_jsonl(tmp_path / "answers.jsonl", answers)
    screen = Listener()
    keep_recorded(prepare_rows(load_recipe(recipe)), RunDir(tmp_path / "run"), screen)
    assert "If that model has learned from this file, it knows them and looks too good." in screen.said[0]
    assert len(read_jsonl(RunDir(tmp_path / "run").recorded)) == 30


def line_of(**changes: Any) -> dict[str, Any]:
    answer = RecordedAnswer(
        id="rows.jsonl:1",
        prompt_sha256="0" * 64,
        model="m",
        host="h",
        prompt=[],
        answer="red",
        latency_s=0.5,
        prompt_tokens=None,
        completion_tokens=None,
        finish_reason="stop",
        recorded_at="2026-12-01T00:00:00+00:00",
    )
    return answer.to_dict() | changes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (json.dumps(line_of()) + "\nnot JSON\n", r"answers\.jsonl:2: no answer of `burnish record`"),
        (json.dumps(line_of(answer=None)) + "\n", r"answers\.jsonl:1: no answer of"),
        (json.dumps(line_of(prompt_sha256=[])) + "\n", r"answers\.jsonl:1: no answer of"),
        ('{"id": "rows.jsonl:1"}\n', r"answers\.jsonl:1: no answer of"),
        (
            json.dumps(line_of()) + "\n" + json.dumps(line_of(model="n", prompt_sha256="1")) + "\n",
            r"has answers of m at h and of n at h\. Give each its own file\.",
        ),
    ],
)
def test_a_file_that_is_no_recording_of_one_model_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "answers.jsonl").write_text(text)
    with pytest.raises(RecipeError, match=rf"^evaluate\.recorded: .*{message}"):
        find_recorded(tmp_path / "answers.jsonl", [])


def test_a_torn_last_line_is_left_out_and_the_later_answer_counts(tmp_path: Path) -> None:
    lines = [line_of(), line_of(answer="blue")]
    (tmp_path / "a.jsonl").write_bytes("".join(json.dumps(line) + "\n" for line in lines).encode() + b'{"id": "\xc3')
    assert [answer.answer for answer in read_recorded(tmp_path / "a.jsonl").values()] == ["blue"]


def test_files_of_a_recipe_are_beside_it(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(
        'task = "chat"\n[data]\ntrain = "a.jsonl"\n[evaluate]\nrecorded = "answers.jsonl"\n'
        '[retention]\nkeep = "k.jsonl"\n'
    )
    recipe = load_recipe(tmp_path / "recipe.toml").recipe
    assert recipe.evaluate.recorded == str(tmp_path / "answers.jsonl")
    assert recipe.retention.keep == str(tmp_path / "k.jsonl")
    with pytest.raises(
        RecipeError, match=r"`evaluate\.margin` = 0 is not accepted: expected a number above 0 and below 1"
    ):
        build_recipe({"task": "chat", "data": {"train": "a"}, "evaluate": {"margin": 0}})
