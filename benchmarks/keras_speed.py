"""Training speed of system A's network: Mien against Keras 3 on TensorFlow, same machine, same run.

    python benchmarks/keras_speed.py [--rounds 3] [--peer PYTHON]

Both train the four-block network (7 outputs, 48×48 grey, batches of 64) on the same generated faces in memory, with
Adam 1e-3, categorical cross-entropy, ℓ2 and system A's augmentation (flip, ±10°, shift ±0.1, zoom ±0.1). Keras does it
as its documents do: preprocessing layers in a tf.data pipeline with prefetch, `compile`, `fit`. Mien does it by
`mien.training.fit.fit`. Each side is a process with its library's default threads; they take turns in rounds.
Sides that do less, or that are slower and only show where the time goes, are in the first round alone.

Images/s are those of the median epoch after a warm-up epoch, over whole epochs: shuffling, augmentation, optimiser,
metrics, and with Mien the checkpoints too. A ratio is taken within a round; ratios and images/s are medians of the
rounds, with their range. Bar: at least 2.0 × the fastest Keras side that does the same work. Processor time
an image, of all threads, is printed too: on a machine with other work it varies far less than images/s.

Keras comes from a temporary virtual environment (2 GB, removed afterwards), or from the Python that `--peer` names.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

# This file also runs in the peer environment, which has nothing of Mien: imports of libraries stand in functions.
BAR = 2.0
SIZE, CLASSES, BATCH = 48, 7, 64
ROTATE, SHIFT, ZOOM = 10, 0.1, 0.1
CPU_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")


@dataclass(frozen=True)
class Side:
    """One way to train. ``contends``: it is in every round; the others show where the time goes, in the first only."""

    name: str
    framework: str
    augment: bool = True
    bfloat16: bool = False
    channels_last: bool = True
    jit: bool | str = "auto"
    contends: bool = False


MIEN = Side("Mien", "mien", bfloat16=True, contends=True)
DEFAULTS = Side("Keras, defaults", "keras", contends=True)
SIDES = (
    MIEN,
    DEFAULTS,
    Side("Keras, mixed_bfloat16", "keras", bfloat16=True, contends=True),
    Side("Keras, XLA", "keras", jit=True),
    Side("Keras, no augmentation", "keras", augment=False),
    Side("Mien, float32, channels first", "mien", channels_last=False),
    Side("Mien, no augmentation", "mien", augment=False, bfloat16=True),
)


def faces(count: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return generated faces, uint8 (N, 48, 48), and labels, int64 (N,); the same for both libraries."""
    import numpy as np

    random = np.random.default_rng(0)
    return random.integers(0, 256, (count, SIZE, SIZE), np.uint8), random.integers(0, CLASSES, count)


def train_mien(side: Side, count: int, epochs: int) -> dict[str, Any]:
    """Train with Mien; return the epochs' ends (wall and processor seconds), the parameter count and the versions."""
    import lightning
    import numpy as np
    import torch

    from mien import labels
    from mien.datasets.faces import FaceSet
    from mien.networks import networks
    from mien.recipes import recipe
    from mien.training import fit

    # Validation, on one batch, is part of the epoch; Keras has none.
    pixels, classes = faces(count + BATCH)
    splits = np.array(["Training"] * count + ["PublicTest"] * BATCH)
    data = FaceSet(labels.FER2013, pixels, classes, splits, tuple(map(str, range(len(pixels)))))
    augment = {"flip": 0.5, "rotate": ROTATE, "shift": SHIFT, "zoom": ZOOM} if side.augment else {"flip": 0}
    made = recipe.parse({"name": "speed", "augment": augment, "train": _train_table(side, epochs)})
    ends: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        fit.fit(
            made, data, Path(folder) / "run", watch=lambda epoch: ends.append((epoch.minutes * 60, time.process_time()))
        )
    return {
        "ends": ends,
        "parameters": networks.parameter_count(networks.build("four_block", CLASSES, 1)),
        "versions": {"torch": torch.__version__, "lightning": lightning.__version__},
    }


