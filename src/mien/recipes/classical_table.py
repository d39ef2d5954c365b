"""The ``[classical]`` table of a recipe: hand-made features and a shallow classifier. Imports pydantic only."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Count = Annotated[int, Field(ge=1)]


class ClassicalTable(BaseModel):
    """Hand-made features of a face and the classifier fitted on them.

    Attributes:
        features: ``hog``, ``lbp``, ``gabor`` (see ``descriptors``), ``pixels``: the crop itself, or ``network``: what a
            finished model's network has before its dense layers.
        trunk: network only: that model, by name or path; ``preprocess`` must be its.
        cell: side in pixels of the square cells over which hog, lbp and gabor are pooled.
        block: hog only: a block of ``block`` × ``block`` cells is normalised together.
        orientations: hog: bins of unsigned gradient direction; gabor: filter directions.
        scales: gabor only: wavelengths, from 4 pixels on in half-octave steps.
        radius: lbp only: distance in pixels of the 8 neighbours from the centre.
        scale: gives every feature zero mean and unit variance over the training faces.
        components: principal components kept of the (scaled) features; 0 keeps the features themselves.
        classifier: ``svm``: exact C-support-vector machine, one against one (Cortes & Vapnik 1995); its cost grows with
            the square of the faces. ``knn``: vote of the ``neighbours`` nearest training faces.
        kernel, c, gamma: of the svm; gamma 0 is scikit-learn's ``scale``, 1 / (features × their variance); a linear
            kernel has no gamma.
        class_weights: svm only: weights each class's errors by the inverse of its frequency, so that all classes count
            the same.
        mirror: adds a mirrored copy of every training face: twice the faces, four times an svm's training time.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    features: Literal["hog", "lbp", "gabor", "pixels", "network"] = "hog"
    trunk: str = ""
    cell: Annotated[int, Field(ge=2)] = 8
    block: Count = 2
    orientations: Annotated[int, Field(ge=2)] = 8
    scales: Count = 5
    radius: Count = 1
    scale: bool = False
    components: Annotated[int, Field(ge=0)] = 0
    classifier: Literal["svm", "knn"] = "svm"
    kernel: Literal["rbf", "linear"] = "rbf"
    c: Annotated[float, Field(gt=0)] = 1.0
    gamma: Annotated[float, Field(ge=0)] = 0.0
    neighbours: Count = 5
    class_weights: bool = False
    mirror: bool = False

    @model_validator(mode="after")
    def _fits_together(self) -> ClassicalTable:
        if self.classifier == "knn" and self.class_weights:
            raise ValueError('class_weights needs classifier = "svm"; nearest neighbours have no class weights')
        if bool(self.trunk) != (self.features == "network"):
            raise ValueError('features = "network" and trunk, the name of a model, need each other')
        if self.kernel == "linear" and self.gamma:
            raise ValueError('gamma needs kernel = "rbf"; a linear kernel has none')
        return self
