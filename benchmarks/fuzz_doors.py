"""The doors that ``fuzz.py`` knocks at: small valid files, how they are changed, and what opens them."""

from __future__ import annotations

import asyncio
import base64
import bz2
import gzip
import hashlib
import io
import json
import logging
import lzma
import os
import sys
import tarfile
import time
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from random import Random
from typing import Any

import fuzz_mutate as mutate
import numpy as np
from PIL import Image

from mien.errors import ImageError

EXAMPLE = Path(__file__).parents[1] / "examples" / "astronaut.jpg"


class Door(ABC):
    """One way in. ``content`` is the file of the latest case."""

    def __init__(self, folder: Path, *, only_show: bool = False) -> None:
        self.folder, self.only_show, self.content = folder, only_show, b""
        self.prepare()

    @abstractmethod
    def prepare(self) -> None:
        """Make the seeds and load what opens them."""

    @abstractmethod
    def change(self, random_: Random, case: int) -> bytes:
        """Return the file of a case."""

    @abstractmethod
    def open(self, random_: Random, case: int) -> str:
        """Open ``content``; return an outcome, or raise."""

    def run(self, random_: Random, case: int) -> str:
        """Run one case."""
        self.content = self.change(random_, case)
        return "read" if self.only_show else self.open(random_, case)

    def file(self, name: str) -> Path:
        """Write ``content`` to a file of the folder."""
        path = self.folder / name
        path.write_bytes(self.content)
        return path


def face(width: int = 64, height: int = 64) -> Image.Image:
    """Return the example's face."""
    with Image.open(EXAMPLE) as photo:
        return photo.convert("RGB").crop((165, 45, 285, 195)).resize((width, height))


def encode(picture: Image.Image, form: str, **options: Any) -> bytes:
    """Encode a picture."""
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def pictures() -> dict[str, bytes]:
    """Return name → small valid image, of each format and of kinds that decoders treat in other ways."""
    plain, exif = face(), Image.Exif()
    exif[0x0112] = 6
    frames: dict[str, Any] = {"save_all": True, "append_images": [plain.rotate(90)], "duration": 50}
    kinds: dict[str, tuple[Image.Image, str, dict[str, Any]]] = {
        "jpeg": (plain, "JPEG", {}), "turned": (plain, "JPEG", {"exif": exif}),
        "progressive": (plain, "JPEG", {"progressive": True}), "cmyk": (plain.convert("CMYK"), "JPEG", {}),
        "png": (plain, "PNG", {}), "palette": (plain.quantize(16), "PNG", {}), "grey": (plain.convert("L"), "PNG", {}),
        "alpha": (plain.convert("RGBA"), "PNG", {}), "deep": (plain.convert("I;16"), "PNG", {}),
        "webp": (plain, "WEBP", {}), "lossless": (plain, "WEBP", {"lossless": True}), "avif": (plain, "AVIF", {}),
        "gif": (plain, "GIF", frames), "bmp": (plain, "BMP", {}), "tiff": (plain, "TIFF", {}),
        "lzw": (plain, "TIFF", {"compression": "tiff_lzw"}), "ppm": (plain, "PPM", {}),
    }  # fmt: skip
    seeds = {name: encode(picture, form, **options) for name, (picture, form, options) in kinds.items()}
    seeds["text"] = b"P3 4 4 255 " + b"9 8 7 " * 16
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return seeds
    register_heif_opener()
    return {**seeds, "heic": encode(plain, "HEIF")}


