"""Throw what nobody would send on purpose at a real Gunicorn: nothing but 503 may be a 5xx, and no worker may die.

    python benchmarks/serve_fuzz.py            # 2,400 cases from the OpenAPI document, 5,000 mutated images
    python benchmarks/serve_fuzz.py --brief    # a few of each

Cases come from schemathesis, valid and invalid ones in equal parts; images are JPEG, PNG, WebP, GIF, BMP, TIFF and PPM
with bytes flipped, cut out, repeated or overwritten. Prints what was answered how often.
"""

from __future__ import annotations

import argparse
import io
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from PIL import Image
from schemathesis import GenerationMode
from serve_topology import ROOT, gunicorn

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
Answers = Counter[tuple[str, int]]


def fuzz_document(address: str, each: int) -> Answers:
    """Send ``each`` valid and ``each`` invalid cases to each operation of the OpenAPI document; check all answers."""
    schema = schemathesis.openapi.from_url(f"{address}/v1/openapi.json")
    seen: Answers = Counter()
    with httpx.Client(base_url=address, timeout=60) as client:
        for found in schema.get_all_operations():
            operation = found.ok()  # type: ignore[union-attr]
            for mode in GenerationMode:
                _send(operation, mode, each, client, seen)
    return seen


def _send(operation: object, mode: GenerationMode, each: int, client: httpx.Client, seen: Answers) -> None:
    @settings(
        max_examples=each, database=None, deadline=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode))  # type: ignore[attr-defined]
    def send(case: schemathesis.Case[Any]) -> None:
        answer = case.call(base_url=str(client.base_url), timeout=60)
        told = answer.headers.get("content-type", [""])
        check(answer.status_code, told[0] if isinstance(told, list) else told, answer.content)
        seen[operation.path, answer.status_code] += 1  # type: ignore[attr-defined]

    with suppress(Unsatisfiable):  # an address without options cannot be asked wrongly
        send()


def fuzz_images(address: str, count: int, seed: int = 0) -> Answers:
    """Send mutated images, one a request; check all answers."""
    seen: Answers = Counter()
    with httpx.Client(base_url=address, timeout=60) as client:
        for name, content in mutated(count, seed):
            headers = {"Content-Type": "application/octet-stream"}
            answer = client.post("/v1/predict", content=content, headers=headers)
            check(answer.status_code, answer.headers["content-type"], answer.content)
            seen[name, answer.status_code] += 1
    return seen


def check(status: int, kind: str, content: bytes) -> None:
    """Raise ``AssertionError`` for a mistake of the server's, or an error that is no problem document."""
    assert status < 500 or status == 503, f"{status}: {content[:500]!r}"
    assert status < 400 or kind == "application/problem+json", f"{status} {kind}: {content[:500]!r}"


def mutated(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield format and content of ``count`` damaged images of the example's size or smaller."""
    random_ = random.Random(seed)
    photo = Image.open(ROOT / "examples" / "astronaut.jpg").resize((96, 96))
    originals = {}
    for name in FORMATS:
        buffer = io.BytesIO()
        photo.save(buffer, name)
        originals[name] = buffer.getvalue()
    for place in range(count):
        name = FORMATS[place % len(FORMATS)]
        yield name, _mutation(bytearray(originals[name]), random_)


def _mutation(content: bytearray, random_: random.Random) -> bytes:
    # Half of the damage falls on the first bytes, where sizes and offsets stand.
    for _ in range(random_.choice((1, 1, 2, 5, 20))):
        reach = len(content) if random_.random() < 0.5 else min(64, len(content))
        at = random_.randrange(max(1, reach))
        how = random_.randrange(5)
        if how == 0:
            content[at : at + 1] = bytes([random_.randrange(256)])
        elif how == 1:
            del content[at : at + random_.randrange(1, 64)]
        elif how == 2:
            content[at:at] = content[at : at + random_.randrange(1, 64)]
        elif how == 3:
            content[at : at + 4] = random_.choice((b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff"))
        else:
            del content[at + 32 :]
    return bytes(content) or b"\0"


def main() -> None:
    """Start a Gunicorn, fuzz it, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--brief", action="store_true")
    brief = parser.parse_args().brief
    with tempfile.TemporaryDirectory() as folder, gunicorn(Path(folder)) as replica:
        workers = [worker.pid for worker in replica.workers()]
        begun = time.perf_counter()
        documents = fuzz_document(replica.address, 10 if brief else 600)
        images = fuzz_images(replica.address, 140 if brief else 5000)
        alive = workers == [worker.pid for worker in replica.workers()]
        print("| what | answer | times |\n|---|---|---|")
        for (name, status), times in [*sorted(documents.items()), *sorted(images.items())]:
            print(f"| {name} | {status} | {times} |")
        cases, seconds = documents.total(), time.perf_counter() - begun
        state = "alive" if alive else "DEAD"
        print(f"\n{cases} cases, {images.total()} images, {seconds:.0f} s; the worker is {state}.")
        sys.exit(0 if alive else 1)


if __name__ == "__main__":
    main()
