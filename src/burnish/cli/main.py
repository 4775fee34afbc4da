"""The command line: thin verbs, no logic. Heavy imports are inside the verbs, so that --help answers at once."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from burnish.cli.output import print_json, print_next
from burnish.cli.streams import make_streams_tolerant
from burnish.errors import BurnishError, Interrupted, RecipeError, RunError, StorageError
from burnish.garbage import collect_garbage_seldom
from burnish.serve.settings import EngineKind

if TYPE_CHECKING:
    from rich.console import Console

    from burnish.pipeline import Run

app = typer.Typer(
    name="burnish",
    help="Turn a general language model into a specialist, and prove it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

EXIT_USER_ERROR, EXIT_GATE, EXIT_INTERRUPTED = 1, 3, 130

RecipeArgument = Annotated[Path, typer.Argument(help="The recipe file.", metavar="RECIPE")]
Overrides = Annotated[
    list[str] | None, typer.Argument(help="Overrides, e.g. train.epochs=2.", metavar="[KEY=VALUE]...")
]
RunArgument = Annotated[str, typer.Argument(help="A run: its id, the beginning of it, its folder, or `latest`.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Folder = Annotated[Path, typer.Option("--runs", help="The folder of the run folders.")]
RUNS = Path("runs")


@app.command()
def demo(
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """The main job on the built-in example: support tickets to JSON, judged. Needs no hub and no GPU."""
    from importlib.resources import as_file, files

    with as_file(files("burnish.examples") / "support_tickets") as folder:
        result = _run(folder / "demo.toml", overrides or [])
    _print_run(result, as_json)
    if not as_json:
        print_next(
            (f"chat {result.dir.run_id}", "ask base and specialist side by side"),
            ("serve", "the same behind the OpenAI wire, for your own client code"),
            ("init DATA", "write a recipe for your own file"),
            ("run recipe.toml", "the same job on your data"),
        )


@app.command()
def init(
    data: Annotated[str, typer.Argument(help="Your file of examples, folder of texts, or hf://datasets/OWNER/NAME.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the recipe.")] = Path("recipe.toml"),
    force: Annotated[bool, typer.Option("--force", help="Replace a recipe that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Write a recipe for a data file; says what was detected and why."""
    import os

    from burnish.data import detect_file
    from burnish.files import write_text
    from burnish.recipe import starter_recipe

    found, num_rows = detect_file(data)
    notes = [f"Detected: {found}; {num_rows:,} rows."]
    if output.exists() and not force:
        raise RecipeError(f"{output}: there is a file already. Use --force to replace it, or --output OTHER.toml.")
    name = data if data.startswith("hf://") else os.path.relpath(Path(data).resolve(), output.resolve().parent)
    write_text(output, starter_recipe(task=found.task, data=name, notes=notes))
    if as_json:
        columns = dict(found.columns.by_part)
        detected = {"task": found.task.value, "format": found.format.name, "why": found.reason, "columns": columns}
        print_json({"recipe": str(output), **detected})
        return
    console = _console()
    console.print(notes[0], markup=False)
    console.print(f"Wrote {output}.", markup=False)
    print_next((f"check {output}", "what the model will learn from, and what is wrong"), (f"run {output}", "the job"))


