"""Maps without torch on real faces: are they better than chance, and what do they cost?

    MIEN_DATA=… python benchmarks/explain.py [--faces 300] [--threads 2] [--model default]

Explains the most probable class of PrivateTest faces with the method of the light install (occlusion) and prints the
mean deletion and insertion areas beside those of random maps, of a blob in the middle (what a map scores that only
knows where faces are) and of the map of another face; Wilcoxon's signed-rank test over faces, one-sided; and the time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wilcoxon

import mien
from mien.datasets import faces as face_sets
from mien.interpret import faithfulness
from mien.interpret.explain import Occlusion
from mien.interpret.faithfulness import Baseline
from mien.preprocess import apply

BAR_MS, BAR_P = 60, 0.01
NAMES = ("own map", "random maps", "blob in the middle", "map of another face")


def faces(data: Path, count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return ``count`` PrivateTest faces, uint8 (count, 48, 48), drawn without regard to class."""
    private = face_sets.load(data / "fer2013.zip").part("PrivateTest")
    return private.pixels[np.random.default_rng(seed).choice(len(private), count, replace=False)]


def timed_maps(
    recognizer: mien.Recognizer, crops: NDArray[np.uint8]
) -> tuple[list[NDArray[np.float32]], list[int], list[float], list[float]]:
    """Return map, class, and wall and processor seconds of each face, from the crop to the map."""
    method, spec = Occlusion(recognizer.classify_inputs), recognizer.bundle.preprocess
    method.maps(apply(crops[:1], spec)[0], [0])
    maps, classes, wall, processor = [], [], [], []
    for crop in crops:
        begun, busy = time.perf_counter(), time.process_time()
        face = apply([crop], spec)[0]
        best = int(recognizer.classify_inputs(face[None])[0].argmax())
        maps.append(method.maps(face, [best])[0])
        wall.append(time.perf_counter() - begun)
        processor.append(time.process_time() - busy)
        classes.append(best)
    return maps, classes, wall, processor


def areas(
    recognizer: mien.Recognizer,
    inputs: NDArray[np.float32],
    maps: Sequence[NDArray[np.float32]],
    classes: Sequence[int],
    baseline: Baseline,
) -> NDArray[np.float64]:
    """Return (faces, 4, 2): deletion and insertion area of the maps in ``NAMES`` for each face."""
    side = inputs.shape[-1]
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    blob = -np.hypot(y, x).astype(np.float32)
    found = []
    for place, (face, own, best) in enumerate(zip(inputs, maps, classes, strict=True)):
        half = faithfulness.random_maps(side, faithfulness.smoothness(own[None]), faithfulness.TRIALS // 2, place)
        shown = np.stack([own, blob, maps[place - 1]])
        every = np.concatenate([shown, -shown, half, -half])
        measured = faithfulness.deletion_areas(recognizer.classify_inputs, face, every, baseline)[:, best]
        chance = measured[6:].mean()
        pairs = list(zip(measured[:3], measured[3:6], strict=True))
        found.append([pairs[0], (chance, chance), pairs[1], pairs[2]])
    return np.array(found)


def report(measured: NDArray[np.float64], baseline: Baseline) -> float:
    """Print one table; return the p-value of own against random maps by deletion."""
    print(f"\nDeleted pixels show the {'blurred face' if baseline == 'blur' else 'mean grey'}:\n")
    print("| | deletion area | own map better on | p | insertion area | own map better on | p |")
    print("|---|---|---|---|---|---|---|")
    for place, name in enumerate(NAMES):
        sides = [_compared(measured, place, kind) for kind in (0, 1)]
        print(f"| {name} | {' | '.join(cell for side in sides for cell in side)} |")
    return float(wilcoxon(measured[:, 1, 0] - measured[:, 0, 0], alternative="greater").pvalue)


def _compared(measured: NDArray[np.float64], place: int, kind: int) -> tuple[str, str, str]:
    """Return mean area, share of faces on which the own map is better, p; low deletion (0), high insertion (1)."""
    mean = f"{measured[:, place, kind].mean():.3f}"
    if place == 0:
        return mean, "—", "—"
    gain = (measured[:, place, kind] - measured[:, 0, kind]) * (-1 if kind else 1)
    return mean, f"{(gain > 0).mean():.0%}", f"{wilcoxon(gain, alternative='greater').pvalue:.1e}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=300)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--model", default="default")
    options = parser.parse_args()
    crops = faces(Path(os.environ["MIEN_DATA"]), options.faces)
    recognizer = mien.load(options.model, detector="whole", threads=options.threads)
    maps, classes, wall, processor = timed_maps(recognizer, crops)
    inputs = apply(crops, recognizer.bundle.preprocess)
    print(f"{len(crops)} PrivateTest faces, {recognizer.bundle.name}, {options.threads} threads")
    p_values = {kind: report(areas(recognizer, inputs, maps, classes, kind), kind) for kind in ("blur", "mean")}
    middle, busy = statistics.median(wall) * 1000, statistics.median(processor) * 1000
    print(f"\n{middle:.1f} ms a face (median; bar: {BAR_MS}), {busy:.1f} ms of processor time over all threads")
    worst = max(p_values.values())
    print(f"bar {'met' if worst < BAR_P and middle <= BAR_MS else 'MISSED'}: p = {worst:.1e} (bar: {BAR_P})")


if __name__ == "__main__":
    main()
