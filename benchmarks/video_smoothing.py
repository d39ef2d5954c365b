"""Which smoothing over time reads emotions best? Films of KDEF faces whose emotion changes every one to three seconds.

    MIEN_DATA=… python benchmarks/video_smoothing.py [--people 14] [--shake 1]

Every frame is disturbed on its own: light, noise, motion blur, a turn, something before the face. The frames go
through the film reader, the tracker and the network once; the methods then work on the same probabilities. Half of the
people choose the method and its time constant, the other half measure it. Prints the share that is right of frames; of
whole seconds: the emotion in most of a second's frames against the one that was shown in most of it; and of readings
once a second: what is said of each second's first frame against what it shows.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import mien
from mien.tracking.smoothing import Smoother

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import films

Values = NDArray[np.float64]
CONSTANTS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 1.0)
PEOPLE = [f"{group}{number:02}" for number in range(1, 36) for group in ("AF", "AM")]


@dataclass(frozen=True)
class Reading:
    """One film: times (N,), raw probabilities (N, C) of the frames with a face, and what was shown."""

    times: Values
    raw: Values
    truth: list[str]


def readings(recognizer: mien.Recognizer, data: Path, people: int, shake: float) -> Iterator[Reading]:
    """Make a film of each person and read it."""
    faces = films.faces_of_kdef(data / "kdef_frontal350.zip", PEOPLE[:people])
    for seed, looks in enumerate(faces.values()):
        script = films.emotions(sorted(looks), seed)
        yield read(recognizer, looks, script, shake, seed)


def read(
    recognizer: mien.Recognizer,
    looks: dict[str, films.Pixels],
    script: list[tuple[float, str]],
    shake: float,
    seed: int,
) -> Reading:
    """Write one film, follow it, return what each frame alone said."""
    actor = films.Actor(
        lambda t: (160 + 50 * math.sin(t), 120 + 8 * math.cos(1.7 * t)),
        lambda t: looks[films.shown(script, t)],
        lambda t: 150 + 20 * math.sin(0.7 * t),
    )
    times = films.vary(script[-1][0], seed + 1)
    with tempfile.TemporaryDirectory() as folder:
        film = films.write(Path(folder) / "film.mp4", films.scene([actor], times, shake=shake, seed=seed), times)
        found = [(r.seconds, r.people[0].raw) for r in recognizer.stream(mien.Film(film), smooth=0) if r.people]
    seconds = [time for time, _ in found]
    return Reading(np.array(seconds), np.array([raw for _, raw in found]), [films.shown(script, t) for t in seconds])


def mean_of_shares(reading: Reading, constant: float) -> Values:
    """The package's own way: an exponential mean of the probabilities."""
    return _smoothed(reading.times, reading.raw, constant)


def mean_of_logs(reading: Reading, constant: float) -> Values:
    """Exponential mean of their logarithms."""
    return _smoothed(reading.times, np.log(np.maximum(reading.raw, 1e-6)), constant)


def _smoothed(times: Values, rows: Values, constant: float) -> Values:
    smoother = Smoother(constant)
    return np.array([smoother.update(1, time, row) for time, row in zip(times, rows.tolist(), strict=True)])


def window(reading: Reading, constant: float) -> Values:
    """Plain mean over the frames of the last two time constants, which are as old on average."""
    starts = np.searchsorted(reading.times, reading.times - 2 * constant)
    return np.array([reading.raw[start : at + 1].mean(0) for at, start in enumerate(starts)])


def markov(reading: Reading, constant: float) -> Values:
    """Hidden Markov model, forward only: an emotion lasts ``constant`` × 10 seconds on average, frames are evidence."""
    belief, last, out = np.full(reading.raw.shape[1], 1 / reading.raw.shape[1]), reading.times[0], []
    for time, row in zip(reading.times, reading.raw, strict=True):
        stay = math.exp(-(time - last) / (10 * constant))
        belief = (stay * belief + (1 - stay) / len(belief)) * np.maximum(row, 1e-6)
        belief, last = belief / belief.sum(), time
        out.append(belief)
    return np.array(out)


METHODS: dict[str, Callable[[Reading, float], Values]] = {
    "mean of probabilities": mean_of_shares,
    "mean of logarithms": mean_of_logs,
    "window": window,
    "hidden Markov": markov,
}


def score(
    readings: Sequence[Reading], labels: Sequence[str], method: Callable[[Reading], Values]
) -> tuple[float, float, float]:
    """Return the shares of frames, of whole seconds and of readings once a second that are right."""
    frames, seconds, once = [], [], []
    for each in readings:
        said = [labels[place] for place in method(each).argmax(1)]
        frames += [one == other for one, other in zip(said, each.truth, strict=True)]
        whole = each.times.astype(int)
        for second in np.unique(whole):
            there = np.flatnonzero(whole == second)
            once.append(said[there[0]] == each.truth[there[0]])
            seconds.append(most(said[place] for place in there) == most(each.truth[place] for place in there))
    return float(np.mean(frames)), float(np.mean(seconds)), float(np.mean(once))


def most(words: Iterator[str]) -> str:
    """Return the commonest."""
    return Counter(words).most_common(1)[0][0]


def tables(found: Sequence[Reading], labels: Sequence[str]) -> None:
    """Print how every method and constant does on the first half of the people, and the best of each on the others."""
    chosen, measured = found[::2], found[1::2]
    _line("none", "", score(chosen, labels, lambda each: each.raw), head="people who choose")
    best: dict[str, tuple[float, float]] = {}
    for name, method in METHODS.items():
        for constant in CONSTANTS:
            right = score(chosen, labels, lambda each, m=method, c=constant: m(each, c))
            _line(name, constant, right)
            best[name] = max(best.get(name, (0.0, 0.0)), (right[0] + right[1], constant))
    _line("none", "", score(measured, labels, lambda each: each.raw), head="the other people")
    for name, (_, constant) in best.items():
        _line(name, constant, score(measured, labels, lambda each, m=METHODS[name], c=constant: m(each, c)))


def _line(name: str, constant: float | str, right: tuple[float, float, float], head: str = "") -> None:
    if head:
        print(f"\n{head:<24}{'constant':>9}{'frames':>9}{'seconds':>9}{'once':>9}")
    print(f"{name:<24}{constant:>9}" + "".join(f"{share:>9.1%}" for share in right))


def main() -> None:
    """Read the films, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=14)
    parser.add_argument("--shake", type=float, default=1.0)
    options = parser.parse_args()
    recognizer = mien.load()
    found = list(readings(recognizer, Path(os.environ["MIEN_DATA"]), options.people, options.shake))
    print(f"{len(found)} films, {sum(len(each.times) for each in found):,} frames with a face; shake {options.shake:g}")
    tables(found, recognizer.labels)


if __name__ == "__main__":
    main()
