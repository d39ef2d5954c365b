"""The answers' shapes for the OpenAPI document; ``to_dict`` makes the answers, and a test holds the two together."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class BoxShape(_Shape):
    """A rectangle in pixels of the upright photo; it may lie partly outside."""

    left: float
    top: float
    width: float
    height: float


class QualityShape(_Shape):
    """How well the photo shows a face."""

    size: float = Field(ge=0, description="pixels of the photo")
    sharpness: float = Field(ge=0, description="detail at the size that networks see")
    turn: float | None = Field(ge=0, le=90, description="degrees aside, roughly; null without landmarks")
    inside: float = Field(ge=0, le=1, description="share of the face within the photo")
    reasons: list[str] = Field(description="what is wrong: tiny, blurred, turned, cut off")
    good: bool = Field(description="nothing is wrong")


class FaceShape(_Shape):
    """One face and what it shows."""

    box: BoxShape
    score: float = Field(ge=0, le=1, description="how sure the detector is")
    landmarks: list[tuple[float, float]] | None = Field(
        description="right eye, left eye, nose, right and left mouth corner; right is the person's"
    )
    emotion: str
    confidence: float = Field(ge=0, le=1, description="the probability of emotion")
    uncertain: bool = Field(description="confidence is below the threshold of the model file")
    quality: QualityShape | None
    probabilities: dict[str, float] = Field(description="every label; sum 1")


class MapShape(_Shape):
    """What in a face speaks for a class."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    of: str = Field(alias="class")
    probability: float
    method: str
    faithfulness: dict[str, Any] = Field(
        description="deletion areas against random maps; score above 0 is better than chance"
    )
    map: list[list[float]] = Field(description="rows; above 0 speaks for the class, below 0 against it")


class ExplainedFaceShape(FaceShape):
    """One face with a map for each class asked for."""

    corners: list[tuple[float, float]] = Field(
        description="where the map's upper left, upper right, lower left corners lie"
    )
    maps: list[MapShape]


class ImageShape(_Shape):
    """One photo; without a face ``faces`` is empty."""

    source: str | None = Field(description="the file's name as it was sent, without folders")
    width: int
    height: int
    model: str
    detector: str
    faces: list[FaceShape] = Field(description="best detection first")
    faces_found: int = Field(ge=0, description="faces in the photo, of which max_faces at most are listed")
    truncated: bool = Field(description="more faces were found than are listed")


class ExplainedImageShape(_Shape):
    """One photo, its faces explained."""

    source: str | None
    width: int
    height: int
    model: str
    detector: str
    faces: list[ExplainedFaceShape]
    faces_found: int = Field(ge=0, description="faces in the photo, of which max_faces at most are explained")
    truncated: bool = Field(description="more faces were found than are explained")


class UnreadableShape(_Shape):
    """A photo that could not be read, among others that could."""

    source: str | None
    error: str


class Predictions(_Shape):
    """The photos in the order in which they were sent."""

    results: list[ImageShape | UnreadableShape]


class Explanations(_Shape):
    """The photos in the order in which they were sent."""

    results: list[ExplainedImageShape | UnreadableShape]


class CorpusShape(_Shape):
    """A corpus that a model learned from."""

    name: str
    terms: str = Field(description="under which the corpus is given out")
    use: str = Field(description="training, pretraining or distillation")


class ModelShape(_Shape):
    """What a model file says of itself."""

    model: str = Field(description="the word for the option model, as results carry it")
    aliases: list[str] = Field(description="other words for it")
    default: bool
    name: str
    labels: list[str]
    uncertain_below: float
    temperature: float
    preprocess: dict[str, Any]
    metrics: dict[str, Any]
    provenance: dict[str, Any]
    trained_on: list[CorpusShape]
    licence: str
    recipe_digest: str
    digest: str


class Limits(_Shape):
    """What the server takes."""

    max_body: int
    max_images: int
    max_pixels: int
    max_faces: int
    explain_faces: int


class Offer(_Shape):
    """Models, detectors and limits of this server."""

    models: list[ModelShape]
    detectors: list[str]
    detector: str = Field(description="the default")
    limits: Limits


class Problem(BaseModel):
    """An RFC 9457 problem document."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
