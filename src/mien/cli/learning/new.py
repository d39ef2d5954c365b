"""SOURCE is a folder (or zip, or tar) with one folder of photos per class, named as you like, or a CSV with the columns
path and label. Writes FOLDER/photos.parquet, the manifest of the photos; FOLDER/faces, the face of each photo, with
faces/sheet.png to check; and FOLDER/recipe.toml, which puts a new last layer on a pretrained model. --train also trains
the recipe into FOLDER/run, in minutes on a CPU.

--people identifies the person on a photo: a pattern that finds the person in the file's path, such as 'P[0-9]+'. Each
person, and copies of one photo, then stay in one split. Without it the test set may contain people of the training set.

Exit codes: 0 trained, or written with a face of every photo; 2 failed; 3 written, not trained, and some files could not
be read or have no face. Such files are named on stderr and listed.

Next: mien train FOLDER/recipe.toml --data FOLDER/faces/faces.parquet --out FOLDER/run
"""

from __future__ import annotations

import csv
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from mien.cli import DONE, PARTLY, one_line
from mien.cli.data.index import report_skipped, show_counts
from mien.cli.parser import detector_argument, seed
from mien.cli.shared import watched
from mien.cli.words import counted
from mien.errors import MissingExtraError, OptionError

if TYPE_CHECKING:
    from mien.datasets.index import Indexed
    from mien.datasets.manifest import Manifest
    from mien.datasets.own import Parted
    from mien.datasets.prepare import Prepared
    from mien.preprocess import PreprocessSpec

_NAMED = 10  # images without a face that are named on stderr

_BY = {
    "people": "by person: nobody is in two splits",
    "images": "by image: people may be in two splits, which makes metrics optimistic. --people separates them",
}


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien new``."""
    add = parser.add_argument
    add("source", type=Path, metavar="SOURCE", help="photos in class folders, or a CSV with the columns path and label")
    add("--out", type=Path, required=True, metavar="FOLDER", help="a new folder for the recipe and its data")
    add("--people", default="", metavar="PATTERN", help="regular expression that finds the person in a file's path")
    detector_argument(parser, "", "default: whole if all images are small squares of one size, else yunet")
    add(
        "--trunk",
        default="ferplus8",
        metavar="M",
        help="the pretrained model: name, .onnx file or run folder (default: ferplus8)",
    )
    add("--seed", type=seed, default=0, metavar="N", help="seed of the split (default: 0)")
    add("--train", action="store_true", help="train the recipe at once, into FOLDER/run")


def run(options: Namespace) -> int:
    """Read, crop, split, check, write the recipe and optionally train; return the exit code."""
    try:
        from mien.runs import starter
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_extra(f"mien new (no {error.name})", "train") from error
    from mien.datasets import manifest, own

    folder = options.out
    if (folder / "recipe.toml").exists():
        raise OptionError(
            f"{folder} already has a recipe.toml, which is not overwritten. Give another folder with --out."
        )
    spec = starter.preprocess_of(options.trunk)
    folder.mkdir(parents=True, exist_ok=True)
    read = own.gather(options.source, folder / "photos.parquet", options.people, lambda rows: watched(rows, "reading"))
    photos = manifest.read(read.path)
    made = _crop(photos, folder / "faces", options.detector, spec)
    parted = own.assign_parts(manifest.read(made.manifest), seed=options.seed)
    data = parted.manifest.write(folder / "faces" / "faces.parquet")
    recipe = starter.write(folder / "recipe.toml", parted.manifest, options.trunk, data)
    _report(read, made, parted)
    if options.train:
        _train(recipe, data, folder / "run")
        return DONE
    following = f"mien train {recipe} --data {data} --out {folder / 'run'}"
    sys.stdout.write(f"{one_line(f'Recipe: {recipe}')}\n{one_line(f'Next:   {following}')}\n")
    return PARTLY if read.problems or made.undetected else DONE


def _crop(photos: Manifest, folder: Path, detector: str, spec: PreprocessSpec) -> Prepared:
    from mien.datasets import own
    from mien.datasets.prepare import prepare
    from mien.recognition.detection.detect import get_detector

    chosen = detector or ("whole" if own.is_cropped(photos) else "yunet")
    return prepare(
        photos,
        folder,
        get_detector(chosen),
        clahe=False,
        size=spec.size,
        framed=True,
        interpolation=spec.interpolation,
        watch=lambda rows: watched(rows, "detecting faces"),
    )


def _report(read: Indexed, made: Prepared, parted: Parted) -> None:
    """Print what was read, cropped and split, and warnings."""
    from mien.cli.data.check import format_report
    from mien.datasets import guard, own

    show_counts(parted.manifest.counts())
    lines = [
        f"Faces:  {made.detected} of {made.detected + made.undetected} images; check {made.sheet}",
        f"Parts:  {_describe_splits(parted)}",
        *(f"Check:  {line}" for line in format_report(guard.check(parted.manifest), parted.manifest)),
        *(f"Beware: {line}" for line in own.find_warnings(parted.manifest)),
    ]
    sys.stdout.write("".join(f"{one_line(line)}\n" for line in lines))
    report_skipped(read)
    for problem in read.first_problems:
        sys.stderr.write(f"mien: {one_line(str(problem))}\n")
    if read.problem_file:
        sys.stderr.write(f"mien: {counted(read.problems, 'problem')}, all in {read.problem_file}\n")
    if made.undetected:
        _name_undetected(made)


def _name_undetected(made: Prepared) -> None:
    """Name the images without a face, the first ones where they are many."""
    with made.listed.open(newline="", encoding="utf-8") as file:
        names = [row["id"] for row in csv.DictReader(file)]
    sys.stderr.writelines(f"mien: no face: {one_line(name)}\n" for name in names[:_NAMED])
    sys.stderr.write(f"mien: no face in {counted(made.undetected, 'image')}, all in {made.listed}\n")


def _describe_splits(parted: Parted) -> str:
    from mien.datasets.own import PARTS

    drawn = [name for name in PARTS if name not in parted.kept]
    if not drawn:
        return "your own, kept"
    copies = counted(parted.copies, "image has duplicates", "images have duplicates")
    how = f"{_BY[parted.by]}; {copies}, which stay in the same split"
    return (
        f"{' and '.join(parted.kept)} your own; {drawn[0]} drawn from train, {how}" if parted.kept else f"drawn {how}"
    )


def _train(recipe: Path, data: Path, folder: Path) -> None:
    from mien.cli import load_verb

    parser, train = load_verb("train")
    train(parser.parse_args([str(recipe), "--data", str(data), "--out", str(folder)]))
    after = (
        f"mien report {folder}",
        f"mien export {folder} --data {data} --int8",
        f"mien serve --models {folder / 'model.onnx'}",
    )
    sys.stdout.write("".join(f"       {one_line(line)}\n" for line in after))