@app.command()
def check(
    source: Annotated[str, typer.Argument(help="The recipe file, or a data file.", metavar="RECIPE|DATA")],
    overrides: Overrides = None,
    examples: Annotated[int, typer.Option("--examples", help="How many rendered examples to show.", min=0)] = 1,
    example: Annotated[int | None, typer.Option("--example", help="Show this one only, whole; from 1.", min=1)] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write rendered examples as a page.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Form of rows and copies only, for large files.")] = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also copies in other words, and answers strange to the base.")
    ] = False,
    fix: Annotated[bool, typer.Option("--fix", help="Write a cleaned copy, and a log of what was done.")] = False,
    leave: Annotated[
        list[str] | None, typer.Option("--leave", help="A check whose findings --fix leaves alone.", metavar="CHECK")
    ] = None,
    redact: Annotated[bool, typer.Option("--redact", help="Write a copy without private data.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where to write the copy.")] = None,
    as_json: Json = False,
) -> None:
    """Check the data and show what the model will learn from; exit 1 on errors."""
    if output is not None and not (fix or redact):
        raise typer.BadParameter("--output names the copy that --fix or --redact writes")
    if leave and not fix:
        raise typer.BadParameter("--leave names a check whose findings --fix leaves alone; add --fix")
    if quick and (deep or fix or redact):
        raise typer.BadParameter("--quick looks at the form of rows only; leave out --deep, --fix and --redact")
    from burnish.cli.check import CheckOptions, check_data, check_quickly

    if quick:
        is_sound = check_quickly(source, overrides or [], as_json=as_json)
    else:
        shown = [example - 1] if example else range(examples)
        options = CheckOptions(
            shown, example is not None, html, fix, frozenset(leave or ()), redact, output, deep, as_json
        )
        is_sound = check_data(source, overrides or [], options)
    if not is_sound:
        raise typer.Exit(EXIT_USER_ERROR)


@app.command()
def explain(
    recipe: Annotated[Path | None, typer.Argument(help="The recipe file.", metavar="RECIPE")] = None,
    overrides: Overrides = None,
    keys: Annotated[bool, typer.Option("--keys", help="List every key with its meaning and stop.")] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema for editors and stop.")] = False,
    as_json: Json = False,
) -> None:
    """Print every resolved value of a recipe and where it comes from, and what training will take on this machine.

    The first time for a base on this machine, a step of a standard shape is timed; that takes up to a minute.
    """
    from dataclasses import asdict

    from burnish.recipe import describe_keys, json_schema, load_recipe, origins_of_all

    if schema:
        typer.echo(json_schema(), nl=False)
        return
    if keys:
        for key, text in describe_keys():
            typer.echo(f"{key:32}{text}")
        return
    if recipe is None:
        raise typer.BadParameter("name a recipe, or use --keys or --schema")
    from burnish.cli.tables import print_origins
    from burnish.model.base import is_encoder
    from burnish.prediction import predict
    from burnish.preparation import prepare, prepare_rows

    loaded, prediction = load_recipe(recipe, overrides or []), None
    if is_encoder(loaded.recipe.model.base):
        settled = prepare_rows(loaded, judges_labels=False).loaded
    else:
        prepared = prepare(loaded, judges_labels=False)
        settled = prepared.loaded
        with _console(stderr=True).status("Timing a step of this base on this machine (once) ..."):
            prediction = predict(prepared)
    rows = origins_of_all(settled)
    if as_json:
        values = {key: {"value": value, "from": o.kind.value, "why": o.detail} for key, value, o in rows}
        print_json({"recipe": values, "training": asdict(prediction) if prediction else None})
        return
    print_origins(_console(), rows)
    _console().print(str(prediction or "What training will take cannot be told for this base."), markup=False)


@app.command()
def run(
    recipe: Annotated[Path | None, typer.Argument(help="The recipe file.", metavar="RECIPE")] = None,
    overrides: Overrides = None,
    resume: Annotated[str | None, typer.Option("--resume", help="Go on with this run.", metavar="RUN")] = None,
    runs: Folder = RUNS,
    gate: Annotated[
        bool, typer.Option("--gate", help="Exit with 3 unless it is better, in its budget and reaches any target.")
    ] = False,
    retention_sweep: Annotated[
        bool, typer.Option("--retention-sweep", help="Measure every scale of the adapter: task against forgetting.")
    ] = False,
    as_json: Json = False,
) -> None:
    """The main job: check, split, baselines, training, measurement, verdict, report."""
    if (recipe is None) == (resume is None):
        raise typer.BadParameter("name a recipe, or a run to --resume")
    settings = [*(overrides or []), *(["retention.sweep=true"] if retention_sweep else [])]
    result = _resume(resume, runs) if resume else _run(recipe or Path(), settings)
    if not _is_first_rank():
        return
    _print_run(result, as_json)
    if gate and (faults := result.gate_faults):
        typer.echo(f"Gate: {'; '.join(faults)}.", err=True)
        raise typer.Exit(EXIT_GATE)


