"""The peers: what is installed for each, which file of this folder asks it, and what had to be mended or left out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@dataclass(frozen=True)
class Environment:
    """What is installed together: Python packages, or npm packages for Node."""

    name: str
    python: tuple[str, ...] = ()
    node: tuple[str, ...] = ()


@dataclass(frozen=True)
class Peer:
    """One row of the table.

    worker:   the file of this folder that asks the peer.  options: words that the file is given.
    note:     what was mended, and what the figures do not cover.
    trained:  false for a network of first weights, which is timed only.
    detects:  it finds faces by itself; if not, it is given crops only.
    alone:    the environment is this peer's own, so its size is the peer's.
    """

    name: str
    environment: Environment
    worker: str
    options: tuple[str, ...] = ()
    note: str = ""
    trained: bool = True
    detects: bool = True
    alone: bool = True


MIEN = Environment("mien", (str(ROOT),))
FER = Environment("fer", ("fer", "opencv-contrib-python<5", "setuptools<81", "mtcnn"))
DEEPFACE = Environment("deepface", ("deepface", "werkzeug", "flask"))
HSEMOTION = Environment("hsemotion-onnx", ("hsemotion-onnx",))
EMOTIEFFLIB = Environment("emotiefflib", ("emotiefflib",))
_WASM = ("@tensorflow/tfjs", "@tensorflow/tfjs-backend-wasm", "jpeg-js", "pngjs")
FACE_API = Environment("face-api", node=("@vladmandic/face-api", *_WASM))
HUMAN = Environment("human", node=("@vladmandic/human", *_WASM))

_CROPS_ONLY = "Crops only: the package has no face detector."
_IN_WASM = (
    "TensorFlow.js on WebAssembly: its native build downloads a binary that the package registry does not hold. "
    "Photos are decoded in JavaScript (jpeg-js, pngjs)."
)

PEERS = (
    Peer(
        "fer", FER, "peer_fer.py",
        note="Haar cascade and int8 TFLite network, its defaults. Installed with OpenCV below 5, which has the "
        "cascade, and setuptools below 81, which has pkg_resources; its environment holds the package "
        "mtcnn too. Answers are rounded to two digits.",
    ),
    Peer(
        "fer, MTCNN", FER, "peer_fer.py", ("mtcnn",), alone=False,
        note="fer with the MTCNN detector of facenet-pytorch instead of the cascade.",
    ),
    Peer(
        "mtcnn and fer", FER, "peer_fer.py", ("mtcnn-package",), alone=False,
        note="The detector of the package mtcnn, whose boxes are given to fer.",
    ),
    Peer(
        "deepface", DEEPFACE, "peer_deepface.py",
        note="OpenCV detector, its default. Installed with werkzeug and flask, which it imports and does not ask for.",
    ),
    Peer("hsemotion-onnx", HSEMOTION, "peer_hsemotion.py", detects=False, note=_CROPS_ONLY),
    Peer("EmotiEffLib", EMOTIEFFLIB, "peer_emotiefflib.py", detects=False, note=_CROPS_ONLY),
    Peer("face-api.js", FACE_API, "peer_face_api.cjs", note=f"SSD MobileNet V1 detector. {_IN_WASM}"),
    Peer("human.js", HUMAN, "peer_human.cjs", note=f"BlazeFace detector with mesh, its default. {_IN_WASM}"),
    Peer(
        "Keras, predict()", FER, "peer_keras.py", ("predict",), trained=False, detects=False, alone=False,
        note="System A's network of 1.44 M parameters in Keras on TensorFlow, first weights: timed, not scored.",
    ),
    Peer(
        "Keras, compiled call", FER, "peer_keras.py", ("function",), trained=False, detects=False, alone=False,
        note="The same network called inside tf.function, which is faster than predict() for few faces.",
    ),
)  # fmt: skip


def mien(model: str) -> Peer:
    """Return Mien with a shipped model or an .onnx file."""
    name = Path(model).stem if model.endswith(".onnx") else model
    path = str(Path(model).resolve()) if model.endswith(".onnx") else model
    return Peer(f"Mien, {name}", MIEN, "peer_mien.py", (path,), note="YuNet detector, its default.")
