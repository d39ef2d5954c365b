"""System A's network in Keras with first weights, by ``predict`` or by a compiled call (``function``): timed only."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

CLASSES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")


def imports(_: list[str]) -> str:
    """Import the library."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"], os.environ["CUDA_VISIBLE_DEVICES"] = "3", ""
    import keras
    import tensorflow

    return f"{keras.__version__} on TensorFlow {tensorflow.__version__}"


def load(options: list[str]) -> Any:
    """Return the reader."""
    sys.path.append(str(Path(__file__).parents[1]))
    import keras
    from keras_speed import keras_network

    network = keras_network(keras)
    if options == ["predict"]:
        return Reader(lambda batch: network.predict(batch, verbose=0))
    import tensorflow

    compiled = tensorflow.function(lambda batch: network(batch, training=False), reduce_retracing=True)
    return Reader(lambda batch: compiled(tensorflow.convert_to_tensor(batch)).numpy())


class Reader:
    """The network behind Mien's preprocessing for it: zero mean and unit variance of each crop."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def crops(self, faces: list[Any]) -> Any:
        """Answer to crops."""
        import numpy as np

        batch = np.stack(faces).astype(np.float32)[..., None]
        centred = batch - batch.mean((1, 2, 3), keepdims=True)
        deviation = np.maximum(centred.std((1, 2, 3), keepdims=True), 1.0)
        return self.answer(centred / deviation)
