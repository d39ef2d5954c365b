"""Write integer layers as portable C99: one header, one source, weights as constants, memory planned at build time.

The source needs no library, not even string.h, allocates nothing and writes to its own scratch array only.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien import __version__, run_files
from mien.errors import FileMissingError
from mien.export.c import quantised_graph
from mien.export.c.compiled_size import Measured, measure
from mien.export.c.layers import Add, Conv, IntegerNetwork, Layer, Maps, MaxPool, Mean, Multiply, Standardiser, Table
from mien.export.c.memory_plan import plan_memory
from mien.export.c.numpy_reference import fixed_table
from mien.export.c.text import API, STANDARDISE, UNUSED, comment, lines, real, string
from mien.preprocess import PreprocessSpec
from mien.recognition.model_files import bundle

HEADER, SOURCE = "mien_model.h", "mien_model.c"
KERNELS, CLAHE = "kernels.c", "clahe.c"


@dataclass(frozen=True)
class Written:
    """C code in a folder.

    Attributes:
        constants: bytes of weights, biases, multipliers and tables; the code adds about 3 KB.
        scratch: bytes of static memory; the stack adds a few hundred.
        measured: sizes of the compiled code, None without a compiler.
    """

    folder: Path
    network: IntegerNetwork
    constants: int
    scratch: int
    measured: Measured | None


def write(model: Path, folder: Path) -> Written:
    """Write ``mien_model.h`` and ``mien_model.c`` for an int8 model file, or for the one in a run folder.

    Raises:
        FileMissingError: it does not exist.
        ModelError: as ``quantised_graph.read``.
    """
    path = model / run_files.INT8 if model.is_dir() else model
    if model.is_dir() and not path.exists():
        raise FileMissingError(
            f"{model} has no model-int8.onnx, from which the C code is generated; write it with "
            f"`mien export {model} --data DATA --int8`."
        )
    network = quantised_graph.read(bundle.read(path))
    code = _Code(network)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SOURCE).write_text(code.source(), encoding="ascii")
    (folder / HEADER).write_text(code.header(None), encoding="ascii")  # the compiler needs it
    measured = measure(folder / SOURCE)
    (folder / HEADER).write_text(code.header(measured), encoding="ascii")
    return Written(folder, network, code.constants, code.scratch, measured)


class _Code:
    """The source text, and the size of its constants in bytes."""

    def __init__(self, network: IntegerNetwork) -> None:
        self.network, self.about = network, network.about
        self.offsets, self.maps = plan_memory(network)
        self.scratch = self.maps + _clahe_bytes(self.about.preprocess)
        self.constants = 0
        self.arrays: list[str] = []
        layers = [self._layer(layer, number) for number, layer in enumerate(network.layers)]
        self.structs, self.calls = [struct for struct, _ in layers], [call for _, call in layers]
        self.entry = self._entry()
        steps = np.arange(256) * network.logits.scale / self.about.temperature
        self._array("exponentials", np.exp(-steps).astype(np.float32))

    def header(self, measured: Measured | None) -> str:
        """Return the header's text."""
        spec, labels = self.about.preprocess, self.about.labels.labels
        flash = f"{measured}" if measured else "not measured: no C compiler was found"
        return f"""\
/* {comment(self.about.name)}: the emotion of a grey face crop, in integers.
   Written by Mien {__version__} from the model file with sha256 {self.about.digest}.
   Licence of the weights: {comment(self.about.licence)}

   Flash: {self.constants} bytes of constants and about 3 KB of code.
   RAM: {self.scratch} bytes of scratch and a few hundred of stack.
   Compiled: {flash}.

   The scratch is static, so only one call may run at a time. */
#ifndef MIEN_MODEL_H
#define MIEN_MODEL_H

#include <stdint.h>

#define MIEN_SIDE {spec.size}
#define MIEN_CLASSES {len(labels)}
#define MIEN_SCRATCH_BYTES {self.scratch}
#define MIEN_TEMPERATURE {real(self.about.temperature)}
#define MIEN_UNCERTAIN_BELOW {real(self.about.uncertain_below)}
#define MIEN_LOGIT_SCALE {real(self.network.logits.scale)}
#define MIEN_LOGIT_ZERO {self.network.logits.zero}

/* Class names in the order of the logits, and the sha256 of the model file's graph in hexadecimal. */
extern const char *const mien_labels[MIEN_CLASSES];
extern const char mien_digest[65];

/* crop: grey levels 0 to 255, row by row from the top left; a face cropped as in training.
   logits: MIEN_LOGIT_SCALE * (byte - MIEN_LOGIT_ZERO) is a class's logit. */
void mien_logits(const uint8_t crop[MIEN_SIDE * MIEN_SIDE], uint8_t logits[MIEN_CLASSES]);

/* probabilities: softmax of logits / MIEN_TEMPERATURE; their sum is 1. */
void mien_probabilities(const uint8_t logits[MIEN_CLASSES], float probabilities[MIEN_CLASSES]);

/* Returns the index of the most probable class; the prediction is uncertain if its probability is below
   MIEN_UNCERTAIN_BELOW. */
int mien_read(const uint8_t crop[MIEN_SIDE * MIEN_SIDE], float probabilities[MIEN_CLASSES]);

#endif
"""

    def source(self) -> str:
        """Return the source's text."""
        kernels = (files("mien.export.c") / KERNELS).read_text(encoding="ascii")
        labels = ", ".join(string(label) for label in self.about.labels.labels)
        return "\n".join(
            [
                f'#include "{HEADER}"\n',
                UNUSED,
                f"const char *const mien_labels[MIEN_CLASSES] = {{{labels}}};",
                f"const char mien_digest[65] = {string(self.about.digest)};\n",
                kernels,
                "static uint8_t scratch[MIEN_SCRATCH_BYTES];\n",
                self._equaliser(),
                *self.arrays,
                *self.structs,
                "",
                self.entry,
                API.format(
                    crop_used="equalise(crop)" if self.about.preprocess.clahe else "crop",
                    channels=self.network.crop.shape[2],
                    crop=self._pointer(self.network.crop),
                    logits=self._pointer(self.network.logits),
                    calls="\n".join(f"    {call}" for call in self.calls),
                ),
            ]
        )

    def _equaliser(self) -> str:
        """Return the C function ``equalise``, or nothing for a network without CLAHE."""
        spec = self.about.preprocess
        if not spec.clahe:
            return ""
        tile = -(-spec.size // spec.clahe_tiles)
        limit = max(int(spec.clahe_clip * tile**2 / 256), 1)  # as OpenCV computes it
        settings = {"TILES": spec.clahe_tiles, "CLIP_AT": limit, "EQUALISED_AT": self.maps}
        defines = "".join(f"#define MIEN_{name} {value}\n" for name, value in settings.items())
        return defines + "\n" + (files("mien.export.c") / CLAHE).read_text(encoding="ascii")

    def _array(self, name: str, values: NDArray[Any]) -> str:
        kinds = {"int8": "int8_t", "uint8": "uint8_t", "int32": "int32_t", "float32": "float"}
        words = map(real, values.ravel().tolist()) if values.dtype == np.float32 else map(str, values.ravel().tolist())
        kind = kinds[values.dtype.name]
        self.arrays.append(f"static const {kind} {name}[{values.size}] = {{\n{lines(words)}\n}};")
        self.constants += values.nbytes
        return name

    def _pointer(self, maps: Maps) -> str:
        if maps.values is not None:
            name = f"constant_{len(self.arrays)}"
            return self._array(name, maps.values)
        return f"scratch + {self.offsets[maps.name]}"

    def _layer(self, layer: Layer, number: int) -> tuple[str, str]:
        """Return the struct that describes a layer, and the call that runs it."""
        fields: dict[str, object] = {"result": self._pointer(layer.result), "out_zero": layer.result.zero}
        match layer:
            case Conv():
                kind, function = "conv_t", "conv"
                fields |= self._conv(layer, number)
            case MaxPool():
                kind, function = "pool_t", "maximum"
                del fields["out_zero"]
                fields |= {**_windows(layer, layer.kernel), "out": _shape(layer.result)}
            case Mean():
                kind, function = "mean_t", "mean"
                fields |= {"multiplier": layer.multiplier, "shift": layer.shift, "in_zero": layer.source.zero}
            case Table():
                kind, function = "table_t", "look_up"
                del fields["out_zero"]
                fields |= {"entries": self._array(f"entries_{number}", layer.entries), "size": layer.result.size}
            case Add() | Multiply():
                kind, function = "pair_t", "add" if isinstance(layer, Add) else "multiply"
                fields |= self._pair(layer)
        if not isinstance(layer, Add | Multiply):
            fields["source"] = self._pointer(layer.source)
        if isinstance(layer, Conv | MaxPool | Mean):
            fields["in"] = _shape(layer.source)
        name = f"layer_{number}"
        body = ", ".join(f".{key} = {value}" for key, value in fields.items())
        return f"static const {kind} {name} = {{{body}}};", f"{function}(&{name});"

    def _conv(self, layer: Conv, number: int) -> dict[str, object]:
        arrays: dict[str, NDArray[Any]] = {
            "weights": layer.weights, "bias": layer.bias, "multiplier": layer.multiplier,
            "shift": layer.shift.astype(np.uint8),
        }  # fmt: skip
        named = {key: self._array(f"{key}_{number}", values) for key, values in arrays.items()}
        kernel = (layer.weights.shape[1], layer.weights.shape[2])
        zeros = {"groups": layer.groups, "in_zero": layer.source.zero}
        return {**named, **_windows(layer, kernel), **zeros, "out": _shape(layer.result)}

    def _pair(self, layer: Add | Multiply) -> dict[str, object]:
        both = (layer.left_multiplier, layer.right_multiplier) if isinstance(layer, Add) else (layer.multiplier, 0)
        sides = {
            f"{side}{end}": value
            for side, maps, multiplier in (("left", layer.left, both[0]), ("right", layer.right, both[1]))
            for end, value in (
                ("", self._pointer(maps)), ("_size", maps.size), ("_zero", maps.zero), ("_multiplier", multiplier)
            )
        }  # fmt: skip
        return {**sides, "size": layer.result.size, "shift": layer.shift}

    def _entry(self) -> str:
        """Return the C function ``enter``, which maps each grey level to the network's input byte."""
        crop, spec = self.network.crop, self.about.preprocess
        if spec.standardise != "image":
            table = self._array("levels", fixed_table(crop, spec))
            return (
                "static void enter(const uint8_t *crop, uint8_t *level) {\n    (void)crop;\n"
                f"    for (int grey = 0; grey < 256; grey++) level[grey] = {table}[grey];\n}}\n"
            )
        standardiser = Standardiser.of(crop)
        return STANDARDISE.format(
            zero=crop.zero, bits=2 * standardiser.bits, extra=standardiser.EXTRA, factor=standardiser.factor
        )


def _clahe_bytes(spec: PreprocessSpec) -> int:
    """Return the bytes of an equalised crop and of 256 levels for each tile."""
    return spec.size**2 + spec.clahe_tiles**2 * 256 if spec.clahe else 0


def _windows(layer: Conv | MaxPool, kernel: tuple[int, int]) -> dict[str, object]:
    values = (*kernel, *layer.stride, *layer.pad)
    names = ("kernel_height", "kernel_width", "stride_y", "stride_x", "pad_y", "pad_x")
    return dict(zip(names, values, strict=True))


def _shape(maps: Maps) -> str:
    return "{{{}, {}, {}}}".format(*maps.shape)
