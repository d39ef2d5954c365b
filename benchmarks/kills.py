"""Kill commands with -9 at random moments, run them again with --resume, and compare with a run that nobody killed.

    python benchmarks/kills.py --kills 200                     # train, predict, video, index and scale, 40 each
    python benchmarks/kills.py --kills 20 --verbs train        # one of them
    python benchmarks/kills.py --kills 200 --seed 1 --out kills

Each case begins in an empty folder. It is killed between the moment at which a whole run first wrote something and the
end of one, in one of five cases anywhere; in one of three the resumed run is killed too. KILLS.json in --out has every
case, and is gone on with. Exit code 1 if any resumed run failed or ended otherwise than the whole one.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import psutil
from PIL import Image

EXAMPLE = Path(__file__).parents[1] / "examples" / "astronaut.jpg"
RECIPE = """
name = "killed"
[preprocess]
size = 16
[augment]
flip = 0.0
[train]
epochs = 6
batch_size = 16
rate = 0.003
"""
WAIT = 900
"""Seconds for a run; none needs more than sixty on an idle machine."""


class Verb(ABC):
    """A command and its inputs, made once in ``folder``; each run of it has a folder ``out`` of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.prepare()

    @abstractmethod
    def prepare(self) -> None:
        """Make the inputs."""

    @abstractmethod
    def command(self, out: Path, *, resume: bool) -> list[str]:
        """Return what follows ``mien``."""

    @abstractmethod
    def result(self, out: Path) -> dict[str, Any]:
        """Return what two runs must have in common: name → content."""


def face(turned: int, size: int = 48) -> Image.Image:
    """Return the example's face."""
    with Image.open(EXAMPLE) as photo:
        return photo.convert("RGB").crop((165, 45, 285, 195)).resize((size, size)).rotate(turned)


def files(folder: Path) -> dict[str, Any]:
    """Return the files of a folder but hidden ones, by name."""
    kept = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(folder)): path.read_bytes() for path in kept}


class Train(Verb):
    """Six epochs of a small network on generated faces."""

    def prepare(self) -> None:
        """Write bright bars on noise as FER2013's folders."""
        (self.folder / "killed.toml").write_text(RECIPE)
        draw = np.random.default_rng(0)
        names = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
        with zipfile.ZipFile(self.folder / "fer.zip", "w") as archive:
            for split, count in (("Training", 24), ("PublicTest", 6), ("PrivateTest", 6)):
                for number in range(count * len(names)):
                    label = number % len(names)
                    pixels = draw.integers(0, 90, (48, 48)).astype(np.uint8)
                    pixels[:, 4 + 6 * label : 9 + 6 * label] += 150
                    content = io.BytesIO()
                    Image.fromarray(pixels).save(content, "PNG")
                    part = "train" if split == "Training" else "test"
                    archive.writestr(f"{part}/{names[label]}/{split}_{number:05d}.png", content.getvalue())

    def command(self, out: Path, *, resume: bool) -> list[str]:
        """Train."""
        inputs = [str(self.folder / "killed.toml"), "--data", str(self.folder / "fer.zip")]
        return ["train", *inputs, "--out", str(out / "run"), *(["--resume"] if resume else [])]

    def result(self, out: Path) -> dict[str, Any]:
        """Return the model file but what says when, the metrics but what they took, and the history but its seconds."""
        from mien.recognition.model_files import bundle

        run = out / "run"
        made = bundle.read(run / "model.onnx")
        with (run / "history.csv").open(newline="") as file:
            history = [{name: cell for name, cell in row.items() if name != "minutes"} for row in csv.DictReader(file)]
        metrics = json.loads((run / "metrics.json").read_text())
        kept = {name: value for name, value in metrics.items() if name != "test_scorings" and "second" not in name}
        return {"graph": made.digest, "temperature": made.temperature, "history": history, "metrics": kept}


class Predict(Verb):
    """Sixty photos, some of which cannot be read."""

    def prepare(self) -> None:
        """Write them."""
        (self.folder / "photos").mkdir()
        for number in range(60):
            path = self.folder / "photos" / f"{number:03}.jpg"
            face(number, 160 + number).save(path)
            if number % 17 == 3:
                path.write_bytes(path.read_bytes()[:200])

    def command(self, out: Path, *, resume: bool) -> list[str]:
        """Predict into the format whose turn it is."""
        form = ("jsonl", "csv", "parquet")[int(out.name) % 3]
        given = ["predict", str(self.folder / "photos"), "--out", str(out / f"out.{form}"), "--format", form]
        return [*given, "--model", "fer7-nano", "--threads", "1", *(["--resume"] if resume else [])]

    def result(self, out: Path) -> dict[str, Any]:
        """Return all files."""
        return files(out)


