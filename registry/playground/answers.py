"""What the REST interface answers, as `/openapi.json` describes it; answers are held to it when they are sent."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "Comparison",
    "JobState",
    "ModelFacts",
    "Offer",
    "Operations",
    "Refusal",
    "Segmentation",
    "refusals",
]


class Refusal(BaseModel):
    """Why a request was not answered."""

    model_config = ConfigDict(extra="forbid")

    detail: str | list[dict[str, Any]] = Field(
        description="For people; a list of findings for malformed requests."
    )
    error: str | None = Field(default=None, description="Name of an error of atrous.")
    rule: str | None = Field(default=None, description="Which rule was broken,")
    received: str | None = Field(default=None, description="by what,")
    repair: str | None = Field(default=None, description="and what to do.")


class ModelFacts(BaseModel):
    """A model, and what its file says of itself."""

    model_config = ConfigDict(extra="forbid")

    id: str
    name: str
    kind: Literal["file", "upload", "export"]
    family: str = Field(description="What files have in common that differ in their precision.")
    input_size: tuple[int, int] = Field(description="Height and width in pixels.")
    output_kind: Literal["logits", "probabilities", "mask"]
    num_classes: int | None
    labels: list[str]
    palette: list[tuple[int, int, int]]
    quantization: str
    size_bytes: int
    parameters: int
    macs: int | None


class Share(BaseModel):
    """How much of an image a class has."""

    index: int
    name: str | None
    pixels: int
    fraction: float
    color: str


class Segmentation(BaseModel):
    """A model's answer for one image; pictures are data URLs."""

    model: str
    ms: float = Field(description="Milliseconds that the model took, resizing included.")
    height: int
    width: int
    classes: list[Share]
    mask: str = Field(description="Indexed PNG at the image's size.")
    overlay: str
    photo: str


class Change(BaseModel):
    """Pixels that one model gives one class, and the other another."""

    before: str = Field(alias="from")
    to: str
    pixels: int
    fraction: float


class Difference(BaseModel):
    """Where two masks differ."""

    agreement: float
    mean_iou: float
    changes: list[Change]
    heat_map: str


class Comparison(BaseModel):
    """Two models' answers for one image."""

    a: Segmentation
    b: Segmentation
    difference: Difference


class Operations(BaseModel):
    """What a file consists of, as `registry.inspect_model` tells it."""

    model_config = ConfigDict(extra="allow")

    operations: list[dict[str, Any]]
    size_bytes: int
    parameters: int
    macs: int | None
    quantization: str


class JobState(BaseModel):
    """How an export or a batch stands."""

    model_config = ConfigDict(extra="forbid")

    id: str
    what: str
    status: Literal["waiting", "running", "done", "failed"]
    done: int
    total: int
    result: dict[str, Any] | None
    error: str | None


class Offer(BaseModel):
    """What a server offers, and how much it accepts."""

    version: str
    batches: bool
    image_bytes: int
    model_bytes: int
    image_endings: list[str]


_WHY = {
    400: "Its body is malformed.",
    404: "It does not exist, or no longer.",
    409: "Something has to happen before.",
    413: "It is too large.",
    422: "It cannot be read, or is no such thing.",
    503: "Too many wait; try again.",
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The part of a description that says how a request may be refused, beside 403 for pages of others."""
    return {status: {"model": Refusal, "description": _WHY[status]} for status in statuses}
