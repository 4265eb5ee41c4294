"""The requests that a server answers: the page, and a REST interface that `/openapi.json` describes."""

from __future__ import annotations

import json
import queue
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import FastAPI, File, Form, HTTPException, Request, UploadFile
from fastapi.responses import JSONResponse, Response
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from starlette.middleware.trustedhost import TrustedHostMiddleware

import registry
from registry.batch.items import image_suffixes
from registry.errors import RegistryError
from registry.images import load_image
from registry.inspection import inspect_model
from registry.playground.answers import (
    Comparison,
    JobState,
    ModelFacts,
    Offer,
    Operations,
    Segmentation,
    refusals,
)
from registry.playground.guard import BodyLimit, SameOrigin
from registry.playground.jobs import Jobs, Precision
from registry.playground.pictures import answer_of, difference_of
from registry.playground.settings import Settings
from registry.playground.shelf import Entry, Shelf

__all__ = ["application"]

_PAGE = {
    "": ("index.html", "text/html; charset=utf-8"),
    "page.css": ("page.css", "text/css; charset=utf-8"),
    "page.js": ("page.js", "text/javascript; charset=utf-8"),
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'"
)
_KEPT_PHOTOS = 8
"""Images of the last requests, on which integer exports are calibrated."""
_CHUNK = 1 << 20

Photo = Annotated[UploadFile, File(description="A JPEG, PNG, WebP, … file.")]


class ExportRequest(BaseModel):
    """What is to be exported of a preset."""

    precision: Precision = "float32"
    weights: Literal["default", "none"] = Field(default="default", description="none draws them at random.")


class BatchRequest(BaseModel):
    """Which images are to be segmented by what."""

    model: str
    folder: str = Field(default="", description="Below the folder that the server was started with.")
    overlays: bool = True