def _train_table(side: Side, epochs: int) -> dict[str, Any]:
    table: dict[str, Any] = {"epochs": epochs, "batch_size": BATCH, "optimizer": "adam", "schedule": "constant"}
    # ℓ2 of 1e-4 has the gradient 2e-4 × weight. Ours is on the kernels too, which is a little more work than Keras's.
    table |= {"rate": 1e-3, "decay": 2e-4}
    return table | {"bfloat16": side.bfloat16, "channels_last": side.channels_last}


def train_keras(side: Side, count: int, epochs: int) -> dict[str, Any]:
    """Train with Keras; return what ``train_mien`` does, and whether XLA compiled the step."""
    import keras
    import tensorflow

    if side.bfloat16:
        keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    network = keras_network(keras)
    network.compile(
        optimizer=keras.optimizers.Adam(1e-3),
        loss="categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=side.jit,
    )
    ends: list[tuple[float, float]] = []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: ends.append((time.perf_counter(), time.process_time()))
    )
    network.fit(keras_pipeline(side, count), epochs=epochs, verbose=0, callbacks=[watch], shuffle=False)
    parameters = sum(variable.numpy().size for variable in network.trainable_variables)
    versions = {"keras": keras.__version__, "tensorflow": tensorflow.__version__}
    return {"ends": ends, "parameters": parameters, "versions": versions, "jit": network.jit_compile}


def keras_network(keras: Any) -> Any:
    """Return system A's network as Keras layers."""
    layers = keras.layers
    parts = [keras.Input((SIZE, SIZE, 1))]
    for width in (32, 64, 128, 256):
        for _ in range(2):
            parts += [layers.Conv2D(width, 3, padding="same"), layers.BatchNormalization(), layers.ReLU()]
        parts += [layers.MaxPooling2D(2), layers.SpatialDropout2D(0.25)]
    parts.append(layers.GlobalAveragePooling2D())
    for width in (512, 256):
        decay = keras.regularizers.L2(1e-4)
        parts += [layers.Dense(width, activation="relu", kernel_regularizer=decay), layers.Dropout(0.5)]
    # As the mixed-precision guide says, the probabilities are float32 under every policy.
    return keras.Sequential([*parts, layers.Dense(CLASSES, activation="softmax", dtype="float32")])


def keras_pipeline(side: Side, count: int) -> Any:
    """Return a tf.data pipeline of shuffled, augmented batches."""
    import keras
    import tensorflow as tf

    pixels, classes = faces(count)
    crops = pixels[..., None].astype("float32")
    crops -= crops.mean((1, 2, 3), keepdims=True)
    crops /= crops.std((1, 2, 3), keepdims=True)
    data = tf.data.Dataset.from_tensor_slices((crops, keras.utils.to_categorical(classes, CLASSES)))
    data = data.shuffle(count).batch(BATCH, drop_remainder=True)
    if side.augment:
        change = keras_augmentation(keras)
        data = data.map(lambda x, y: (change(x, training=True), y), num_parallel_calls=tf.data.AUTOTUNE)
    return data.prefetch(tf.data.AUTOTUNE)


def keras_augmentation(keras: Any) -> Any:
    """Return system A's augmentation as preprocessing layers: float32 under every policy, edges repeated as ours."""
    layers = keras.layers
    rest = {"fill_mode": "nearest", "dtype": "float32"}
    return keras.Sequential(
        [
            layers.RandomFlip("horizontal", dtype="float32"),
            layers.RandomRotation(ROTATE / 360, **rest),
            layers.RandomTranslation(SHIFT, SHIFT, **rest),
            layers.RandomZoom((-ZOOM, ZOOM), **rest),
        ]
    )


def work(name: str, count: int, epochs: int) -> None:
    """Be one side: train, and print what was measured as the last line, JSON."""
    side = next(side for side in SIDES if side.name == name)
    train = train_mien if side.framework == "mien" else train_keras
    print("\n" + json.dumps(train(side, count, epochs)))