class Video(Verb):
    """A film of 150 frames with every output."""

    def prepare(self) -> None:
        """Let a face walk through it."""
        import av

        with av.open(str(self.folder / "film.mp4"), "w") as container:
            track: Any = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
            track.width, track.height, track.pix_fmt = 320, 240, "yuv420p"
            look = np.asarray(face(0, 100))
            for number in range(150):
                picture = np.full((240, 320, 3), 120, np.uint8)
                picture[70:170, number : number + 100] = look
                container.mux(track.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
            container.mux(track.encode())

    def command(self, out: Path, *, resume: bool) -> list[str]:
        """Follow the face."""
        form = ("jsonl", "csv", "parquet")[int(out.name) % 3]
        outputs = {"out": f"out.{form}", "subtitles": "film.vtt", "events": "events.csv", "annotated": "drawn.mp4"}
        given = [word for name, file in outputs.items() for word in (f"--{name}", str(out / file))]
        options = ["--model", "fer7-nano", "--threads", "1", "--format", form, "--no-progress"]
        return ["video", str(self.folder / "film.mp4"), *given, *options, *(["--resume"] if resume else [])]

    def result(self, out: Path) -> dict[str, Any]:
        """Return all files."""
        return files(out)


class Index(Verb):
    """A zip of 600 faces, some damaged. It has no --resume: a manifest is there whole or not at all."""

    def prepare(self) -> None:
        """Pack them."""
        with zipfile.ZipFile(self.folder / "corpus.zip", "w") as archive:
            for number in range(600):
                content = io.BytesIO()
                face(number % 360).save(content, "PNG")
                kept = content.getvalue() if number % 50 else content.getvalue()[:100]
                archive.writestr(f"{('happy', 'sad')[number % 2]}/{number}.png", kept)

    def command(self, out: Path, *, resume: bool) -> list[str]:
        """Index it."""
        return ["data", "index", str(self.folder / "corpus.zip"), "--out", str(out / "corpus.parquet")]

    def result(self, out: Path) -> dict[str, Any]:
        """Return the rows and the problems."""
        from mien.datasets import manifest

        table = manifest.read(out / "corpus.parquet").table.drop_columns(["source"])
        return {"rows": table.to_pylist(), "problems": (out / "corpus.parquet.problems.csv").read_bytes()}


class Scale(Verb):
    """Sixty photos on one worker of Ray, in blocks of sixteen."""

    def prepare(self) -> None:
        """Write them."""
        (self.folder / "photos").mkdir()
        for number in range(60):
            face(number, 160 + number).save(self.folder / "photos" / f"{number:03}.jpg")

    def command(self, out: Path, *, resume: bool) -> list[str]:
        """Predict."""
        given = ["scale", "predict", str(self.folder / "photos"), str(out / "parts"), "--block", "16", "--workers", "1"]
        return [*given, "--model", "fer7-nano", *(["--resume"] if resume else [])]

    def result(self, out: Path) -> dict[str, Any]:
        """Return the rows of all parts, and the parts' names."""
        from pyarrow import parquet

        parts = sorted((out / "parts").glob("part-*.parquet"))
        return {path.name: parquet.read_table(path).to_pylist() for path in parts}


VERBS: dict[str, type[Verb]] = {"train": Train, "predict": Predict, "video": Video, "index": Index, "scale": Scale}


@dataclass
class Timed:
    """What a whole run took: seconds until it first wrote a file, and in all; and what it left."""

    first: float
    whole: float
    result: dict[str, Any]


def start(verb: Verb, out: Path, *, resume: bool) -> subprocess.Popen[bytes]:
    """Start the command, with its output in ``out``'s log."""
    with out.with_suffix(".log").open("ab") as log:
        command = [sys.executable, "-m", "mien", *verb.command(out, resume=resume)]
        return subprocess.Popen(command, stdout=log, stderr=log, cwd=verb.folder, start_new_session=True)


def finish(verb: Verb, out: Path, *, resume: bool) -> None:
    """Run the command to its end. Raises ``RuntimeError`` with its output if it fails."""
    process = start(verb, out, resume=resume)
    try:
        code = process.wait(WAIT)
    except subprocess.TimeoutExpired:
        kill(process)
        code = -9
    if code not in (0, 3):  # 3: some photos cannot be read, as they are meant to
        raise RuntimeError(f"exit code {code}: {out.with_suffix('.log').read_text('utf-8', 'replace')[-2000:]}")


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all that it started."""
    try:
        tree = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    except psutil.NoSuchProcess:
        tree = []
    for one in tree:
        try:
            one.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait()


def measure(verb: Verb, out: Path) -> Timed:
    """Run the command whole, and note when it first wrote something."""
    out.mkdir()
    begun, first = time.monotonic(), None
    process = start(verb, out, resume=False)
    while process.poll() is None:
        if first is None and any(out.iterdir()):
            first = time.monotonic() - begun
        time.sleep(0.005)
    whole = time.monotonic() - begun
    if process.returncode not in (0, 3):
        raise RuntimeError(out.with_suffix(".log").read_text("utf-8", "replace")[-3000:])
    return Timed(first or whole / 2, whole, verb.result(out))


def interrupted(verb: Verb, out: Path, timed: Timed, random_: Random, *, resume: bool) -> bool:
    """Start the command and kill it at a random moment; return whether it was still running."""
    first = 0.0 if random_.random() < 0.2 else timed.first
    moment = random_.uniform(first, timed.whole)
    process = start(verb, out, resume=resume)
    try:
        process.wait(moment)
    except subprocess.TimeoutExpired:
        kill(process)
        return True
    return False


def case(verb: Verb, folder: Path, timed: Timed, random_: Random) -> tuple[int, str]:
    """Kill a run once or twice, resume it; return how often it was killed, and what is wrong ('' for nothing)."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    kills = int(interrupted(verb, folder, timed, random_, resume=False))
    if kills and random_.random() < 1 / 3:
        kills += interrupted(verb, folder, timed, random_, resume=True)
    if not kills:
        return 0, ""
    try:
        finish(verb, folder, resume=True)
        result = verb.result(folder)
    except Exception as error:  # noqa: BLE001 - whatever is wrong is what this looks for
        return kills, f"{type(error).__name__}: {error}"
    other = [name for name in {**result, **timed.result} if result.get(name) != timed.result.get(name)]
    return kills, f"differs: {', '.join(other)}" if other else ""


def run(name: str, options: argparse.Namespace, share: int, work: Path) -> dict[str, Any]:
    """Kill one verb ``share`` times; return the summary, kept after each case so that it is gone on with."""
    kept = options.out / f"{name}-{options.seed}.json"
    cases: list[dict[str, Any]] = json.loads(kept.read_text())["cases"] if kept.exists() else []
    if sum(one["kills"] for one in cases) < share:
        verb = VERBS[name](work / name)
        timed = {
            form: measure(verb, work / name / str(form)) for form in range(3 if name in ("predict", "video") else 1)
        }
    while sum(one["kills"] for one in cases) < share:
        number = len(cases)
        form = number % len(timed)
        kills, wrong = case(verb, work / name / str(3 + number), timed[form], Random(f"{name} {options.seed} {number}"))
        cases.append({"case": number, "kills": kills, "wrong": wrong})
        summary = {"verb": name, "kills": sum(one["kills"] for one in cases), "cases": cases}
        kept.write_text(json.dumps(summary, indent=1))
        print(f"{name} case {number}: {kills} kills, {wrong or 'equal'}", flush=True)
        if not wrong:
            shutil.rmtree(work / name / str(3 + number))
    return {"verb": name, "kills": sum(one["kills"] for one in cases), "cases": cases}


def _tried(name: str, options: argparse.Namespace, share: int, work: Path) -> dict[str, Any]:
    """Do as ``run``; a verb whose whole run fails, as Ray's may on a busy machine, counts as one that is wrong."""
    try:
        return run(name, options, share, work)
    except RuntimeError as error:
        print(f"{name} cannot be measured: {error}", flush=True)
        return {"verb": name, "kills": 0, "cases": [{"case": -1, "kills": 1, "wrong": str(error)}]}


def main(given: list[str] | None = None) -> int:
    """Kill, resume, compare, print the table; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="kills in all, dealt out to the verbs")
    parser.add_argument("--verbs", nargs="+", choices=VERBS, default=list(VERBS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("kills"))
    options = parser.parse_args(given)
    options.out.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    share = -(-options.kills // len(options.verbs))
    with tempfile.TemporaryDirectory(prefix="mien-kills-") as folder:
        summaries = [_tried(name, options, share, Path(folder)) for name in options.verbs]
    print("\n| verb | kills | resumed runs | equal |\n|---|---|---|---|")
    wrong: Counter[str] = Counter()
    for summary in summaries:
        resumed = [one for one in summary["cases"] if one["kills"]]
        wrong[summary["verb"]] += sum(bool(one["wrong"]) for one in resumed)
        print(f"| {summary['verb']} | {summary['kills']} | {len(resumed)} | {len(resumed) - wrong[summary['verb']]} |")
    return 1 if wrong.total() else 0


if __name__ == "__main__":
    sys.exit(main())
