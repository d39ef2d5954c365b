"""The C code of an int8 model on real faces: against its integer reference and ONNX Runtime, with sizes and time.

    python benchmarks/c_code.py MODEL --data fer2013.zip [--faces 1000] [--cortex]

MODEL is an int8 model file or a run folder that holds one. The first so many PrivateTest faces are answered by the C
code (gcc -O2), by its reference in NumPy and by ONNX Runtime. Prints one line of figures each.

--cortex compiles it for a Cortex-M7 (arm-none-eabi-gcc -Os), prints flash and RAM, and lets an emulated board (QEMU,
mps2-an500) answer the first 4 faces: Debian's packages gcc-arm-none-eabi, libnewlib-arm-none-eabi, qemu-system-arm.
"""

from __future__ import annotations

import argparse
import ctypes
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.datasets.faces import load
from mien.export.c import c_code, numpy_reference
from mien.export.c.layers import IntegerNetwork
from mien.preprocess import apply
from mien.recognition.session import OnnxSession

CORTEX_FACES = 4
# Vectors, then semihosting: the emulator prints what is written (SYS_WRITE0) and stops (SYS_EXIT).
BOARD = """
#include "mien_model.h"
#include "crops.h"
extern uint32_t stack_top, data_from, data_begin, data_end, bss_begin, bss_end;
static int host(int call, const void *what) {
    register int number __asm__("r0") = call;
    register const void *given __asm__("r1") = what;
    __asm__ volatile("bkpt 0xab" : "+r"(number) : "r"(given) : "memory");
    return number;
}
static void say(unsigned value) {
    char text[12];
    int place = 11;
    text[place] = 0;
    text[--place] = ' ';
    do text[--place] = (char)('0' + value % 10); while (value /= 10);
    host(4, text + place);
}
void start(void) {
    uint8_t logits[MIEN_CLASSES];
    uint32_t *from = &data_from;
    for (uint32_t *word = &data_begin; word < &data_end;) *word++ = *from++;
    for (uint32_t *word = &bss_begin; word < &bss_end;) *word++ = 0;
    for (int face = 0; face < FACES; face++) {
        mien_logits(crops[face], logits);
        for (int label = 0; label < MIEN_CLASSES; label++) say(logits[label]);
    }
    host(0x18, (void *)0x20026);
    for (;;) {}
}
__attribute__((section(".vectors"), used)) static const void *const vectors[2] = {&stack_top, (const void *)start};
"""
LINK = """
MEMORY { FLASH (rx) : ORIGIN = 0, LENGTH = 4M  RAM (rwx) : ORIGIN = 0x20000000, LENGTH = 4M }
ENTRY(start)
SECTIONS {
  .text : { KEEP(*(.vectors)) *(.text* .rodata*) . = ALIGN(4); } > FLASH
  .ARM.exidx : { *(.ARM.exidx*) } > FLASH
  data_from = LOADADDR(.data);
  .data : { data_begin = .; *(.data*) . = ALIGN(4); data_end = .; } > RAM AT > FLASH
  .bss : { bss_begin = .; *(.bss* COMMON) . = ALIGN(4); bss_end = .; } > RAM
  stack_top = ORIGIN(RAM) + LENGTH(RAM);
}
"""


def in_c(folder: Path, crops: NDArray[np.uint8], classes: int) -> tuple[NDArray[np.uint8], float]:
    """Return the logits (N, C) of the C code on this machine, and milliseconds a face."""
    command = ["gcc", "-std=c99", "-O2", "-fPIC", "-shared", "-o", "model.so", c_code.SOURCE]
    subprocess.run(command, cwd=folder, check=True)
    library = ctypes.CDLL(str(folder / "model.so"))
    logits = np.zeros((len(crops), classes), np.uint8)
    pixels = np.ascontiguousarray(crops)
    begun = time.perf_counter()
    for crop, answer in zip(pixels, logits, strict=True):
        library.mien_logits(ctypes.c_void_p(crop.ctypes.data), ctypes.c_void_p(answer.ctypes.data))
    return logits, (time.perf_counter() - begun) / len(crops) * 1e3


def on_cortex(folder: Path, crops: NDArray[np.uint8], classes: int) -> NDArray[np.uint8]:
    """Return the logits (N, C) of the C code on an emulated Cortex-M7."""
    rows = ",\n".join("{" + ",".join(map(str, crop.ravel().tolist())) + "}" for crop in crops)
    declared = f"static const uint8_t crops[FACES][MIEN_SIDE * MIEN_SIDE] = {{\n{rows}}};\n"
    (folder / "crops.h").write_text(f"#define FACES {len(crops)}\n{declared}")
    (folder / "board.c").write_text(BOARD)
    (folder / "board.ld").write_text(LINK)
    target = ["-mcpu=cortex-m7", "-mthumb", "-std=gnu99", "-Os"]
    files = ["-nostartfiles", "-T", "board.ld", "-o", "board.elf", "board.c", c_code.SOURCE]
    subprocess.run(["arm-none-eabi-gcc", *target, *files], cwd=folder, check=True)
    board = ["qemu-system-arm", "-M", "mps2-an500", "-nographic", "-monitor", "none", "-serial", "none"]
    hosted = ["-semihosting-config", "enable=on,target=native", "-kernel", "board.elf"]
    done = subprocess.run([*board, *hosted], cwd=folder, check=True, capture_output=True, text=True, timeout=300)
    found = np.array((done.stdout + done.stderr).split(), np.uint8)
    return found.reshape(len(crops), classes)


def show(network: IntegerNetwork, crops: NDArray[np.uint8], folder: Path, cortex: bool) -> None:
    """Answer the faces in each way and print how they agree."""
    about = network.about
    classes = len(about.labels)
    logits, taken = in_c(folder, crops, classes)
    expected = numpy_reference.logits(network, crops)
    given = OnnxSession(about.graph).logits(apply(crops, about.preprocess))
    steps = np.abs(np.rint(given / network.logits.scale) + network.logits.zero - expected)
    print(f"C and reference: logits equal on {(logits == expected).all(1).mean():.2%} of {len(crops)} faces")
    print(f"C and ONNX Runtime: labels equal on {(logits.argmax(1) == given.argmax(1)).mean():.2%}")
    print(f"  logits differ by {steps.mean():.3f} steps on average, {steps.max():.0f} at most (of 255)")
    print(f"Time on this machine, gcc -O2: {taken:.2f} ms a face")
    if cortex:
        answers = on_cortex(folder, crops[:CORTEX_FACES], classes)
        equal = (answers == expected[:CORTEX_FACES]).all(1).sum()
        print(f"Cortex-M7 in QEMU: logits equal on {equal} of {len(answers)} faces")


def main() -> None:
    """Write the code, answer, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, metavar="MODEL")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--faces", type=int, default=1000)
    parser.add_argument("--cortex", action="store_true")
    options = parser.parse_args()
    if options.cortex and not (shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm")):
        raise SystemExit("--cortex needs arm-none-eabi-gcc and qemu-system-arm; install the packages named in --help.")
    with tempfile.TemporaryDirectory() as folder:
        written = c_code.write(options.model, Path(folder))
        print(f"{written.constants:,} bytes of constants, {written.scratch:,} of scratch; {written.measured}")
        test = load(options.data).part("PrivateTest").pixels[: options.faces]
        show(written.network, test, Path(folder), options.cortex)


if __name__ == "__main__":
    main()
