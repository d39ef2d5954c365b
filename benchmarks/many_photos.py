"""Run `mien predict` once over a hundred thousand photos: memory over time, order of the rows, resuming after kill -9.

    python benchmarks/many_photos.py --work many                       # 100,000 photos; a second run of them is killed
    nice -n 19 python benchmarks/many_photos.py --work many --minutes 60 --killed 4000    # as many as that takes

The photos are 160×120 pixels: ``VARIANTS`` files, one of them without a face and one cut off, each under thousands of
names (hard links), so that neighbours differ. Printed are the resident memory when each share of the photos was done,
the photos a second, the processor time a photo, and three checks: every photo has its rows, in natural order of the
names; all photos of a variant have the same faces; and a run of the first KILLED photos that is killed with -9 at
random moments and resumed writes the same bytes as the run that nobody stopped. Exit code 1 if a check fails.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from PIL import Image

EXAMPLE = Path(__file__).parents[1] / "examples" / "astronaut.jpg"
VARIANTS = 59
"""Different photos; a prime, so that a batch of 16 never begins with the same one twice in a row."""

A_FOLDER = 800
"""Photos of a folder; whole batches of 16, so that the first folders alone are cut into the same batches."""

SHARES = (0.01, 0.1, 0.25, 0.5, 0.75, 1.0)
WIDTH, HEIGHT = 160, 120


@dataclass(frozen=True)
class Sample:
    """What a running process held and had done: seconds since its start, lines written, bytes, seconds of CPU time."""

    seconds: float
    lines: int
    resident: int
    cpu: float


def write_variants(folder: Path) -> list[Path]:
    """Write the different photos; the last but one has no face, the last one is cut off."""
    folder.mkdir(parents=True)
    paths = [folder / f"{number}.jpg" for number in range(VARIANTS)]
    with Image.open(EXAMPLE) as picture:
        face = picture.convert("RGB").crop((140, 20, 310, 190))
    for number, path in enumerate(paths):
        photo = Image.new("RGB", (WIDTH, HEIGHT), (60 + 2 * number, 110, 120))
        side = 90 + number % 7 * 4
        if number != VARIANTS - 2:
            photo.paste(face.resize((side, side)), (10 + number % 5 * 10, (HEIGHT - side) // 2))
        photo.save(path, quality=80 + number % 11)
    paths[-1].write_bytes(paths[-1].read_bytes()[:1500])
    return paths


def link(variants: Sequence[Path], folder: Path, count: int) -> list[str]:
    """Give the variants ``count`` names in turn, in folders of ``A_FOLDER``; return the names in natural order."""
    names = []
    for number in range(count):
        path = folder / f"{number // A_FOLDER:04}" / f"{number}.jpg"
        if number % A_FOLDER == 0:
            path.parent.mkdir(parents=True)
        os.link(variants[number % VARIANTS], path)
        names.append(str(path))
    return names


def start(inputs: Sequence[Path], out: Path, *, resume: bool = False) -> subprocess.Popen[bytes]:
    """Start `mien predict` on one thread."""
    command = [sys.executable, "-m", "mien", "predict", *map(str, inputs), "--out", str(out), "--quiet"]
    command += ["--model", "fer7-nano", "--threads", "1", *(["--resume"] if resume else [])]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def watch(process: subprocess.Popen[bytes], out: Path, every: float) -> Iterator[Sample]:
    """Yield a sample every so many seconds until the process ends."""
    begun, lines, position = time.perf_counter(), 0, 0
    observed = psutil.Process(process.pid)
    while process.poll() is None:
        if out.exists():
            with out.open("rb") as stream:
                stream.seek(position)
                content = stream.read()
            position, lines = position + len(content), lines + content.count(b"\n")
        with suppress(psutil.Error):  # it may end between the two lines
            times = observed.cpu_times()
            memory = observed.memory_info().rss
            yield Sample(time.perf_counter() - begun, lines, memory, times.user + times.system)
        time.sleep(every)


def run_whole(inputs: Sequence[Path], out: Path, journal: Path, limit: float) -> list[Sample]:
    """Run without interruption, ``limit`` seconds at most; append each sample to ``journal``."""
    process, samples = start(inputs, out), []
    with journal.open("w") as stream:
        for sample in watch(process, out, 1.0):
            samples.append(sample)
            stream.write(json.dumps([sample.seconds, sample.lines, sample.resident, sample.cpu]) + "\n")
            stream.flush()
            if sample.seconds > limit:
                process.kill()
                process.wait()
                return samples
    if process.returncode != 3:
        raise SystemExit(f"The run ended with exit code {process.returncode}: expected 3, some photos unreadable.")
    return samples


def run_killed(inputs: Sequence[Path], out: Path, lines: int, kills: int) -> int:
    """Run with ``kills`` kills at random lines of the output; return how many happened."""
    draw, done = random.Random(0), 0
    stops = sorted(draw.randrange(lines // 20, lines * 19 // 20) for _ in range(kills))
    for stop in stops:
        process = start(inputs, out, resume=done > 0)
        if any(_killed(process, sample, stop) for sample in watch(process, out, 0.1)):
            done += 1
        process.wait()
    process = start(inputs, out, resume=done > 0)
    if process.wait() != 3:
        raise SystemExit(f"The resumed run ended with exit code {process.returncode}: expected 3.")
    return done


def _killed(process: subprocess.Popen[bytes], sample: Sample, stop: int) -> bool:
    if sample.lines < stop:
        return False
    process.kill()
    return True


def cut(out: Path, names: Sequence[str]) -> list[str]:
    """Cut the output of a run that was stopped back to whole folders; return the names of their photos.

    Each photo here has one row: one face, none, or an error.
    """
    lines = out.read_bytes().splitlines(keepends=True)
    done = len(names) if len(lines) > len(names) else (len(lines) - 2) // A_FOLDER * A_FOLDER
    if done <= 0:
        raise SystemExit(f"{len(lines)} lines were written: expected those of {A_FOLDER} photos. Give it more time.")
    out.write_bytes(b"".join(lines[: done + 1]))
    return list(names[:done])


def check_rows(out: Path, names: Sequence[str]) -> list[str]:
    """Return what is wrong with the rows of an output: photos that lack, their order, faces that differ."""
    with out.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    wrong = [] if list(dict.fromkeys(row["source"] for row in rows)) == list(names) else ["photos or their order"]
    numbers = {name: number for number, name in enumerate(names)}
    faces: dict[int, set[tuple[str, ...]]] = defaultdict(set)
    by_photo: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        by_photo[row["source"]].append(f"{row['left']} {row['top']} {row['emotion']} {bool(row['error'])}")
    for name, cells in by_photo.items():
        faces[numbers[name] % VARIANTS].add(tuple(cells))
    different = [number for number, kinds in faces.items() if len(kinds) > 1]
    return wrong + [f"faces of variants {different}"] * bool(different)


def report(samples: Sequence[Sample]) -> None:
    """Print memory and time."""
    last = samples[-1]
    photos = last.lines - 1  # the first line is the header
    print("| photos done | resident memory, MB | seconds | CPU time, s |\n|---|---|---|---|")
    for share in SHARES:
        sample = next((one for one in samples if one.lines >= share * last.lines), last)
        done = f"{sample.lines - 1:,} ({share:.0%})"
        print(f"| {done} | {sample.resident / 1e6:.1f} | {sample.seconds:.0f} | {sample.cpu:.0f} |")
    settled = [sample.resident for sample in samples if sample.lines >= 0.01 * last.lines]
    half = len(settled) // 2
    first, second = statistics.median(settled[:half]), statistics.median(settled[half:])
    print(f"median of the second half ÷ of the first: {second / first:.3f}; most {max(settled) / 1e6:.1f} MB")
    print(f"{photos / last.seconds:.1f} photos/s, {1000 * last.cpu / photos:.2f} ms of CPU time a photo")


def main() -> None:
    """Write the photos, run, check, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for photos and outputs; emptied first")
    parser.add_argument("--photos", type=int, default=100_000)
    parser.add_argument("--minutes", type=float, default=600, help="stop the first run then; what is done counts")
    parser.add_argument("--killed", type=int, help="photos of the run that is killed (default: all that are done)")
    parser.add_argument("--kills", type=int, default=5)
    options = parser.parse_args()
    work = options.work.resolve()
    shutil.rmtree(work, ignore_errors=True)
    names = link(write_variants(work / "variants"), work / "photos", options.photos)
    samples = run_whole([work / "photos"], work / "whole.csv", work / "samples.jsonl", 60 * options.minutes)
    names = cut(work / "whole.csv", names)
    report(samples)
    wrong = check_rows(work / "whole.csv", names)
    print(f"{len(names)} photos: rows in order, the same faces a variant: {', '.join(wrong) or 'yes'}", flush=True)
    killed = min(options.killed or len(names), len(names)) // A_FOLDER * A_FOLDER or len(names)
    folders = sorted({Path(name).parent for name in names[:killed]})
    done = run_killed(folders, work / "killed.csv", killed, options.kills)
    whole, resumed = (work / "whole.csv").read_bytes(), (work / "killed.csv").read_bytes()
    same = whole.startswith(resumed) and resumed.count(b"\n") == killed + 1
    print(f"killed {done} times and resumed, {killed} photos: {'the same bytes' if same else 'DIFFERENT'}")
    raise SystemExit(1 if wrong or not same else 0)


if __name__ == "__main__":
    main()
