"""C source text: literals, and the functions that are the same for all networks."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def lines(words: Iterable[str], width: int = 118) -> str:
    """Wrap the values of an initialiser into lines."""
    full, line = [], "   "
    for word in words:
        if len(line) + len(word) + 2 > width:
            full.append(line)
            line = "   "
        line += f" {word},"
    return "\n".join([*full, line])


def real(value: float) -> str:
    """Format a float as a C literal."""
    single = np.float32(value)
    return "0.0f" if abs(single) < 1e-37 else f"{float(str(single))!r}f"  # smaller values are denormal


def string(text: str) -> str:
    """Format a C string literal in ASCII: UTF-8 in octal escapes, which a following digit cannot extend."""
    plain = (chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}" for b in text.encode())
    return f'"{"".join(plain)}"'


def comment(text: str) -> str:
    """Format text for a C comment, which it must not end: ASCII, on one line."""
    plain = " ".join(text.split()).replace("*/", "* /").replace("/*", "/ *")
    return plain.encode("ascii", "backslashreplace").decode()


UNUSED = """\
#if defined(__GNUC__)
#define MIEN_UNUSED __attribute__((unused)) /* no network has all kinds of layers */
#else
#define MIEN_UNUSED
#endif
"""

STANDARDISE = """\
static uint64_t root(uint64_t value) {{
    uint64_t result = 0;
    for (uint64_t bit = (uint64_t)1 << 62; bit; bit >>= 2) {{
        if (value >= result + bit) {{
            value -= result + bit;
            result = (result >> 1) + bit;
        }} else {{
            result >>= 1;
        }}
    }}
    return result;
}}

/* Zero mean and unit variance: a grey level becomes (N x - sum) / (sqrt(N squares - sum^2) scale). */
static void enter(const uint8_t *crop, uint8_t *level) {{
    const int64_t pixels = (int64_t)MIEN_SIDE * MIEN_SIDE;
    int64_t sum = 0, squares = 0;
    for (int32_t pixel = 0; pixel < pixels; pixel++) {{
        sum += crop[pixel];
        squares += (int32_t)crop[pixel] * crop[pixel];
    }}
    const int64_t spread = pixels * squares - sum * sum;
    if (spread <= pixels * pixels) {{ /* less than a grey level of deviation is noise */
        for (int grey = 0; grey < 256; grey++) level[grey] = {zero};
        return;
    }}
    const int64_t divisor = (int64_t)(root((uint64_t)spread << {bits}) << {extra});
    for (int grey = 0; grey < 256; grey++) {{
        const int64_t part = (pixels * grey - sum) * {factor};
        const int64_t steps = ((part < 0 ? -part : part) + divisor / 2) / divisor;
        level[grey] = byte((part < 0 ? -steps : steps) + {zero});
    }}
}}
"""

API = """\
void mien_logits(const uint8_t crop[MIEN_SIDE * MIEN_SIDE], uint8_t logits[MIEN_CLASSES]) {{
    uint8_t level[256];
    uint8_t *maps = {crop};
    const uint8_t *pixels = {crop_used};
    enter(pixels, level);
    for (int32_t pixel = 0; pixel < (int32_t)MIEN_SIDE * MIEN_SIDE; pixel++)
        for (int channel = 0; channel < {channels}; channel++) *maps++ = level[pixels[pixel]];
{calls}
    for (int label = 0; label < MIEN_CLASSES; label++) logits[label] = ({logits})[label];
}}

static int highest(const uint8_t *logits) {{
    int best = 0;
    for (int label = 1; label < MIEN_CLASSES; label++)
        if (logits[label] > logits[best]) best = label;
    return best;
}}

void mien_probabilities(const uint8_t logits[MIEN_CLASSES], float probabilities[MIEN_CLASSES]) {{
    const uint8_t most = logits[highest(logits)];
    float total = 0.0f;
    for (int label = 0; label < MIEN_CLASSES; label++) {{
        probabilities[label] = exponentials[most - logits[label]];
        total += probabilities[label];
    }}
    for (int label = 0; label < MIEN_CLASSES; label++) probabilities[label] /= total;
}}

int mien_read(const uint8_t crop[MIEN_SIDE * MIEN_SIDE], float probabilities[MIEN_CLASSES]) {{
    uint8_t logits[MIEN_CLASSES];
    mien_logits(crop, logits);
    mien_probabilities(logits, probabilities);
    return highest(logits);
}}
"""