class Images(Door):
    """Photos through the application: multipart, base64, raw and WebSocket frames, in turn."""

    def prepare(self) -> None:
        """Load a network and YuNet behind the application, without a socket."""
        self.seeds = pictures()
        self.names = sorted(self.seeds)
        if self.only_show:
            return
        from mien.web.app import create_app
        from mien.web.settings import Settings

        logging.disable(logging.CRITICAL)
        self.app = create_app(Settings(threads=1, models=("fer7-nano",)))
        self.loop = asyncio.new_event_loop()
        self.loop.run_until_complete(self.app.state.service.start())

    def change(self, random_: Random, case: int) -> bytes:
        """Change an image, or now and then what it is wrapped in."""
        self.kind = self.names[case // 4 % len(self.names)]
        self.way = case % 4
        photo = mutate.binary(self.seeds[self.kind], random_, list(self.seeds.values())) or b"\0"
        self.head, wrapped = _WRAPS[self.way](photo)
        return mutate.binary(wrapped, random_) if self.way < 2 and random_.random() < 0.1 else wrapped

    def open(self, random_: Random, case: int) -> str:
        """Send it."""
        talk = self._stream() if self.way == 3 else self._post()
        status, body = self.loop.run_until_complete(talk)
        if status == 503:
            raise MemoryError(body)
        if status >= 500:
            raise RuntimeError(f"{status}: {body!r}")
        return "read" if status == 200 else "refused"

    async def _post(self) -> tuple[int, bytes]:
        sent: list[dict[str, Any]] = []
        given = [{"type": "http.request", "body": self.content, "more_body": False}]

        async def receive() -> dict[str, Any]:
            return given.pop() if given else await asyncio.sleep(30, {"type": "http.disconnect"})

        async def send(message: Mapping[str, Any]) -> None:
            sent.append(dict(message))

        length = str(len(self.content)).encode()
        scope = _scope("http", "/v1/predict", [(b"content-type", self.head), (b"content-length", length)])
        await self.app({**scope, "method": "POST"}, receive, send)
        body = b"".join(message.get("body", b"") for message in sent[1:])
        _check_answer(sent[0]["status"], body)
        return int(sent[0]["status"]), body

    async def _stream(self) -> tuple[int, bytes]:
        answered, texts = asyncio.Event(), list[str]()
        given: list[dict[str, Any]] = [
            {"type": "websocket.receive", "bytes": self.content},
            {"type": "websocket.connect"},
        ]

        async def receive() -> dict[str, Any]:
            if given:
                return given.pop()
            await answered.wait()
            return {"type": "websocket.disconnect", "code": 1000}

        async def send(message: Mapping[str, Any]) -> None:
            if message["type"] != "websocket.accept":
                texts.append(message.get("text", message["type"]))
                answered.set()

        await self.app({**_scope("websocket", "/v1/stream", []), "subprotocols": []}, receive, send)
        answer = json.loads(texts[0])
        if "No memory left" in answer.get("error", "") or "not enough memory" in answer.get("error", ""):
            return 503, texts[0].encode()
        return (200 if "result" in answer else 422), texts[0].encode()


def _scope(kind: str, path: str, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    return {
        "type": kind, "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1", "path": path,
        "raw_path": path.encode(), "query_string": b"", "root_path": "",
        "scheme": "ws" if kind == "websocket" else "http",
        "headers": [(b"host", b"x"), *headers], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
        "extensions": {},
    }  # fmt: skip


def _check_answer(status: int, body: bytes) -> None:
    answer = json.loads(body)
    if status == 200:
        for result in answer["results"]:
            for one in result.get("faces", ()):
                if not np.isclose(sum(one["probabilities"].values()), 1, atol=1e-6):
                    raise AssertionError(f"probabilities: {one}")
    elif answer["status"] != status or not answer["type"].startswith("urn:mien:problem:"):
        raise AssertionError(f"{status}: {body!r}")


def _form(photo: bytes) -> tuple[bytes, bytes]:
    head = b'--XX\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    return b"multipart/form-data; boundary=XX", head + photo + b"\r\n--XX--\r\n"


def _json(photo: bytes) -> tuple[bytes, bytes]:
    return b"application/json", json.dumps({"images": [base64.b64encode(photo).decode()]}).encode()


_WRAPS: tuple[Callable[[bytes], tuple[bytes, bytes]], ...] = (
    _form, _json, lambda photo: (b"image/jpeg", photo), lambda photo: (b"", photo),
)  # fmt: skip


class Films(Door):
    """Films through ``mien.Film``, and every 20th through ``mien video`` with all outputs."""

    FRAMES = 60

    def prepare(self) -> None:
        """Encode a film of ten frames in each container."""
        import av

        av.logging.set_level(av.logging.PANIC)
        kinds = {
            "a.mp4": "libx264",
            "a.mkv": "libx264",
            "a.webm": "libvpx",
            "a.avi": "mpeg4",
            "a.mov": "libx264",
            "a.ts": "libx264",
        }
        self.seeds = {name: self._write(name, codec) for name, codec in kinds.items()}
        self.seeds["a.gif"] = encode(face(), "GIF", save_all=True, append_images=[face().rotate(90)], duration=50)
        self.names = sorted(self.seeds)

    def _write(self, name: str, codec: str) -> bytes:
        import av

        path, look = self.folder / name, np.asarray(face())
        with av.open(str(path), "w") as container:
            track: Any = container.add_stream(codec, rate=25)
            track.width, track.height, track.pix_fmt = 64, 64, "yuv420p"
            for _ in range(10):
                container.mux(track.encode(av.VideoFrame.from_ndarray(look, "rgb24")))
            container.mux(track.encode())
        return path.read_bytes()

    def change(self, random_: Random, case: int) -> bytes:
        """Change a film."""
        self.name = self.names[case % len(self.names)]
        return mutate.binary(self.seeds[self.name], random_, list(self.seeds.values()))

    def open(self, random_: Random, case: int) -> str:
        """Read its frames."""
        from mien.video.film import Film

        path = self.file(self.name)
        if case % 20 == 7:
            return self._verb(path)
        film = Film(path)
        for number, frame in enumerate(film):
            if frame.pixels.shape[:2] != frame.size[::-1] or number >= self.FRAMES:
                break
        return "read"

    def _verb(self, path: Path) -> str:
        from mien.cli import main

        outputs = [self.folder / name for name in ("out.csv", "out.vtt", "events.csv", "drawn.mkv")]
        options = zip(("--out", "--subtitles", "--events", "--annotated"), map(str, outputs), strict=True)
        given = ["video", str(path), *(word for pair in options for word in pair), "--seconds", "3"]
        errors = io.StringIO()
        with redirect_stdout(io.StringIO()), redirect_stderr(errors):
            code = main([*given, "--model", "fer7-nano", "--detector", "whole", "--threads", "1", "--no-progress"])
        if code == 4:
            raise MemoryError(errors.getvalue())
        if code not in (0, 2, 3):
            raise RuntimeError(f"exit code {code}: {errors.getvalue()}")
        return "refused" if code == 2 else "read"


class Archives(Door):
    """Corpora in zips, tars and CSV files, through ``index``; in half of the cases what is packed is changed."""

    def prepare(self) -> None:
        """Make members of two layouts, and a CSV file of pixels."""
        self.members = {
            f"train/{name}/{number}.png": encode(face(48, 48).convert("L").rotate(90 * number), "PNG")
            for name in ("happy", "sad") for number in range(2)
        }  # fmt: skip
        rows = [f"{label},{' '.join(['7'] * 48 * 48)},Training" for label in range(3)]
        self.csv = "\n".join(["emotion,pixels,Usage", *rows, ""]).encode()
        self.members["list.csv"] = b"path,label\ntrain/happy/0.png,happy\n"

    def change(self, random_: Random, case: int) -> bytes:
        """Pack, and change before or after."""
        self.name = ("a.zip", "a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz", "a.csv", "csv.zip")[case % 7]
        if self.name == "a.csv":
            change = mutate.text if random_.random() < 0.5 else mutate.binary
            return change(self.csv, random_, [b"path,label,emotion,pixels,Usage,subject\n"])
        inside = random_.random() < 0.5
        if self.name.endswith("zip"):
            return self._zip(random_, inside=inside)
        tar = self._tar(random_, inside=inside)
        tar = mutate.binary(tar, random_) if inside else tar
        packed = {
            "gz": gzip.compress(tar, 1, mtime=0),
            "bz2": bz2.compress(tar, 1),
            "xz": lzma.compress(tar, preset=0),
        }.get(self.name.rpartition(".")[2], tar)
        return packed if inside else mutate.binary(packed, random_)

    def _contents(self, random_: Random, *, inside: bool) -> dict[str, bytes]:
        contents = {"fer2013.csv": self.csv} if self.name == "csv.zip" else dict(self.members)
        if inside:
            name = random_.choice(sorted(contents))
            contents[name] = mutate.binary(contents[name], random_)
            if random_.random() < 0.3:
                odd = mutate.binary(name.encode(), random_).decode("latin-1").replace("\0", "") or "x"
                contents[odd] = contents.pop(name)
        return contents

    def _zip(self, random_: Random, *, inside: bool) -> bytes:
        buffer = io.BytesIO()
        packing = random_.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
        with zipfile.ZipFile(buffer, "w", packing) as archive:
            for name, content in self._contents(random_, inside=inside).items():
                archive.writestr(zipfile.ZipInfo(name), content, packing)
        content = buffer.getvalue()
        return content if inside else self._end_changed(content, random_)

    def _end_changed(self, content: bytes, random_: Random) -> bytes:
        """Change the directory at the end, where a zip has its sizes and offsets, or anything."""
        if random_.random() < 0.5:
            return mutate.binary(content, random_)
        at = len(content) - random_.randrange(22, 400)
        return content[: max(at, 0)] + mutate.binary(content[max(at, 0) :], random_)

    def _tar(self, random_: Random, *, inside: bool) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(
            fileobj=buffer, mode="w", format=random_.choice((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT))
        ) as archive:
            for name, content in self._contents(random_, inside=inside).items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        return buffer.getvalue()

    def open(self, random_: Random, case: int) -> str:
        """Index it, and read back what was written."""
        from mien.datasets.index import index
        from mien.datasets.manifest import read

        out = self.folder / "out.parquet"
        index([self.file(self.name)], out)
        for batch in read(out).images():
            if len(batch.pixels) != len(batch.rows):
                raise AssertionError("a row without pixels")
        return "read"


class Manifests(Door):
    """Manifests, changed as files, or in the metadata and columns that Mien put into them."""

    def prepare(self) -> None:
        """Index a folder."""
        from mien.datasets.index import index
        from mien.datasets.manifest import read

        for name in ("happy", "sad"):
            (self.folder / "corpus" / name).mkdir(parents=True)
            for number in range(3):
                (self.folder / "corpus" / name / f"{number}.png").write_bytes(encode(face(48, 48).convert("L"), "PNG"))
        path = self.folder / "seed.parquet"
        index([self.folder / "corpus"], path)
        self.seed, self.manifest = path.read_bytes(), read(path)

    def change(self, random_: Random, case: int) -> bytes:
        """Change bytes, the ends, the description or a column."""
        how = random_.random()
        if how < 0.3:
            return mutate.binary(self.seed, random_)
        if how < 0.5:  # Parquet's own description stands at the end
            at = len(self.seed) - random_.randrange(8, min(3000, len(self.seed)))
            return self.seed[:at] + mutate.binary(self.seed[at:], random_)
        return self._rewritten(random_, description=how < 0.75)

    def _rewritten(self, random_: Random, *, description: bool) -> bytes:
        import pyarrow as pa
        from pyarrow import parquet

        from mien.datasets.manifest import KEY

        table, info = self.manifest.table, json.dumps(self.manifest.info).encode()
        if description:
            info = mutate.text(info, random_)
        else:
            index = random_.randrange(table.num_columns)
            name, values = table.column_names[index], _odd_column(random_, table.num_rows)
            table = table.remove_column(index)
            if values is not None:
                table = table.add_column(index, name, pa.array(values))
        buffer = io.BytesIO()
        parquet.write_table(table.replace_schema_metadata({KEY: info}), buffer)
        return buffer.getvalue()

    def open(self, random_: Random, case: int) -> str:
        """Read it, count, and decode the images that it names."""
        from mien.datasets.manifest import read

        made = read(self.file("case.parquet"))
        made.counts()
        made.flagged("blank")
        for batch in made.images():
            batch.rows.column("id")
        made.write(self.folder / "again.parquet")
        return "read"


def _odd_column(random_: Random, rows: int) -> list[Any] | None:
    choices: tuple[Callable[[], Any], ...] = (
        lambda: None, lambda: random_.randrange(-(2**31), 2**31), random_.random, lambda: "x" * random_.randrange(300),
        lambda: "../../../etc/passwd", lambda: [1, 2], lambda: ["a"], lambda: True, lambda: "corpus",
        lambda: "happy/0.png",
    )  # fmt: skip
    if random_.random() < 0.1:
        return None
    make = random_.choice(choices)
    return [make() for _ in range(rows)]


class Models(Door):
    """Model files whose checksums fit what was changed; and classical models."""

    def prepare(self) -> None:
        """Write two small networks and a model file around one."""
        from mien.labels import FER2013
        from mien.preprocess import PreprocessSpec
        from mien.recognition import session
        from mien.recognition.model_files import bundle

        session.RUN_LIMIT = 2.0
        logging.disable(logging.CRITICAL)
        self.graphs = [_graph(convolution=False), _graph(convolution=True)]
        about: dict[str, Any] = {
            "name": "tiny", "preprocess": PreprocessSpec(size=16), "temperature": 2.0, "uncertain_below": 0.4,
            "metrics": {"accuracy": 0.5}, "provenance": {"corpus": "none"}, "licence": "MIT", "recipe_digest": "0" * 64,
        }  # fmt: skip
        self.files = []
        for number, graph in enumerate(self.graphs):
            path = self.folder / f"seed{number}.onnx"
            bundle.write(path, graph, labels=FER2013, **about)
            self.files.append(path.read_bytes())
        described = self.files[0].rpartition(b"mien\x12")[2]
        self.described = described[described.index(b"{") :]
        self.classical = self._classical()

    def _classical(self) -> bytes:
        from mien.classical import classical
        from mien.recipes.classical_table import ClassicalTable

        crops = np.random.default_rng(0).random((70, 1, 16, 16)).astype(np.float32)
        table = ClassicalTable(features="pixels", components=8)
        model = classical.train(table, crops, np.arange(70) % 7, 7)
        path = self.folder / "seed.npz"
        classical.save(model, path)
        return path.read_bytes()

    def change(self, random_: Random, case: int) -> bytes:
        """Change the graph under a fitting seal, the description under one, the file itself, or a classical model."""
        self.kind = ("graph", "graph", "graph", "description", "file", "classical")[case % 6]
        if self.kind == "classical":
            return mutate.binary(self.classical, random_)
        if self.kind == "file":
            return mutate.binary(random_.choice(self.files), random_)
        graph, value = random_.choice(self.graphs), self.described
        if self.kind == "graph":
            graph = mutate.binary(graph, random_, self.graphs)
        else:
            value = mutate.text(value, random_)
        return _sealed(graph, value)

    def open(self, random_: Random, case: int) -> str:
        """Load it and classify two faces."""
        if self.kind == "classical":
            from mien.classical import classical

            classical.load(self.file("case.npz"))  # which classifies a blank face
            return "read"
        from mien.recognition.recognizer import load

        reader = load(self.file("case.onnx"), detector="whole", threads=1)
        rows = reader.classify(np.zeros((2, 16, 16), np.uint8))
        if not np.isfinite(rows).all():
            raise AssertionError(f"probabilities {rows}")
        return "read"


def _graph(*, convolution: bool) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    draw = np.random.default_rng(0)
    crops = helper.make_tensor_value_info("crops", TensorProto.FLOAT, ["N", 1, 16, 16])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 7])
    nodes, last, weights = [], "crops", {"w": draw.normal(0, 0.3, (256, 7))}
    if convolution:
        weights = {"k": draw.normal(0, 0.3, (4, 1, 3, 3)), "w": draw.normal(0, 0.3, (4, 7))}
        nodes = [
            helper.make_node("Conv", ["crops", "k"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
            helper.make_node("Relu", ["c"], ["r"]),
            helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        ]
        last = "p"
    nodes += [helper.make_node("Flatten", [last], ["f"], axis=1), helper.make_node("MatMul", ["f", "w"], ["logits"])]
    tensors = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "g", [crops], [logits], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def _sealed(graph: bytes, value: bytes) -> bytes:
    """Return a model file whose digest and seal fit, as far as the description is still a JSON object."""
    from mien.recognition.model_files.wire import field_bytes

    try:
        described = json.loads(value)
    except (ValueError, RecursionError):
        described = None
    if isinstance(described, dict):
        described["digest"] = hashlib.sha256(graph).hexdigest()
        described.pop("seal", None)
        described["seal"] = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
        value = json.dumps(described).encode()
    return graph + field_bytes(14, field_bytes(1, b"mien") + field_bytes(2, value))


class Recipes(Door):
    """Recipes as TOML, and the JSON that runs keep of them."""

    def prepare(self) -> None:
        """Take those of the package."""
        from mien.recipes import recipe

        self.seeds = {name: (recipe.SHIPPED / f"{name}.toml").read_bytes() for name in recipe.shipped()}
        self.names = sorted(self.seeds)
        self.run_folder = self.folder / "run"
        self.run_folder.mkdir()
        kept = [recipe.load_any(self.folder.joinpath(recipe.SHIPPED, f"{name}.toml")) for name in self.names]
        self.kept = [json.dumps({"digest": one.digest(), **one.model_dump(mode="json")}).encode() for one in kept]

    def change(self, random_: Random, case: int) -> bytes:
        """Change the text."""
        self.of_run = case % 4 == 3
        if self.of_run:
            return mutate.text(random_.choice(self.kept), random_, self.kept)
        return mutate.text(self.seeds[random_.choice(self.names)], random_, list(self.seeds.values()))

    def open(self, random_: Random, case: int) -> str:
        """Read it and take its digest."""
        from mien.recipes import recipe

        if self.of_run:
            (self.run_folder / "recipe.json").write_bytes(self.content)
            recipe.of_run(self.run_folder).digest()
            return "read"
        path = self.file("case.toml")
        for variant in recipe.variants(path).values():
            variant.digest()
        return "read"


class Itself(Door):
    """What each outcome looks like, for the tests of ``fuzz.py``."""

    def prepare(self) -> None:
        """Need nothing."""

    def change(self, random_: Random, case: int) -> bytes:
        """Say which case it is."""
        return f"case {case} {random_.random()}".encode()

    def open(self, random_: Random, case: int) -> str:
        """End in each way in turn."""
        how = case % 8
        if how == 1:
            raise ImageError("refused")
        if how == 2:
            raise KeyError("traceback")
        if how == 3:
            bytearray(8 << 30)
        if how == 4:
            os.abort()
        if how == 5:
            time.sleep(60)
        if how == 6:
            sys.exit(3)
        return "read"


DOORS: dict[str, type[Door]] = {
    "images": Images, "films": Films, "archives": Archives, "manifests": Manifests, "models": Models,
    "recipes": Recipes, "itself": Itself,
}  # fmt: skip
