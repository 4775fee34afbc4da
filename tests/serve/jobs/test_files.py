"""Files and uploads, through their routes."""

import base64
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from burnish.serve.jobs.shelf import RESULTS, add_file, path_of
from burnish.serve.jobs.store import Store
from burnish.serve.settings import ServeSettings
from tests.serve.jobs.jobs_app import CHAT_ROW, create, jsonl, upload


def refused(reply: Any, status: int, message: str, param: str | None = None) -> None:
    """The reply is an error in OpenAI's shape that says this."""
    assert reply.status_code == status, reply.text
    error = reply.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert message in error["message"]
    assert param is None or error["param"] == param


def test_a_file_comes_back_byte_by_byte_with_every_field(client: TestClient) -> None:
    content = bytes(range(256)) * 3 + b"\r\n--boundary\r\n"
    made = upload(client, content, purpose="assistants").json()
    assert made.pop("id").startswith("file-") and isinstance(made.pop("created_at"), int)
    assert made == {
        "object": "file", "bytes": len(content), "filename": "rows.jsonl", "purpose": "assistants",
        "status": "processed", "status_details": None, "expires_at": None,
    }  # fmt: skip
    found = client.get("/files").json()["data"][0]
    assert client.get(f"/files/{found['id']}").json() == found
    for accept in ("application/binary", "application/json", "*/*"):
        assert client.get(f"/files/{found['id']}/content", headers={"Accept": accept}).content == content


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b.jsonl", "ö.jsonl", "x" * 500])
def test_a_clients_file_name_is_never_a_path(client: TestClient, store: Store, name: str) -> None:
    made = client.post("/files", data={"purpose": "fine-tune"}, files={"file": (name, b"x")}).json()
    assert made["filename"] == name
    assert [path.name for path in (store.folder / "files").iterdir()] == [made["id"]]


def test_a_file_over_the_limit_is_refused_and_leaves_nothing(client: TestClient, store: Store) -> None:
    assert upload(client, b"x" * 10_000).status_code == 200
    refused(upload(client, b"x" * 10_001), 413, "larger than 10,000 bytes", "file")
    refused(upload(client, b"x" * 100_000), 413, "larger than 10,000 bytes", "file")
    assert len(list((store.folder / "files").iterdir())) == 1


def chunks(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), 7):
        yield content[start : start + 7]


def form(content: bytes, *, end: bytes = b"--B--\r\n") -> bytes:
    """A multipart form whose file comes before its texts."""
    return (
        b'--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + content + b"\r\n"
        b'--B\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nfine-tune\r\n' + end
    )


def test_a_file_of_unknown_length_is_taken_and_limited(client: TestClient, store: Store) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=B"}
    content = b"first\r\n--not the end\r\n"
    made = client.post("/files", content=chunks(form(content)), headers=headers).json()
    assert path_of(store, made["id"]).read_bytes() == content
    refused(client.post("/files", content=chunks(form(b"x" * 10_001)), headers=headers), 413, "larger")
    refused(client.post("/files", content=chunks(form(b"x", end=b"")), headers=headers), 400, "not whole")
    refused(client.post("/files", content=b"nothing", headers=headers), 400, "cannot be read")
    assert len(list((store.folder / "files").iterdir())) == 1


def test_a_form_that_lacks_something_is_refused(client: TestClient) -> None:
    refused(client.post("/files", json={}), 400, "multipart", "file")
    refused(client.post("/files", data={"purpose": "fine-tune"}, files={"other": b"x"}), 400, "missing", "file")
    refused(client.post("/files", files={"file": b"x"}), 400, "must be one of", "purpose")
    refused(upload(client, b"x", purpose="fun"), 400, "must be one of", "purpose")


