"""The list of models, and what may be deleted."""

from pathlib import Path

import pytest
from openai import NotFoundError, OpenAI, PermissionDeniedError

from burnish.serve.app import create_app
from tests.serve.plain_backend import CHAT, SOLVER, PlainBackend, live, settings


def test_what_was_trained_comes_first(openai: OpenAI) -> None:
    found = openai.models.list().data
    assert found[0].id == SOLVER and [model.owned_by for model in found] == ["organization"] * 4 + ["burnish"] * 2


def test_a_name_may_hold_a_slash(openai: OpenAI) -> None:
    assert openai.models.retrieve("org/tiny").id == "tiny"
    assert openai.models.retrieve(CHAT).created == 2


def test_an_unknown_one_is_not_found(openai: OpenAI) -> None:
    with pytest.raises(NotFoundError, match="The model `gone` does not exist") as fault:
        openai.models.retrieve("gone")
    assert (fault.value.code, fault.value.param) == ("model_not_found", "model")


def test_only_what_was_trained_can_be_deleted(tmp_path: Path) -> None:
    backend = PlainBackend(tmp_path)
    with live(create_app(settings(tmp_path), backend)) as url:
        client = OpenAI(base_url=url, api_key="any", max_retries=0)
        assert client.models.delete(CHAT).deleted
        with pytest.raises(NotFoundError):
            client.models.retrieve(CHAT)
        with pytest.raises(PermissionDeniedError, match="tiny is a base model"):
            client.models.delete("org/tiny")
    backend.engine.close()
