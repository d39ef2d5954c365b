"""Mien beside its peers, on the same photos and crops, in one run on this machine.

    python benchmarks/compare_peers.py --data "$MIEN_DATA" --out docs/peers            # all: see docs/bench.md
    python benchmarks/compare_peers.py --data "$MIEN_DATA" --out peers --brief    # 200 crops, 40 photos, 1 round
    python benchmarks/compare_peers.py --data "$MIEN_DATA" --out peers --suite    # mien evaluate --suite of each peer

Each peer (peers/catalogue.py) gets an environment of its own, made from packages into --work, which a later run takes
up again. Peers whose weights cannot be had are rows with the reason, with the size of what was installed and the time
of their imports. First all answer to PrivateTest's crops and to the photos of KDEF and CK+; then they are timed in
rounds, each in every round. Writes peers.json, peers.md and peers.png into --out. With --suite nothing is timed: each
peer is scored on the corpora of ``mien evaluate --suite``, and suite.md, suite.csv and suite.json are written.

Needs the extra [train] and in --data fer2013.zip, ferplus, kdef_frontal350.zip and ckplus350.zip (see docs/crops.md).
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras_speed
from peers import catalogue, material, scoring, suite, tables
from peers.catalogue import Peer
from peers.environments import Made, make
from peers.referee import PeerError, Worker, cold_command, surroundings

from mien.bench import process
from mien.evaluation.protocol import suite_tables

PHOTO = Path(__file__).parents[1] / "examples" / "astronaut.jpg"
BATCHES = (1, 64)


@dataclass
class Side:
    """A peer in this run, and what was found of it."""

    peer: Peer
    made: Made
    worker: Worker | None = None
    version: str = ""
    classes: tuple[str, ...] = ()
    reason: str = ""
    failures: list[str] = field(default_factory=list)
    accuracy: dict[str, Any] = field(default_factory=dict)
    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    memory: int | None = None
    cold_memory: list[int] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        found = {
            "name": self.peer.name, "version": self.version, "note": self.peer.note, "trained": self.peer.trained,
            "reason": self.reason, "failures": self.failures, "classes": list(self.classes), "memory": self.memory,
            "accuracy": self.accuracy, "size": self.made.size if self.peer.alone and not self.made.failure else None,
            "cold_memory": statistics.median(self.cold_memory) if self.cold_memory else None,
        }  # fmt: skip
        return found | {name: spread(values) for name, values in self.times.items()}


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median and range."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def begin(peer: Peer, work: Path) -> Side:
    """Make the environment and load the peer."""
    say(f"{peer.name}: installing and loading")
    side = Side(peer, make(peer.environment, work))
    try:
        side.worker = Worker(peer, side.made, work / f"{peer.name.replace('/', '_')}.log")
        side.version = side.worker.ask("imports")["version"]
        side.classes = tuple(side.worker.ask("load")["classes"])
    except PeerError as error:
        fail(side, error)
    return side


def fail(side: Side, error: PeerError) -> None:
    """Take a peer out of the run, with its own words."""
    side.reason = str(error)[:400]
    say(f"{side.peer.name}: not run: {side.reason}")
    if side.worker is not None:
        side.worker.close()
        side.worker = None


def answer(side: Side, corpora: Sequence[material.Corpus]) -> None:
    """Let a peer answer to all corpora and score it."""
    for corpus in corpora:
        if side.worker is None or (corpus.paths and not side.peer.detects):
            continue
        say(f"{side.peer.name}: {corpus.name}")
        try:
            given = {"file": corpus.crops} if corpus.crops else {"paths": list(corpus.paths)}
            found = side.worker.ask("crops" if corpus.crops else "photos", **given)
        except PeerError as error:
            fail(side, error)
            continue
        if side.peer.trained:
            places = scoring.answers(found["rows"], side.classes)
            side.accuracy[corpus.name] = scoring.figures(places, corpus.labels)


def time_round(sides: Sequence[Side], photos: Sequence[str], seconds: float) -> None:
    """Time every peer once: crops in batches, photos, whole processes."""
    for side in sides:
        if side.worker is not None:
            try:
                time_worker(side, side.worker, photos, seconds)
            except PeerError as error:
                fail(side, error)
        if not side.made.failure:
            time_processes(side)


def time_worker(side: Side, worker: Worker, photos: Sequence[str], seconds: float) -> None:
    """Time what the loaded peer answers; crops as seconds of one crop."""
    for batch in BATCHES:
        taken = worker.ask("time", batch=batch, seconds=seconds)["seconds"]
        side.times[f"batch {batch}"].append(taken / batch)
    if side.peer.detects:
        side.times["photo"].append(worker.ask("time_photos", paths=list(photos), seconds=seconds)["seconds"])
    side.memory = worker.ask("memory")["bytes"]


def time_processes(side: Side) -> None:
    """Time whole processes: the imports, and if the peer works one photo."""
    imports = process.run(side.made.command(side.peer, "--imports"), surroundings(side.made))
    if imports.code == 0:
        side.times["imports"].append(imports.seconds)
    if side.worker is None or not side.peer.detects:
        return
    cold = process.run(cold_command(side.peer, side.made, PHOTO), surroundings(side.made))
    if cold.code:
        words = cold.errors.strip().splitlines()
        side.failures.append(f"whole process: {words[-1][:200] if words else f'exit code {cold.code}'}")
        return
    side.times["cold"].append(cold.seconds)
    if cold.memory is not None:
        side.cold_memory.append(cold.memory)


def training(python: Path, rounds: int) -> dict[str, Any]:
    """Return ms a step of system A's network in Mien and in Keras, by keras_speed.py, taking turns."""
    sides = [side for side in keras_speed.SIDES if side.contends]
    faces = 3200
    found = [{side.name: keras_speed.measure(side, python, faces, 3) for side in sides} for _ in range(rounds)]
    steps = {side.name: [keras_speed.BATCH / each[side.name]["speed"] for each in found] for side in sides}
    ours = steps[keras_speed.MIEN.name]
    return {
        name: {"step": spread(taken), "ratio": spread([a / b for a, b in zip(taken, ours, strict=True)])}
        for name, taken in steps.items()
    }