@app.command()
def record(
    source: Annotated[str, typer.Argument(help="The recipe file, or a data file.", metavar="RECIPE|DATA")],
    base_url: Annotated[str, typer.Option("--base-url", help="The endpoint, e.g. https://api.openai.com/v1.")],
    model: Annotated[str, typer.Option("--model", help="The model to ask, e.g. ft:gpt-4o-mini:acme::abc123.")],
    overrides: Overrides = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file of answers.")] = Path("answers.jsonl"),
    test_only: Annotated[bool, typer.Option("--test-only", help="Ask the rows that a run would test with.")] = False,
    api_key_env: Annotated[
        str, typer.Option("--api-key-env", help="The environment variable that has the key.")
    ] = "OPENAI_API_KEY",
    max_tokens: Annotated[int, typer.Option("--max-tokens", help="Longest answer.", min=1)] = 1024,
    temperature: Annotated[float, typer.Option("--temperature", help="0: always the likeliest.", min=0)] = 0.0,
    at_once: Annotated[int, typer.Option("--at-once", help="Requests at a time.", min=1, max=256)] = 8,
    per_minute: Annotated[
        float | None, typer.Option("--requests-per-minute", help="At most so many.", min=0.001)
    ] = None,
    price_in: Annotated[float | None, typer.Option("--price-in", help="Per million prompt tokens.", min=0)] = None,
    price_out: Annotated[float | None, typer.Option("--price-out", help="Per million answer tokens.", min=0)] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether to go on.")] = False,
    as_json: Json = False,
) -> None:
    """Ask a hosted model the prompts of your data and keep its answers, to hold the specialist against them."""
    if (price_in is None) != (price_out is None):
        raise typer.BadParameter("--price-in and --price-out go together")
    from burnish.cli.recording import RecordOptions, read_key
    from burnish.cli.recording import record as record_all
    from burnish.recording import Endpoint, Prices

    endpoint = Endpoint(
        base_url=base_url,
        model=model,
        key=read_key(api_key_env),
        key_env=api_key_env,
        max_tokens=max_tokens,
        temperature=temperature,
    )
    options = RecordOptions(
        output=output,
        test_only=test_only,
        num_at_once=at_once,
        per_minute=per_minute,
        prices=None if price_in is None or price_out is None else Prices(price_in, price_out),
        is_agreed=yes,
        as_json=as_json,
    )
    try:
        is_whole = record_all(source, overrides or [], endpoint, options)
    except KeyboardInterrupt:  # what is kept was told
        raise SystemExit(EXIT_INTERRUPTED) from None
    if not is_whole:
        raise typer.Exit(EXIT_USER_ERROR)


@app.command()
def runs(
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make the index again from the run folders.")] = False,
    folder: Folder = RUNS,
    as_json: Json = False,
) -> None:
    """List the runs."""
    from dataclasses import asdict

    from burnish.cli.tables import print_runs
    from burnish.registry import open_registry, rebuild_registry

    path = folder / "registry.sqlite"
    if rebuild:
        rebuilt = rebuild_registry(path, folder)
        _console(stderr=True).print(f"Indexed {rebuilt.num_runs} runs.", markup=False)
        if rebuilt.moved_to:
            news = f"The damaged index is kept as {rebuilt.moved_to}; the count of test openings may be incomplete."
            _console(stderr=True).print(news, markup=False)
    records = []
    if path.exists():
        with open_registry(path) as registry:
            records = registry.list_runs()
    if as_json:
        print_json([{**asdict(record), "path": str(record.path)} for record in records])
    elif records:
        print_runs(_console(), records)
    else:
        _console().print(f"No runs under {folder} yet. Start with `burnish demo`.", markup=False)


@app.command()
def show(run: RunArgument, runs: Folder = RUNS, as_json: Json = False) -> None:
    """Print the result of a run."""
    _print_run(_open(run, runs), as_json)


@app.command()
def report(run: RunArgument, runs: Folder = RUNS, as_json: Json = False) -> None:
    """Write the report of a run again and print its path."""
    from burnish.report.page import write_report

    path = write_report(_open(run, runs).dir)
    print_json({"report": str(path)}) if as_json else typer.echo(path)


