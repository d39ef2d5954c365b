"""Response models of the OpenAPI document; responses come from ``to_dict``, and a test compares both."""

from __future__ import annotations

from typing import Any, Literal

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
    """The quality of a face in the photo."""

    size: float = Field(ge=0, description="pixels of the photo")
    sharpness: float = Field(ge=0, description="detail at the networks' input size")
    turn: float | None = Field(ge=0, le=90, description="approximate yaw in degrees; null without landmarks")
    inside: float = Field(ge=0, le=1, description="share of the face within the photo")
    reasons: list[str] = Field(description="problems: tiny, blurred, turned, cut off")
    good: bool = Field(description="there are no problems")


class PoseShape(_Shape):
    """Where a face looks, in degrees; 0, 0, 0 looks into the camera. Estimated from the landmarks."""

    yaw: float = Field(ge=-90, le=90, description="above 0 to the picture's right")
    pitch: float = Field(ge=-180, le=180, description="above 0 up")
    roll: float = Field(ge=-180, le=180, description="above 0 with the head tilted clockwise in the picture")


class FaceShape(_Shape):
    """One face and its emotion."""

    box: BoxShape
    score: float = Field(ge=0, le=1, description="the detector's confidence")
    landmarks: list[tuple[float, float]] | None = Field(
        description="right eye, left eye, nose, right and left mouth corner; right is the person's"
    )
    emotion: str
    confidence: float = Field(ge=0, le=1, description="the probability of emotion")
    uncertain: bool = Field(description="confidence is below the threshold of the model file")
    quality: QualityShape | None
    pose: PoseShape | None = Field(description="null without landmarks")
    probabilities: dict[str, float] = Field(description="label to probability, sum 1")


class MapShape(_Shape):
    """A map of the regions of a face that support a class."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    of: str = Field(alias="class")
    probability: float
    method: str
    faithfulness: dict[str, Any] = Field(
        description="deletion areas against random maps; score above 0 is better than chance"
    )
    map: list[list[float]] = Field(description="rows; values above 0 support the class, below 0 oppose it")


class ExplainedFaceShape(FaceShape):
    """One face with a map for each requested class."""

    corners: list[tuple[float, float]] = Field(
        description="positions of the map's upper left, upper right and lower left corners"
    )
    maps: list[MapShape]


class ImageShape(_Shape):
    """One photo; ``faces`` is empty if none was detected."""

    source: str | None = Field(description="the file's name as uploaded, without folders")
    width: int
    height: int
    model: str
    detector: str
    faces: list[FaceShape] = Field(description="best detection first")
    faces_found: int = Field(ge=0, description="faces detected in the photo, of which at most max_faces are listed")
    truncated: bool = Field(description="more faces were detected than are listed")


class ExplainedImageShape(_Shape):
    """One photo with explanations of its faces."""

    source: str | None
    width: int
    height: int
    model: str
    detector: str
    faces: list[ExplainedFaceShape]
    faces_found: int = Field(
        ge=0, description="faces detected in the photo, of which at most max_faces, or face alone, are explained"
    )
    truncated: bool = Field(description="more faces were detected than are explained")


class UnreadableShape(_Shape):
    """A photo that could not be read, among several photos."""

    source: str | None
    error: str


class Predictions(_Shape):
    """Results in the order of the uploaded photos."""

    results: list[ImageShape | UnreadableShape]


class Explanations(_Shape):
    """Results in the order of the uploaded photos."""

    results: list[ExplainedImageShape | UnreadableShape]


class CorpusShape(_Shape):
    """A corpus that a model was trained on."""

    name: str
    terms: str = Field(description="terms of use of the corpus")
    use: str = Field(description="training, pretraining or distillation")


class ModelShape(_Shape):
    """The metadata of a model file."""

    model: str = Field(description="its name in the option model and in results")
    aliases: list[str] = Field(description="other names for the option model")
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
    """The limits of the server."""

    max_body: int
    max_images: int
    max_pixels: int
    max_faces: int
    explain_faces: int = Field(description="faces of a photo that are explained in one request")
    videos: int = Field(ge=0, description="videos read at once; 0: /v1/video does not exist")
    video_body: int
    video_seconds: float
    video_frames: int


class Offer(_Shape):
    """Models, detectors and limits of this server."""

    models: list[ModelShape]
    detectors: list[str]
    detector: str = Field(description="the default")
    limits: Limits


class Exceeded(BaseModel):
    """A limit of the server, and what a video has of it."""

    limit: Literal["seconds", "frames", "read_frames", "pixels", "result_bytes"]
    most: float = Field(description="what the server allows")
    given: float = Field(description="what the video has; at least this where reading stopped at the limit")


class VideoJob(_Shape):
    """A video that was sent: how far it is read, and where its results are."""

    id: str = Field(description="known to the sender alone: whoever has it can read and delete the results")
    state: Literal["waiting", "reading", "done", "failed"]
    progress: float | None = Field(
        ge=0, le=1, description="share of the video that is read; null if its end is unknown"
    )
    seconds: float = Field(ge=0, description="seconds of the video that are read")
    frames: int = Field(ge=0, description="frames in the results so far")
    error: str | None = Field(description="why it failed")
    exceeded: Exceeded | None = Field(description="the limit that it exceeds, if it failed for that")
    faults: list[str] = Field(description="what was wrong with the video, which was read as far as possible")
    expires_in: float | None = Field(description="seconds until the results are deleted; null before the end")


class Problem(BaseModel):
    """An RFC 9457 problem document."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    exceeded: Exceeded | None = Field(default=None, description="of a video that is refused for a limit")