def measure(side: Side, peer: Path, count: int, epochs: int) -> dict[str, Any]:
    """Run one side as a process and return what it measured.

    Of the median epoch: ``speed``, images/s, and ``processor``, ms an image of processor time of all threads.
    """
    # -I keeps PYTHONPATH, which may hold Mien's packages, out of the peer.
    python = [sys.executable] if side.framework == "mien" else [str(peer), "-I"]
    command = [*python, __file__, "--work", side.name, "--faces", str(count), "--epochs", str(epochs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{side.name} failed:\n{done.stderr[-4000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    pairs = list(pairwise(found["ends"]))
    seconds, processor = (statistics.median(end[kind] - begun[kind] for begun, end in pairs) for kind in (0, 1))
    found |= {"speed": count / seconds, "processor": 1000 * processor / count}
    jit = f", XLA {found['jit']}" if "jit" in found else ""
    print(
        f"  {side.name:<32}{found['speed']:7.1f} images/s, processor {found['processor']:.2f} ms/image{jit}", flush=True
    )
    return found


@contextmanager
def peer_python(given: Path | None, package: str) -> Iterator[Path]:
    """Give the Python that has Keras: the given one, or that of a new environment which lives as long as the block."""
    if given:
        yield given
        return
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", "keras>=3", package], check=True)
        yield python


def machine() -> str:
    """Return system, cores and those of ``CPU_FLAGS`` that the processor has."""
    listed = Path("/proc/cpuinfo")
    words = set(listed.read_text().split()) if listed.exists() else set()
    flags = " ".join(flag for flag in CPU_FLAGS if flag in words) or "flags unknown"
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {flags}"


def spread(values: list[float], digits: int) -> str:
    """Return median and, of several values, range."""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def ratios(rounds: list[dict[str, Any]], side: Side, kind: str) -> list[float]:
    """Return how many times less time an image takes Mien than the side, one number a round that has the side."""
    # Speed is images per time; processor is time per image.
    sign = 1 if kind == "speed" else -1
    return [(each[MIEN.name][kind] / each[side.name][kind]) ** sign for each in rounds if side.name in each]


def report(rounds: list[dict[str, Any]]) -> None:
    """Print the table, the parameter counts and the headline."""
    print("\n| side | images/s | Mien / side | processor ms/image | Mien / side by it |\n|---|---|---|---|---|")
    sides = [side for side in SIDES if side.name in rounds[0]]
    for side in sides:
        cells = []
        for kind, digits in (("speed", 0), ("processor", 2)):
            found = [each[side.name][kind] for each in rounds if side.name in each]
            cells += [spread(found, digits), spread(ratios(rounds, side, kind), 2)]
        print(f"| {side.name} | {' | '.join(cells)} |")
    counts = {side.framework: rounds[0][side.name]["parameters"] for side in sides}
    print(f"\ntrainable parameters: Mien {counts['mien']:,}, Keras {counts['keras']:,}")
    rivals = [side for side in sides if side.framework == "keras" and side.augment]
    for kind, words in (("speed", "images/s"), ("processor", "processor time")):
        medians = {side.name: statistics.median(ratios(rounds, side, kind)) for side in rivals}
        best = min(medians, key=lambda name: medians[name])
        print(
            f"by {words}: Mien / fastest Keras with the same work ({best}) {medians[best]:.2f} (bar: {BAR}), "
            f"Mien / Keras as its defaults are {medians[DEFAULTS.name]:.2f}"
        )


def main() -> None:
    """Measure by turns and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--faces", type=int, default=3200, help="of one epoch; a multiple of 64")
    parser.add_argument("--epochs", type=int, default=4, help="with the warm-up epoch")
    parser.add_argument("--peer", type=Path, help="Python of an environment that has Keras 3 and TensorFlow")
    parser.add_argument("--tensorflow", default="tensorflow-cpu", help="package to install; macOS has tensorflow only")
    parser.add_argument("--brief", action="store_true", help="only the sides that are in every round")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work, options.faces, options.epochs)
        return
    rounds: list[dict[str, Any]] = []
    with peer_python(options.peer, options.tensorflow) as peer:
        for number in range(options.rounds):
            print(f"round {number + 1}", flush=True)
            sides = [side for side in SIDES if side.contends or (number == 0 and not options.brief)]
            rounds.append({side.name: measure(side, peer, options.faces, options.epochs) for side in sides})
    versions = {name: version for found in rounds[0].values() for name, version in found["versions"].items()}
    print(f"\n{machine()}; Python {platform.python_version()}", *(f"{n} {v}" for n, v in versions.items()), sep=", ")
    report(rounds)


if __name__ == "__main__":
    main()
