"""System A's claim on speed, measured: its CNN and MobileNetV2 in ONNX Runtime, in turns."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import torch

from mien.reproduction.claims import published
from mien.reproduction.finding import Finding, Speed, conclude

if TYPE_CHECKING:
    from torch import nn

    from mien.recognition.session import Session

SIDE, CLASSES = 48, 10
SECONDS = 0.2
"""Time that one network has in one round."""


def measure(rounds: int = 15, *, seconds: float = SECONDS) -> Speed:
    """Time system A's CNN and its MobileNetV2 on one face, on one thread, in turns; weights do not matter.

    Args:
        seconds: time that each network has in each round. A round's time is the median of its calls.
    """
    from torchvision.models import mobilenet_v2

    from mien.networks.networks import FourBlock

    with torch.random.fork_rng(devices=[]):
        networks = {1: FourBlock(CLASSES), 3: mobilenet_v2(weights=None, num_classes=CLASSES)}
    sessions = {channels: _session(network.eval(), channels) for channels, network in networks.items()}
    times: dict[int, list[float]] = {channels: [] for channels in sessions}
    for _ in range(rounds):
        for channels, session in sessions.items():
            times[channels].append(_time(session, channels, seconds))
    return Speed(median(times[1]), median(times[3]), threads=1, rounds=rounds)


def _session(network: nn.Module, channels: int) -> Session:
    from mien.export.export import to_onnx
    from mien.preprocess import PreprocessSpec
    from mien.recognition.session import OnnxSession

    return OnnxSession(to_onnx(network, PreprocessSpec(size=SIDE, channels=channels)), threads=1)


def _time(session: Session, channels: int, seconds: float) -> float:
    """Return the median time of a call, in milliseconds."""
    face = np.zeros((1, channels, SIDE, SIDE), np.float32)
    session.logits(face)
    calls: list[float] = []
    end = time.perf_counter() + seconds
    while not calls or time.perf_counter() < end:
        start = time.perf_counter()
        session.logits(face)
        calls.append(1000 * (time.perf_counter() - start))
    return median(calls)


def compare_speed(speed: Speed | None) -> Finding:
    """Judge the claim that the CNN is 5.3 times as fast as MobileNetV2; undecided where nothing was timed."""
    claims = {(claim.model, claim.what): claim.value for claim in published("A").claims}
    claimed = claims["MobileNetV2", "speed-up of the CNN"]
    cnn, mobilenet = claims["CNN", "time"], claims["MobileNetV2", "time"]
    return conclude(
        "A",
        f"The CNN is {claimed:g} times as fast as MobileNetV2 (Table V, section VI.C)",
        f"{claimed:g} ×: {cnn:g} against {mobilenet:g} ms/step",
        "not timed" if speed is None else _describe(speed),
        None if speed is None else speed.mobilenet / speed.cnn >= claimed,
        why=f"A's times are those of batches in Keras on a GPU, {mobilenet / cnn:.1f} ×; ours of one face of "
        f"{SIDE}×{SIDE} in ONNX Runtime on a CPU, where a camera's faces come one by one.",
    )


def _describe(speed: Speed) -> str:
    ratio = speed.mobilenet / speed.cnn
    verdict = f"{ratio:.1f} times as fast" if ratio >= 1 else f"{1 / ratio:.1f} times slower"
    threads = f"{speed.threads} thread{'s' * (speed.threads > 1)}"
    return f"{verdict}: {speed.cnn:.2f} against {speed.mobilenet:.2f} ms a face on {threads}"