@app.command()
def compare(
    first: RunArgument,
    second: RunArgument,
    arm: Annotated[str | None, typer.Option("--arm", help="Compare this arm of both.")] = None,
    runs: Folder = RUNS,
    as_json: Json = False,
) -> None:
    """Compare the specialists of two runs, or another arm, paired, on the test rows that both have answered."""
    from burnish.cli.tables import print_comparison
    from burnish.evaluate.compare import compare_runs

    comparison = compare_runs(_open(first, runs).dir, _open(second, runs).dir, arm=arm)
    print_json(comparison) if as_json else print_comparison(_console(), comparison)


@app.command()
def chat(
    run: RunArgument,
    message: Annotated[str | None, typer.Option("--message", "-m", help="Ask this and stop.")] = None,
    runs: Folder = RUNS,
    as_json: Json = False,
) -> None:
    """Ask the base model and the specialist the same thing, side by side."""
    from burnish.cli.chat import chat_loop
    from burnish.run_dir import find_run_dir
    from burnish.specialist import load_specialist

    adapter = find_run_dir(run, runs).adapter
    if not adapter.is_dir() and (adapter.parent / "evaluation.json").is_file():
        raise RunError(f"{adapter.parent}: a run on an encoder, which writes no text. Use burnish.load(run).classify.")
    with _console(stderr=True).status("Loading ..."):
        specialist = load_specialist(adapter)
    chat_loop(specialist, _console(), message=message, as_json=as_json)


@app.command()
def serve(
    host: Annotated[
        str, typer.Option("--host", help="The address to listen on; others than this machine need a key.")
    ] = ("127.0.0.1"),
    port: Annotated[int, typer.Option("--port", help="The port to listen on.", min=0, max=65535)] = 8000,
    runs: Folder = RUNS,
    base: Annotated[str, typer.Option("--base", help="A base model that is served besides those of the runs.")] = (
        "smollm2-135m-instruct"
    ),
    api_key: Annotated[
        str | None,
        typer.Option("--api-key", envvar="BURNISH_API_KEY", help="What clients must send.", show_envvar=True),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", help="A further name of this server, as behind a proxy; may be repeated."),
    ] = None,
    max_batch: Annotated[int, typer.Option("--max-batch", help="Answers written together.", min=1, max=256)] = 16,
    max_waiting: Annotated[int, typer.Option("--max-waiting", help="Requests in line; more get a 429.", min=1)] = 256,
    adapter_memory: Annotated[int, typer.Option("--adapter-memory", help="For adapters, MiB.", min=1)] = 512,
    prefix_memory: Annotated[int, typer.Option("--prefix-memory", help="For prompts read before, MiB.", min=0)] = 512,
    per_minute: Annotated[int, typer.Option("--requests-per-minute", help="Of a client; 0: no limit.", min=0)] = 0,
    jobs: Annotated[bool, typer.Option("--jobs/--no-jobs", help="Whether fine-tuning jobs are worked on.")] = True,
    engine: Annotated[EngineKind, typer.Option("--engine", help="What answers; vllm where it is installed.")] = (
        EngineKind.BURNISH
    ),
    vllm_memory: Annotated[
        float, typer.Option("--vllm-memory", help="Share of the device's memory for a base in vLLM.", min=0.05, max=1)
    ] = 0.5,
    vllm_adapters: Annotated[
        int, typer.Option("--vllm-adapters", help="Adapters that answer together in vLLM.", min=1)
    ] = 4,
    vllm_rank: Annotated[int, typer.Option("--vllm-rank", help="Largest rank of them.", min=1, max=512)] = 64,
) -> None:
    """Serve models and fine-tuning jobs behind the OpenAI wire: clients change their base_url, no more."""
    from burnish.cli.serving import key_hash
    from burnish.serve.server import serve as serve_all
    from burnish.serve.settings import MIB, ServeSettings, VllmSettings

    console = _console(stderr=True)
    settings = ServeSettings(
        runs=runs,
        base=base,
        host=host,
        port=port,
        allowed_hosts=tuple(allow_host or ()),
        max_batch=max_batch,
        max_waiting=max_waiting,
        adapter_bytes=adapter_memory * MIB,
        prefix_bytes=prefix_memory * MIB,
        requests_per_minute=per_minute,
        trains=jobs,
        engine=engine,
        vllm=VllmSettings(memory_share=vllm_memory, max_adapters=vllm_adapters, max_rank=vllm_rank),
        api_key_sha256=key_hash(api_key, host, runs / "serve", console),
    )
    serve_all(settings, lambda text: console.print(text, markup=False, soft_wrap=True))


