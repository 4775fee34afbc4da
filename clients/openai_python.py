"""What a user of OpenAI's fine-tuning does, with whichever version of the package this Python has:
python openai_python.py BASE_URL MODEL TUNED ENCODER"""

import io
import json
import sys
import time

import openai

JOB_S = 240
TEXTS = [
    f"{colour} {thing} {size}" for colour in ("red", "blue") for thing in ("box", "cup", "hat") for size in range(8)
]


def main(base_url: str, model: str) -> None:
    """Upload, train, wait, chat, stream, delete; each step is told on a line."""
    client = openai.OpenAI(base_url=base_url, api_key="none", max_retries=0)
    rows = [{"messages": [user(text), {"role": "assistant", "content": text.split()[0]}]} for text in TEXTS]
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    file = client.files.create(file=("rows.jsonl", io.BytesIO(content)), purpose="fine-tune")
    assert client.files.content(file.id).read() == content
    print("upload")

    job = client.fine_tuning.jobs.create(
        model=model, training_file=file.id, suffix="client", hyperparameters={"n_epochs": 1}
    )
    end = time.monotonic() + JOB_S
    while job.status not in ("succeeded", "failed", "cancelled") and time.monotonic() < end:
        time.sleep(0.5)
        job = client.fine_tuning.jobs.retrieve(job.id)
    assert job.status == "succeeded", (job.status, job.error)
    assert len(list(client.fine_tuning.jobs.list_events(job.id, limit=2))) > 2, "two pages of events"
    print("job")

    tuned = job.fine_tuned_model
    reply = client.chat.completions.create(model=tuned, messages=[user("red box")], max_tokens=6, temperature=0)
    whole = reply.choices[0].message.content
    assert reply.model == tuned and reply.usage.completion_tokens > 0
    print("chat")

    stream = client.chat.completions.create(
        model=tuned, messages=[user("red box")], max_tokens=6, temperature=0, stream=True
    )
    parts = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
    assert "".join(parts).strip() == whole.strip(), (parts, whole)
    print("stream")

    assert client.models.delete(tuned).deleted and client.files.delete(file.id).deleted
    try:
        client.chat.completions.create(model=tuned, messages=[user("red box")])
    except openai.NotFoundError as error:
        assert error.code == "model_not_found", error.code
    else:
        raise AssertionError("a deleted model answered")
    print("delete, 404")


def user(text: str) -> dict[str, str]:
    """A question."""
    return {"role": "user", "content": text}


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
