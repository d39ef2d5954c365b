"""Make the page's samples from examples/astronaut.jpg, and the worked example that an empty page shows.

    python scripts/page_samples.py

Writes ``covered.jpg`` (mouth covered, so that the model is uncertain), ``six.jpg`` (the same face under six
conditions) and ``example.json``, the API's result for ``six.jpg`` with the default model.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

import mien

ROOT = Path(__file__).parents[1]
STATIC = ROOT / "src/mien/web/static"
HEAD = (110, 20, 340, 250)
"""The astronaut's head in the photo: left, top, right, bottom in pixels."""


def make_covered(photo: Image.Image) -> Image.Image:
    """Return the photo with a white cloth over the mouth."""
    copy = photo.copy()
    ImageDraw.Draw(copy).rounded_rectangle((170, 130, 275, 185), 12, fill=(230, 230, 235))
    return copy


def make_six(photo: Image.Image) -> Image.Image:
    """Return the head as it is, mirrored and grey, dark, blurred, with the mouth covered, and coarse, three by two."""
    head, covered = photo.crop(HEAD), make_covered(photo).crop(HEAD)
    side = head.width
    coarse = head.resize((side // 6, side // 6), Image.Resampling.BOX).resize(head.size, Image.Resampling.BICUBIC)
    tiles = (
        head,
        head.convert("L").convert("RGB").transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        ImageEnhance.Brightness(head).enhance(0.2),
        head.filter(ImageFilter.GaussianBlur(8)),
        covered,
        coarse,
    )
    sheet = Image.new("RGB", (3 * side, 2 * side))
    for position, tile in enumerate(tiles):
        sheet.paste(tile, (position % 3 * side, position // 3 * side))
    return sheet


def main() -> None:
    """Write the three files."""
    with Image.open(ROOT / "examples/astronaut.jpg") as opened:
        photo = opened.convert("RGB")
    make_covered(photo).resize((400, 400)).save(STATIC / "covered.jpg", quality=82)
    make_six(photo).save(STATIC / "six.jpg", quality=82)
    result = replace(mien.load().predict(STATIC / "six.jpg"), source="six.jpg")
    item = {**result.to_dict(), "faces_found": len(result.faces), "truncated": False}
    (STATIC / "example.json").write_text(json.dumps({"results": [item]}, separators=(",", ":")) + "\n", "utf-8")


if __name__ == "__main__":
    main()