def say(words: str) -> None:
    """Tell on stderr what happens."""
    print(words, file=sys.stderr, flush=True)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="FOLDER")
    add("--out", type=Path, required=True, metavar="FOLDER")
    add("--work", type=Path, metavar="FOLDER", help="keep the environments there (default: a temporary folder; 9 GB)")
    add("--model", action="append", metavar="M", help="Mien's models (default: default), several times for several")
    add("--only", action="append", metavar="PEER", help="only these peers, by name, beside Mien")
    add("--rounds", type=int, default=5)
    add("--seconds", type=float, default=1.0, help="for each figure in each round")
    add("--crops", type=int, metavar="N", help="so many of PrivateTest's crops, evenly spread (default: all)")
    add("--photos", type=int, metavar="N", help="so many photos of each corpus, evenly spread (default: all)")
    add("--no-training", action="store_true", help="leave out training speed")
    add("--suite", action="store_true", help="score each peer on the protocol of mien evaluate --suite, time nothing")
    add("--corpora", metavar="A,B", help="with --suite: only these corpora")
    add("--limit", type=int, metavar="N", help="with --suite: at most N faces a corpus")
    add("--brief", action="store_true", help="200 crops, 40 photos of each corpus, 1 round, no training")
    return parser.parse_args()


def main() -> None:
    """Make, answer, time, write."""
    options = arguments()
    rounds, seconds = (1, 0.1) if options.brief else (options.rounds, options.seconds)
    names = {peer.name for peer in catalogue.PEERS}
    if unknown := set(options.only or ()) - names:
        raise SystemExit(f"No peer {', '.join(sorted(unknown))}; there are {', '.join(sorted(names))}.")
    chosen = [peer for peer in catalogue.PEERS if not options.only or peer.name in options.only]
    chosen = [catalogue.mien(model) for model in options.model or ["default"]] + chosen
    options.out.mkdir(parents=True, exist_ok=True)
    if options.suite:
        write_suite(options, chosen)
        return
    with tempfile.TemporaryDirectory() as folder:
        most = (options.crops or 200, options.photos or 40) if options.brief else (options.crops, options.photos)
        corpora = material.prepare(options.data, Path(folder), *most)
        work = options.work or Path(folder) / "work"
        work.mkdir(parents=True, exist_ok=True)
        sides = [begin(peer, work.resolve()) for peer in chosen]
        try:
            result = run(sides, corpora, rounds, seconds)
        finally:
            for side in sides:
                if side.worker is not None:
                    side.worker.close()
        keras = next((side for side in sides if side.peer.worker == "peer_keras.py" and not side.reason), None)
        if keras is not None and not options.brief and not options.no_training:
            result["training"] = training(Path(keras.made.script("python")), 2)
    write(options.out, result)


def write_suite(options: argparse.Namespace, chosen: Sequence[Peer]) -> None:
    """Score each peer on the protocol and write the tables."""
    results = []
    with tempfile.TemporaryDirectory() as folder:
        asked = suite.prepare(options.data, Path(folder), options.corpora, options.limit)
        work = options.work or Path(folder) / "work"
        work.mkdir(parents=True, exist_ok=True)
        for peer in (one for one in chosen if one.trained):
            side = begin(peer, work.resolve())
            if side.worker is None:
                continue
            try:
                results.append(
                    suite.result(peer, side.worker, side.classes, asked, version=side.version, limit=options.limit)
                )
            except PeerError as error:
                fail(side, error)
            finally:
                if side.worker is not None:
                    side.worker.close()
    suite_tables.write(options.out, results)
    print("\n".join(suite_tables.render_markdown(result) for result in results))


def run(sides: Sequence[Side], corpora: Sequence[material.Corpus], rounds: int, seconds: float) -> dict[str, Any]:
    """Score, then time in rounds; return the result."""
    for side in sides:
        answer(side, corpora)
    photos = [path for corpus in corpora for path in corpus.paths[:: max(1, len(corpus.paths) // 8)]]
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        turn = number % len(sides)
        time_round([*sides[turn:], *sides[:turn]], photos, seconds)
    faces = {corpus.name: len(corpus.labels) for corpus in corpora}
    return {
        "machine": f"{keras_speed.machine()}; Python {platform.python_version()}",
        "asked": {"rounds": rounds, "seconds": seconds, "faces": faces},
        "peers": [side.to_dict() for side in sides],
    }


def write(out: Path, result: dict[str, Any]) -> None:
    """Write JSON, Markdown and picture."""
    (out / "peers.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")
    (out / "peers.md").write_text(tables.markdown(result), "utf-8")
    (out / "peers.png").write_bytes(tables.picture(result))
    print(tables.markdown(result))


if __name__ == "__main__":
    main()
