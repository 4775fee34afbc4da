"""A fine-tuning job from its upload to its deletion, by OpenAI's own client: python -m scripts.serve_job ROWS.jsonl

Starts a server of its own in a temporary folder unless `--base-url` names one. Uploads the file, creates a job, follows
its events to the end, chats with the model (whole and as a stream), and deletes the model and the file. Exit code 1 if
any of it is not as it should be.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import openai
from scripts.live_server import live_server

FINAL = ("succeeded", "failed", "cancelled")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("rows", type=Path, help="chat examples in OpenAI's format")
    parser.add_argument("--base-url")
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--epochs", type=int)
    given = parser.parse_args()
    if given.base_url:
        work(openai.OpenAI(base_url=given.base_url, api_key=os.environ.get("BURNISH_API_KEY", "none")), given)
        return
    with tempfile.TemporaryDirectory() as folder, live_server(Path(folder)) as server:
        work(openai.OpenAI(base_url=server.base_url, api_key="none"), given)


def work(client: openai.OpenAI, given: argparse.Namespace) -> None:
    with given.rows.open("rb") as stream:
        file = client.files.create(file=stream, purpose="fine-tune")
    client.files.wait_for_processing(file.id)
    job = client.fine_tuning.jobs.create(
        model=given.model, training_file=file.id, suffix="script", hyperparameters={"n_epochs": given.epochs or "auto"}
    )
    job = follow(client, job.id)
    assert job.status == "succeeded", job.error
    assert job.fine_tuned_model
    first = json.loads(given.rows.read_text(encoding="utf-8").split("\n")[0])["messages"]
    asked = [message for message in first if message["role"] != "assistant"]
    whole = client.chat.completions.create(model=job.fine_tuned_model, messages=asked)
    stream = client.chat.completions.create(model=job.fine_tuned_model, messages=asked, stream=True)
    parts = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
    print(f"Asked {asked[-1]['content']!r}: {whole.choices[0].message.content!r}, wanted {first[-1]['content']!r}.")
    assert "".join(parts) == whole.choices[0].message.content, parts
    print(f"The stream said the same in {len(parts)} chunks.")
    assert client.models.delete(job.fine_tuned_model).deleted and client.files.delete(file.id).deleted
    try:
        client.models.retrieve(job.fine_tuned_model)
    except openai.NotFoundError:
        print(f"{job.fine_tuned_model} is deleted.")
    else:
        sys.exit("the deleted model is still served")


def follow(client: openai.OpenAI, job_id: str) -> "openai.types.fine_tuning.FineTuningJob":
    """The job at its end; its events are printed as they come."""
    told, start = set[str](), time.perf_counter()
    while True:
        job = client.fine_tuning.jobs.retrieve(job_id)
        events = client.fine_tuning.jobs.list_events(job_id, limit=100).data
        for event in reversed(events):
            if event.id not in told:
                print(f"{time.perf_counter() - start:6.0f} s  {event.message}", flush=True)
                told.add(event.id)
        if job.status in FINAL:
            return job
        time.sleep(1)


if __name__ == "__main__":
    main()