@pytest.mark.parametrize("seconds", ["3599", "2592001", "1e4", "-1", ""])
def test_a_time_to_live_out_of_its_limits_is_refused(client: TestClient, seconds: str) -> None:
    texts = {"expires_after[anchor]": "created_at", "expires_after[seconds]": seconds}
    refused(upload(client, b"x", **texts), 400, "from 3600 to 2592000", "expires_after[seconds]")


def test_a_file_whose_time_is_over_is_gone(client: TestClient, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = upload(client, b"x", **{"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}).json()
    assert made["expires_at"] == made["created_at"] + 3600
    assert client.get(f"/files/{made['id']}").json() == made
    monkeypatch.setattr("burnish.serve.jobs.shelf.now", lambda: made["expires_at"])
    refused(client.get(f"/files/{made['id']}"), 404, made["id"])
    assert client.get("/files").json()["data"] == []
    assert path_of(store, made["id"]).exists(), "to list them changes nothing"
    upload(client, b"y")
    assert not path_of(store, made["id"]).exists()


def test_files_are_listed_by_purpose_and_order(client: TestClient) -> None:
    ids = [upload(client, b"x", purpose=purpose).json()["id"] for purpose in ("fine-tune", "batch", "fine-tune")]
    listed = lambda **query: [row["id"] for row in client.get("/files", params=query).json()["data"]]  # noqa: E731
    assert listed() == ids[::-1]
    assert listed(order="asc") == ids
    assert listed(purpose="fine-tune") == [ids[2], ids[0]]
    assert listed(purpose="purpose") == []
    assert listed(limit=1, after=ids[1], order="asc") == [ids[2]]
    refused(client.get("/files", params={"limit": "-1"}), 400, "whole number", "limit")
    refused(client.get("/files", params={"limit": "10001"}), 400, "whole number", "limit")
    refused(client.get("/files", params={"order": "up"}), 400, "asc or desc", "order")


def test_a_file_that_a_job_waits_for_is_not_deleted(client: TestClient, store: Store) -> None:
    file_id = upload(client, jsonl([CHAT_ROW] * 12)).json()["id"]
    job = create(client, file_id).json()
    refused(client.delete(f"/files/{file_id}"), 400, job["id"])
    client.post(f"/fine_tuning/jobs/{job['id']}/cancel")
    assert client.delete(f"/files/{file_id}").json() == {"id": file_id, "object": "file", "deleted": True}
    assert not path_of(store, file_id).exists()
    refused(client.delete(f"/files/{file_id}"), 404, file_id)
    refused(client.get(f"/files/{file_id}/content"), 404, file_id)


@pytest.mark.parametrize("size", [0, 1, 3 * 2**16 - 1, 3 * 2**16 + 5])
def test_results_go_to_openais_clients_in_base64_and_to_others_as_they_are(
    client: TestClient, store: Store, tmp_path: Path, size: int
) -> None:
    content = b"step,train_loss\n"[: max(1, size)] * (size // 16 + 1)
    draft = tmp_path / "draft"
    draft.write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    file = add_file(store, draft, filename="step_metrics.csv", purpose=RESULTS, sha256=sha256)
    for accept in ("application/binary", "application/json"):
        reply = client.get(f"/files/{file.id}/content", headers={"Accept": accept})
        assert base64.b64decode(reply.content, validate=True) == content
    assert client.get(f"/files/{file.id}/content", headers={"Accept": "*/*"}).content == content


def start_upload(client: TestClient, size: int) -> str:
    body = {"bytes": size, "filename": "big.jsonl", "mime_type": "text/jsonl", "purpose": "fine-tune"}
    made = client.post("/uploads", json=body).json()
    assert (made["object"], made["status"], made["file"]) == ("upload", "pending", None)
    assert made["expires_at"] == made["created_at"] + 3600
    return str(made["id"])


def add_part(client: TestClient, upload_id: str, content: bytes) -> str:
    made = client.post(f"/uploads/{upload_id}/parts", files={"data": content}).json()
    assert (made["object"], made["upload_id"]) == ("upload.part", upload_id)
    return str(made["id"])


def test_parts_are_joined_in_the_order_that_is_named(client: TestClient, store: Store) -> None:
    upload_id = start_upload(client, 11)
    second, first = add_part(client, upload_id, b" world"), add_part(client, upload_id, b"hello")
    add_part(client, upload_id, b"not used")
    md5 = hashlib.md5(b"hello world").hexdigest()
    done = client.post(f"/uploads/{upload_id}/complete", json={"part_ids": [first, second], "md5": md5}).json()
    assert done["status"] == "completed"
    assert done["file"] == client.get(f"/files/{done['file']['id']}").json()
    assert client.get(f"/files/{done['file']['id']}/content").content == b"hello world"
    assert not (store.folder / "uploads" / upload_id).exists()
    again = client.post(f"/uploads/{upload_id}/complete", json={"part_ids": [first, second]})
    refused(again, 400, "is completed")
    refused(client.post(f"/uploads/{upload_id}/cancel"), 400, "is completed")


def test_an_upload_that_does_not_add_up_stays_pending(client: TestClient) -> None:
    upload_id = start_upload(client, 5)
    part = add_part(client, upload_id, b"hello")
    complete = lambda **body: client.post(f"/uploads/{upload_id}/complete", json=body)  # noqa: E731
    refused(complete(part_ids=[]), 400, "0 bytes together", "part_ids")
    refused(complete(part_ids=[part, part]), 400, "twice", "part_ids")
    refused(complete(part_ids=["part_other"]), 400, "not one of upload", "part_ids")
    refused(complete(part_ids=[part], md5="md5"), 400, "not md5", "md5")
    refused(complete(), 400, "is missing", "part_ids")
    assert complete(part_ids=[part]).json()["status"] == "completed"


def test_a_cancelled_upload_takes_nothing_more(client: TestClient, store: Store) -> None:
    upload_id = start_upload(client, 5)
    add_part(client, upload_id, b"hello")
    for _ in range(2):  # once more is the same
        assert client.post(f"/uploads/{upload_id}/cancel").json()["status"] == "cancelled"
    refused(client.post(f"/uploads/{upload_id}/parts", files={"data": b"x"}), 400, "is cancelled")
    refused(client.post("/uploads/upload_none/cancel"), 404, "upload_none")


def test_parts_that_are_gone_are_no_full_disk_and_a_full_one_tells_no_path(client: TestClient, store: Store) -> None:
    upload_id = start_upload(client, 2)
    part = add_part(client, upload_id, b"ab")
    folder = store.folder / "uploads" / upload_id
    shutil.rmtree(folder)
    complete = {"part_ids": [part]}
    refused(client.post(f"/uploads/{upload_id}/complete", json=complete), 400, "Another request has changed it")
    shutil.rmtree(folder)
    folder.write_text("a file where a folder is needed")
    reply = client.post(f"/uploads/{upload_id}/complete", json=complete)
    refused(reply, 507, "The server's disk cannot keep the file")
    assert str(store.folder) not in reply.text


def test_an_upload_expires(client: TestClient, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    upload_id = start_upload(client, 5)
    add_part(client, upload_id, b"hello")
    row = store.one("SELECT expires_at FROM upload")
    assert row is not None
    monkeypatch.setattr("burnish.serve.jobs.uploads.now", lambda: row["expires_at"])
    refused(client.post(f"/uploads/{upload_id}/complete", json={"part_ids": []}), 400, "is expired")
    start_upload(client, 1)
    assert not (store.folder / "uploads" / upload_id).exists()


def test_an_upload_that_is_too_large_is_refused(client: TestClient, settings: ServeSettings) -> None:
    body = {"bytes": 160_001, "filename": "f", "mime_type": "t", "purpose": "fine-tune"}
    refused(client.post("/uploads", json=body), 413, "at most 160,000", "bytes")
