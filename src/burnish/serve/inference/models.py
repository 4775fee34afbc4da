"""`/models`: what is served."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from burnish.serve.catalog import OWN, ServedModel
from burnish.serve.errors import ApiError
from burnish.serve.inference.backend import Backend


def build_router(backend: Backend) -> APIRouter:
    """List, retrieve and delete. Names may hold slashes, which arrive decoded."""
    router = APIRouter(tags=["models"])

    @router.get("/models", response_model=None)
    def list_models() -> Response:
        """What was trained here first, the newest of it foremost: pages take the first as their default."""
        models = sorted(backend.models(), key=lambda model: (not _is_trained(model), -model.created, model.id))
        return JSONResponse({"object": "list", "data": [_describe(model) for model in models]})

    @router.get("/models/{model:path}", response_model=None)
    def retrieve_model(model: str) -> Response:
        """One of them."""
        return JSONResponse(_describe(backend.resolve(model)))

    @router.delete("/models/{model:path}", response_model=None)
    def delete_model(model: str) -> Response:
        """Serve it no longer; base models stay."""
        found = backend.resolve(model)
        if not _is_trained(found):
            raise ApiError(
                f"{found.id} is a base model. Only models that were trained here can be deleted.",
                status=403,
                param="model",
                code="model_not_deletable",
            )
        backend.delete(found.id)
        return JSONResponse({"id": model, "object": "model", "deleted": True})

    return router


def _is_trained(model: ServedModel) -> bool:
    return model.owned_by != OWN


def _describe(model: ServedModel) -> dict[str, Any]:
    return {"id": model.id, "object": "model", "created": model.created, "owned_by": model.owned_by}
