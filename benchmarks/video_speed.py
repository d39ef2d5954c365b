"""What a film costs: times real time, memory of an hour beside that of a minute, runs that are killed and go on.

    MIEN_DATA=… python benchmarks/video_speed.py [--seconds 20]     # speed, and what a cadence costs in accuracy
    python benchmarks/video_speed.py --long [--minutes 60]          # peak memory, all outputs written; takes a while
    python benchmarks/video_speed.py --cuts 10                      # killed at random moments, resumed, compared

The film is 640×480 at 30 frames a second with one face of KDEF whose emotion changes every one to three seconds and
whose every frame is disturbed (see benchmarks/video_smoothing.py); without MIEN_DATA the face of the example photo.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import mien

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import films

EXAMPLES = Path(__file__).parents[1] / "examples"
RATE, BAR_SPEED, BAR_MEMORY = 30, 3.0, 1.3
CADENCES = (1, 2, 3, 5)
PEAK = (
    "import resource, sys; from mien.cli import main; main(sys.argv[1:]);"
    "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
)


def one_face(path: Path, seconds: float, data: Path | None, seed: int = 0) -> list[tuple[float, str]]:
    """Write the film; return its script (end in seconds, emotion), empty for the example photo."""
    films.WIDTH, films.HEIGHT = 640, 480
    if data is None:
        looks, script = {"": films.head(EXAMPLES)}, [(seconds, "")]
    else:
        looks = films.faces_of_kdef(data / "kdef_frontal350.zip", [f"AF{20 + seed}"])[f"AF{20 + seed}"]
        script = films.emotions(sorted(looks), seed, spans=math.ceil(seconds))
    actor = films.Actor(
        lambda t: (320 + 80 * math.sin(t), 240 + 20 * math.cos(1.7 * t)),
        lambda t: looks[films.shown(script, t)],
        lambda t: 260 + 30 * math.sin(0.7 * t),
    )
    times = [round(at * 1000 / RATE) / 1000 for at in range(round(seconds * RATE))]
    films.write(path, films.scene([actor], times, shake=1.0 if data else 0.0, seed=seed), times, quality=23)
    return script if data else []


def speed(seconds: float, data: Path | None) -> None:
    """Print times real time and the share of frames that are right, for each cadence."""
    recognizer = mien.load()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        script = one_face(path, seconds, data)
        list(recognizer.stream(mien.Film(path, every=10)))  # warm up
        print(f"640×480, {RATE} frames/s, {seconds:g} s, one face, {os.cpu_count()} cores")
        print(f"{'faces searched in':<22}{'× real time':>12}{'with a face':>13}{'right':>9}{'ids':>5}")
        for every in CADENCES:
            begun = time.perf_counter()
            found = list(recognizer.stream(mien.Film(path), detect_every=every))
            took = time.perf_counter() - begun
            there = [result for result in found if result.people]
            right = [result.people[0].emotion == films.shown(script, result.seconds) for result in there if script]
            ids = {person.id for result in found for person in result.people}
            name = "every frame" if every == 1 else f"1 frame of {every}"
            share = f"{sum(right) / len(found):.1%}" if script else "–"
            print(f"{name:<22}{seconds / took:>12.1f}{len(there) / len(found):>13.1%}{share:>9}{len(ids):>5}")
        print(f"bar: {BAR_SPEED:g} × real time")


def looped(source: Path, target: Path, times: int, length: float) -> None:
    """Write the packets of ``source``, which is ``length`` seconds long, so many times one after the other."""
    import av

    with av.open(str(target), "w") as container:
        tracks = {}
        for turn in range(times):
            with av.open(str(source)) as film:
                for track in film.streams:
                    tracks.setdefault(track.index, container.add_stream_from_template(track) if not turn else None)
                for packet in film.demux():
                    if packet.size and packet.dts is not None and packet.pts is not None:
                        shift = round(turn * length / packet.time_base)
                        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                        packet.stream = tracks[packet.stream_index]
                        container.mux(packet)


def memory(minutes: int) -> None:
    """Print the peak memory of a film of ``minutes`` and of one minute, every output written."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        one_face(base / "part.mp4", 20, None)
        peaks = []
        for length in (1, minutes):
            looped(base / "part.mp4", base / f"{length}.mp4", 3 * length, 20.5)
            out = base / f"out{length}"
            out.mkdir()
            outputs = ["--out", out / "o.parquet", "--subtitles", out / "o.vtt", "--events", out / "e.csv"]
            outputs += ["--annotated", out / "o.mp4", "--summary", out / "page", "--detect-every", "5"]
            command = [sys.executable, "-c", PEAK, "video", base / f"{length}.mp4", *outputs]
            done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True)
            peaks.append(int(done.stdout.split()[-1]) / 1024)
            print(f"{length:>4} min: {peaks[-1]:.0f} MB at most")
        print(f"ratio {peaks[1] / peaks[0]:.2f}, bar {BAR_MEMORY}")


def cuts(count: int, seconds: float, data: Path | None) -> None:
    """Kill a run at ``count`` random moments, go on each time, and compare with a run that was left alone."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        one_face(base / "film.mp4", seconds, data)
        draw = random.Random(0)
        for form in ("csv", "jsonl", "parquet"):
            _run(base, f"whole.{form}", wait=None)
            killed = sum(_run(base, f"cut.{form}", wait=draw.uniform(0.5, 3.0)) for _ in range(count))
            _run(base, f"cut.{form}", wait=None)
            same = list(_content(base / f"cut.{form}")) == list(_content(base / f"whole.{form}"))
            print(f"{form:<8} killed {killed} times; then the same as uninterrupted: {'yes' if same else 'NO'}")


def _run(base: Path, name: str, wait: float | None) -> bool:
    """Return whether the run had to be killed, which is done after ``wait`` seconds."""
    command = [sys.executable, "-m", "mien", "video", str(base / "film.mp4"), "--out", str(base / name), "--resume"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            process.wait(wait)
        except subprocess.TimeoutExpired:
            process.kill()
            return True
        return False


def _content(path: Path) -> Iterator[bytes]:
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        yield file.read_bytes()


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--cuts", type=int, default=0)
    options = parser.parse_args()
    data = Path(os.environ["MIEN_DATA"]) if os.environ.get("MIEN_DATA") else None
    if options.long:
        memory(options.minutes)
    elif options.cuts:
        cuts(options.cuts, options.seconds, data)
    else:
        speed(options.seconds, data)


if __name__ == "__main__":
    main()