@app.command()
def alias(
    names: Annotated[
        list[str] | None, typer.Argument(help="Names, and then the model.", metavar="NAME... MODEL")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take the names away.")] = False,
    runs: Folder = RUNS,
    as_json: Json = False,
) -> None:
    """Give a run, a fine-tuned model or a base other names, under which it is served; without names, list them."""
    from burnish.cli.serving import list_names, name_models, remove_names
    from burnish.serve.settings import ServeSettings

    settings = ServeSettings(runs=runs)
    if names and remove:
        remove_names(names, settings)
    elif names:
        if len(names) < 2:
            raise typer.BadParameter("give one name or more, and then the model that they mean")
        name_models(names[:-1], names[-1], settings)
    known = list_names(settings)
    if as_json:
        print_json(known)
        return
    for name, target in known.items():
        typer.echo(f"{name:31} {target}")


def main() -> None:
    """Run the command line; a user's fault is one message and an exit code, never a traceback."""
    collect_garbage_seldom()
    make_streams_tolerant()
    try:
        _refuse_undecodable(sys.argv[1:])
        app(standalone_mode=True)
    except BurnishError as error:
        _fail(str(error))
    except OSError as error:
        _fail(str(StorageError(f"{error.filename or 'a file'}: {error.strerror or error}.")))
    except Interrupted:
        _console(stderr=True).print("Stopped; the checkpoint is kept. Go on with `burnish run --resume latest`.")
        raise SystemExit(EXIT_INTERRUPTED) from None
    except KeyboardInterrupt:
        _console(stderr=True).print("Stopped. A run that had begun goes on with `burnish run --resume latest`.")
        raise SystemExit(EXIT_INTERRUPTED) from None


def _refuse_undecodable(arguments: list[str]) -> None:
    """A name of bytes that are not UTF-8 could be opened, but not written into a recipe or a run."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise RecipeError(f"{argument}: this argument is not UTF-8. Rename the file, or mend the name.") from None


def _run(recipe: Path, overrides: list[str]) -> "Run":
    from burnish.recipe import load_recipe

    loaded = load_recipe(recipe, overrides)  # a fault in it shows before torch is imported
    from burnish import pipeline
    from burnish.cli.screen import TerminalScreen

    return pipeline.run(loaded, TerminalScreen(is_quiet=not _is_first_rank()))


def _resume(name: str, runs: Path) -> "Run":
    from burnish import pipeline
    from burnish.cli.screen import TerminalScreen
    from burnish.run_dir import find_run_dir

    return pipeline.resume(find_run_dir(name, runs), TerminalScreen(is_quiet=not _is_first_rank()))


def _is_first_rank() -> bool:
    """Under torchrun one process talks for all."""
    return os.environ.get("RANK", "0") == "0"


def _open(name: str, runs: Path) -> "Run":
    from burnish.pipeline import open_run
    from burnish.run_dir import find_run_dir

    return open_run(find_run_dir(name, runs))


def _print_run(result: "Run", as_json: bool) -> None:
    if as_json:
        print_json({**result.evaluation, "path": str(result.dir.path), "report": str(result.report_path)})
        return
    from burnish.cli.tables import print_evaluation

    console = _console()
    print_evaluation(console, result.evaluation)
    console.print(f"Report: {result.report_path}", markup=False, soft_wrap=True)


def _console(*, stderr: bool = False) -> "Console":
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def _fail(message: str) -> None:
    sys.stdout.flush()
    typer.echo(f"error: {message}", err=True)
    raise SystemExit(EXIT_USER_ERROR)
