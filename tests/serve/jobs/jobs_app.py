"""The routers of files, uploads, jobs and graders in an application of their own, as the server mounts them."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient

from burnish.serve.catalog import ServedModel
from burnish.serve.engine.request import AdapterRef
from burnish.serve.errors import ApiError
from burnish.serve.jobs import files, graders, jobs, uploads
from burnish.serve.jobs.models import follow_aliases
from burnish.serve.jobs.store import Store
from burnish.serve.settings import ServeSettings

CHAT_ROW = {"messages": [{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Hi."}]}


def resolver(base: str, store: Store) -> Callable[[str], ServedModel | None]:
    """A catalog of one base model and one fine-tuned one."""
    tiny = ServedModel(id="tiny", created=1, owned_by="burnish", base=base)
    tuned = ServedModel(
        id="ft:tiny:burnish::abc", created=1, owned_by="organization", base=base, adapter=AdapterRef("a", Path("a"))
    )
    encoder = ServedModel(id="encoder", created=1, owned_by="burnish", base="all-minilm-l6-v2")
    known = {"tiny": tiny, tuned.id: tuned, "encoder": encoder}
    return lambda name: known.get(follow_aliases(store, name))


def client_of(store: Store, settings: ServeSettings, base: str = "tiny-base") -> TestClient:
    """A client of the routers, below /v1."""
    app = FastAPI()

    @app.exception_handler(ApiError)
    async def refuse(request: Request, error: ApiError) -> JSONResponse:
        return JSONResponse(error.to_dict(), status_code=error.status)

    for router in (
        files.build_router(store, settings),
        uploads.build_router(store, settings),
        jobs.build_router(store, settings, resolver(base, store)),
        graders.build_router(settings),
    ):
        app.include_router(router, prefix="/v1")
    return TestClient(app, base_url="http://test/v1")


def jsonl(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def upload(client: TestClient, content: bytes, purpose: str = "fine-tune", **texts: str) -> Any:
    """The reply to a file that is sent."""
    form = {"purpose": purpose, **texts}
    return client.post("/files", data=form, files={"file": ("rows.jsonl", content, "application/octet-stream")})


def create(client: TestClient, file_id: str, headers: Mapping[str, str] | None = None, **body: Any) -> Any:
    """The reply to a job that is asked for."""
    return client.post("/fine_tuning/jobs", json={"model": "tiny", "training_file": file_id, **body}, headers=headers)


def wait_for(is_so: Callable[[], Any], timeout_s: float = 120.0) -> Any:
    """What `is_so` gives as soon as that is something."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := is_so():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not so within {timeout_s:.0f} s")