class _Server:
    """What the requests of one application share."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.shelf: Shelf
        self.jobs: Jobs
        self.folder: Path
        self._turns = threading.Semaphore(settings.at_once)
        self._admitted = threading.Semaphore(settings.waiting)
        self._photos = threading.Lock()
        self._photo = 0

    @asynccontextmanager
    async def running(self, app: FastAPI) -> AsyncIterator[None]:
        """From start to end: a folder of its own, the processes of models, the thread of jobs."""
        with tempfile.TemporaryDirectory(prefix="atrous-serve-") as folder:
            self.folder = Path(folder)
            self.photos.mkdir()
            self.shelf = Shelf(self.settings, self.folder)
            self.jobs = Jobs(self.shelf)
            app.state.shelf = self.shelf
            try:
                yield
            finally:
                self.jobs.close()
                self.shelf.close()

    @property
    def photos(self) -> Path:
        """Where the last images lie."""
        return self.folder / "photos"

    @contextmanager
    def turn(self) -> Iterator[None]:
        """One of the few requests that hold an image at a time; refused where too many wait."""
        if not self._admitted.acquire(blocking=False):
            raise HTTPException(503, "too many requests wait; try again", headers={"Retry-After": "2"})
        try:
            with self._turns:
                yield
        finally:
            self._admitted.release()

    def entry(self, identity: str) -> Entry:
        try:
            return self.shelf[identity]
        except KeyError:
            raise HTTPException(404, f"no model {identity!r}; GET /api/models lists them") from None

    def masks(
        self, image: UploadFile, entries: list[Entry]
    ) -> tuple[NDArray[np.uint8], list[NDArray[Any]], list[float]]:
        """Pixels, and of each model the mask and the milliseconds that it took."""
        name = Path(image.filename or "image").name
        masks, times = [], []
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            photo, mask = Path(folder, "photo"), Path(folder, "mask.npy")
            _receive(image, photo, self.settings.image_bytes, "an image file")
            for entry in entries:
                times.append(self.shelf.segment(entry, photo, name, mask))
                masks.append(np.load(mask, allow_pickle=False))
            # It decoded in the child a moment ago.
            pixels = load_image(photo.read_bytes(), name=name)
            with self._photos:
                photo.replace(self.photos / f"{self._photo % _KEPT_PHOTOS}{_suffix(name)}")
                self._photo += 1
        return pixels, masks, times


def application(settings: Settings) -> FastAPI:
    """The application of `make_app`."""
    server = _Server(settings)
    app = FastAPI(
        title="atrous playground",
        version=registry.__version__,
        description="Try models on images, compare them, look into files.",
        lifespan=server.running,
        docs_url=None,  # its viewers would be fetched from the network
        redoc_url=None,
    )
    app.add_middleware(BodyLimit, most=max(settings.image_bytes, settings.model_bytes) + (1 << 16))
    app.add_middleware(SameOrigin)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(settings.hosts), www_redirect=False)
    app.exception_handler(RegistryError)(_refused)
    _add_page(app)
    _add_models(app, server)
    _add_images(app, server)
    _add_jobs(app, server)
    return app


def _refused(request: Request, error: Exception) -> JSONResponse:
    """An error of ours as JSON: the request was understood, what came with it was wrong."""
    assert isinstance(error, RegistryError)
    received = None if error.received is None else str(error.received)
    content = {
        "error": type(error).__name__,
        "detail": str(error),
        "rule": error.rule,
        "received": received,
        "repair": error.repair,
    }
    return JSONResponse(content, 422)


def _add_page(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    @app.get("/{name}", include_in_schema=False)
    def page(name: str = "") -> Response:
        if name not in _PAGE:
            raise HTTPException(404)
        file, kind = _PAGE[name]
        content = (files("registry.playground") / "page" / file).read_bytes()
        headers = {
            "Content-Security-Policy": _POLICY,
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-cache",
        }
        return Response(content, media_type=kind, headers=headers)


def _add_models(app: FastAPI, server: _Server) -> None:
    @app.get("/api/models", tags=["models"], response_model=list[ModelFacts])
    def list_models() -> list[dict[str, Any]]:
        """All models, with input size, classes, precision and family."""
        return [entry.to_dict() for entry in server.shelf]

    @app.post(
        "/api/models",
        status_code=201,
        tags=["models"],
        response_model=ModelFacts,
        responses=refusals(400, 413, 422, 503),
    )
    def add_model(
        file: Annotated[
            UploadFile, File(description="A `.tflite` file; it is tried in a process of its own.")
        ],
    ) -> dict[str, Any]:
        """Add a `.tflite` file."""
        name = Path(file.filename or "model.tflite").name
        path = server.shelf.new_path(name)
        with server.turn():
            try:
                _receive(file, path, server.settings.model_bytes, "a model file")
            except HTTPException:
                shutil.rmtree(path.parent)
                raise
            return server.shelf.add(path, name, "upload").to_dict()

    @app.delete("/api/models/{model}", status_code=204, tags=["models"], responses=refusals(404, 422))
    def remove_model(model: str) -> None:
        """Remove an uploaded or exported model."""
        server.entry(model)
        server.shelf.remove(model)

    @app.get(
        "/api/models/{model}/operations",
        tags=["models"],
        response_model=Operations,
        responses=refusals(404, 422),
    )
    def list_operations(model: str) -> dict[str, Any]:
        """What the file consists of: every operation, multiplications, precisions."""
        inspected = inspect_model(server.entry(model).path).to_dict()
        del inspected["path"]
        return json.loads(json.dumps(inspected, default=str))


def _add_images(app: FastAPI, server: _Server) -> None:
    @app.post(
        "/api/segment",
        tags=["images"],
        response_model=Segmentation,
        responses=refusals(400, 404, 413, 422, 503),
    )
    def segment(image: Photo, model: Annotated[str, Form()]) -> dict[str, Any]:
        """Segment an image: mask, overlay, classes, and how long the model took."""
        entry = server.entry(model)
        with server.turn():
            pixels, (mask,), (ms,) = server.masks(image, [entry])
            return {"model": model, "ms": ms, **answer_of(pixels, mask, entry.facts)}

    @app.post(
        "/api/compare",
        tags=["images"],
        response_model=Comparison,
        responses=refusals(400, 404, 413, 422, 503),
    )
    def compare(image: Photo, a: Annotated[str, Form()], b: Annotated[str, Form()]) -> dict[str, Any]:
        """Segment an image with two models: both answers, and where they differ."""
        entries = [server.entry(a), server.entry(b)]
        with server.turn():
            pixels, masks, times = server.masks(image, entries)
            answers = {
                key: {"model": entry.id, "ms": ms, **answer_of(pixels, mask, entry.facts)}
                for key, entry, mask, ms in zip("ab", entries, masks, times, strict=True)
            }
            difference = difference_of(pixels, masks[0], masks[1], entries[0].facts["labels"])
            return {**answers, "difference": difference}


def _add_jobs(app: FastAPI, server: _Server) -> None:
    @app.get("/api/presets", tags=["jobs"])
    def list_presets() -> list[str]:
        """Names of the presets that can be exported."""
        return registry.list_presets()

    @app.post(
        "/api/presets/{preset}/exports",
        status_code=202,
        tags=["jobs"],
        response_model=JobState,
        responses=refusals(400, 404, 409, 413, 422, 503),
    )
    def export_preset(preset: str, request: ExportRequest) -> dict[str, Any]:
        """Export a preset; the job's result is the model. int8 is calibrated on the images of the last requests."""
        registry.describe(preset)
        if preset not in registry.list_presets():
            raise HTTPException(404, f"no preset {preset!r} in the catalog")
        calibration = server.photos if request.precision == "int8" else None
        if calibration is not None and not any(calibration.iterdir()):
            raise HTTPException(409, "int8 is calibrated on images: segment one or more first")
        return _started(lambda: server.jobs.export(preset, request.precision, request.weights, calibration))

    @app.post(
        "/api/batches",
        status_code=202,
        tags=["jobs"],
        response_model=JobState,
        responses=refusals(400, 404, 409, 413, 422, 503),
    )
    def start_batch(request: BatchRequest) -> dict[str, Any]:
        """Segment a folder of images; what is finished there is not done again."""
        images, output = server.settings.images, server.settings.output
        if images is None or output is None:
            raise HTTPException(
                409, "the server was started without a folder of images: atrous serve --images DIR"
            )
        entry = server.entry(request.model)
        folder = (images / request.folder).resolve()
        if not folder.is_relative_to(images.resolve()) or not folder.is_dir():
            raise HTTPException(404, f"no folder {request.folder!r} below the server's folder of images")
        target = output / folder.relative_to(images.resolve()) / Path(entry.name).stem
        return _started(lambda: server.jobs.batch(entry, folder, target, request.overlays))

    @app.get("/api/jobs", tags=["jobs"], response_model=list[JobState])
    def list_jobs() -> list[dict[str, Any]]:
        """Exports and batches, the oldest first."""
        return [job.to_dict() for job in server.jobs]

    @app.get("/api/jobs/{job}", tags=["jobs"], response_model=JobState, responses=refusals(404, 422))
    def get_job(job: str) -> dict[str, Any]:
        """How an export or a batch stands."""
        try:
            return server.jobs[job].to_dict()
        except KeyError:
            raise HTTPException(404, f"no job {job!r}; GET /api/jobs lists them") from None

    @app.get("/api/settings", tags=["jobs"], response_model=Offer)
    def get_settings() -> dict[str, Any]:
        """What this server offers, and how much it accepts."""
        settings = server.settings
        return {
            "version": registry.__version__,
            "batches": settings.images is not None and settings.output is not None,
            "image_bytes": settings.image_bytes,
            "model_bytes": settings.model_bytes,
            "image_endings": list(image_suffixes()),
        }


def _started(add: Any) -> dict[str, Any]:
    try:
        return add().to_dict()
    except queue.Full:
        raise HTTPException(503, "too many jobs wait; try again", headers={"Retry-After": "30"}) from None


def _receive(upload: UploadFile, path: Path, most: int, what: str) -> None:
    """Copy an upload to a file, no more of it than is accepted."""
    size = 0
    with path.open("wb") as file:
        while chunk := upload.file.read(_CHUNK):
            size += len(chunk)
            if size > most:
                path.unlink()
                raise HTTPException(413, f"{what} may have at most {most:,} bytes here")
            file.write(chunk)


def _suffix(name: str) -> str:
    """The ending of an image's name, if it is one; calibration looks for files by theirs."""
    suffix = Path(name).suffix.lower()
    return suffix if suffix in image_suffixes() else ".png"
