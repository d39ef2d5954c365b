"""The shipped weights keep what their file, the model card and the README state, measured again on the real data."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import mien
from mien import images

pytest.importorskip("pyarrow")

from mien.datasets import terms
from mien.datasets.faces import FaceSet, also_in
from mien.datasets.formats import photos
from mien.evaluation.metrics.calibration import calibration_error
from mien.evaluation.metrics.disagreement import disagreement
from mien.evaluation.photos import read_photos
from mien.recognition.model_files.bundle import read
from mien.recognition.model_files.names import FILES, WEIGHTS, shipped

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Held:
    """What a shipped model is held to, by the rules of its own labels.

    run: the figures, in docs/runs, of the run that its weights come from.  scorings: how often that scored PrivateTest.
    accuracy, ece: least and most on PrivateTest.  own: its faces that do not stand in Training too.
    megabytes: the most that its file may weigh.
    """

    run: str
    accuracy: float
    ece: float
    megabytes: float
    own: int = 3301
    scorings: int = 1


HELD = {
    # Scored anew after its classes were balanced on the validation part: docs/experiments.md.
    "ferplus8": Held("fer8/metrics.json", 0.84, 0.03, 7, own=2897, scorings=2),
    "fer2013-four-block": Held("fer2013-four-block/metrics.json", 0.695, 0.045, 6),
    # These two scored anew with smoothed crops; fer7-nano before with ranges found in another way, and after with its
    # first convolution in float32. All was chosen on PublicTest, or by time: docs/experiments.md and docs/lab.
    "fer7": Held("fer7/metrics.json", 0.72, 0.021, 12, scorings=2),
    "fer7-nano": Held("fer7-nano/metrics-int8.json", 0.695, 0.025, 0.3, scorings=5),
}


@pytest.fixture(scope="module", params=HELD)
def model(request: pytest.FixtureRequest) -> str:
    """The name of each shipped model."""
    return str(request.param)


@pytest.fixture(scope="module")
def corpus(model: str, request: pytest.FixtureRequest) -> FaceSet:
    """FER2013 with the labels that the model has learned."""
    found = request.getfixturevalue(f"{read(model).labels.name}_faces")
    assert isinstance(found, FaceSet)
    return found


@pytest.fixture(scope="module")
def private(corpus: FaceSet) -> FaceSet:
    return corpus.part("PrivateTest")


@pytest.fixture(scope="module")
def answers(request: pytest.FixtureRequest) -> Callable[[str], np.ndarray]:
    """What a shipped model says of PrivateTest, asked once."""

    @cache
    def ask(model: str) -> np.ndarray:
        faces = request.getfixturevalue(f"{read(model).labels.name}_faces").part("PrivateTest")
        return mien.load(model, detector="whole").classify(faces.pixels)

    return ask


@pytest.fixture(scope="module")
def probabilities(model: str, answers: Callable[[str], np.ndarray]) -> np.ndarray:
    return answers(model)


def test_all_shipped_models_are_held_to_something() -> None:
    assert set(shipped()) == {*HELD, "world8"}  # which test_world8.py holds


def test_file_size(model: str) -> None:
    file = WEIGHTS / FILES[model]
    assert file.stat().st_size <= HELD[model].megabytes * 1_000_000


def test_the_example_photo() -> None:
    result = mien.load().predict(ROOT / "examples" / "astronaut.jpg")
    assert [face.emotion for face in result.faces] == ["happiness"]
    assert result.faces[0].confidence > 0.8
    assert not result.faces[0].uncertain


def test_every_door_gives_the_same_result(tmp_path: Path) -> None:
    from PIL import Image

    path = ROOT / "examples" / "astronaut.jpg"
    recognizer = mien.load()
    expected = recognizer.predict(path).faces
    with path.open("rb") as file, Image.open(path) as picture:
        doors: list[Any] = [str(path), path.read_bytes(), file, picture, images.load(path)]
        for image in doors:
            assert recognizer.predict(image).faces == expected


@pytest.mark.data
def test_accuracy_on_private_test(model: str, private: FaceSet, probabilities: np.ndarray) -> None:
    stated = read(model).metrics["private_test"]
    accuracy = float((probabilities.argmax(1) == private.labels).mean())
    assert accuracy == pytest.approx(stated["accuracy"], abs=0.001)
    assert accuracy >= HELD[model].accuracy
    low, high = stated["interval"]
    assert low < accuracy < high


@pytest.mark.data
def test_accuracy_without_training_copies(
    model: str, corpus: FaceSet, private: FaceSet, probabilities: np.ndarray
) -> None:
    own = ~also_in(private, corpus.part("Training"))
    stated = read(model).metrics["private_test_without_training_copies"]
    assert own.sum() == stated["faces"] == HELD[model].own
    accuracy = float((probabilities.argmax(1) == private.labels)[own].mean())
    assert accuracy == pytest.approx(stated["accuracy"], abs=0.001)


@pytest.mark.data
def test_a_permuted_label_order_would_be_noticed(model: str, private: FaceSet, probabilities: np.ndarray) -> None:
    alphabetical = np.argsort(read(model).labels.labels)
    assert (probabilities[:, alphabetical].argmax(1) == private.labels).mean() < 0.5


@pytest.mark.data
def test_another_preprocessing_would_be_noticed(model: str, private: FaceSet, probabilities: np.ndarray) -> None:
    recognizer = mien.load(model, detector="whole")
    inverted = recognizer.classify(255 - private.pixels[:500])
    right = probabilities.argmax(1)[:500] == private.labels[:500]
    assert (inverted.argmax(1) == private.labels[:500]).mean() < right.mean() - 0.15


@pytest.mark.data
def test_probabilities_are_calibrated_on_private_test(model: str, private: FaceSet, probabilities: np.ndarray) -> None:
    assert calibration_error(probabilities, private.labels) <= HELD[model].ece


@pytest.mark.data
def test_certain_answers_are_right_more_often(model: str, private: FaceSet, probabilities: np.ndarray) -> None:
    bundle = read(model)
    certain = probabilities.max(1) >= bundle.uncertain_below
    right = probabilities.argmax(1) == private.labels
    assert right[certain].mean() == pytest.approx(bundle.metrics["uncertain"]["accuracy"], abs=0.03)
    assert certain.mean() == pytest.approx(bundle.metrics["uncertain"]["coverage"], abs=0.03)
    assert right[~certain].mean() < right[certain].mean() - 0.2


@pytest.mark.data
@pytest.mark.parametrize(
    ("zipped", "count", "least"), [("kdef_frontal350.zip", 979, 0.735), ("ckplus350.zip", 401, 0.815)]
)
def test_end_to_end(data_dir: Path, zipped: str, count: int, least: float) -> None:
    found = read_photos(mien.load("ferplus8", classes="fer2013"), photos.read(data_dir / zipped))
    assert found.photos == count
    assert found.found >= 0.99
    assert found.accuracy >= least
    assert found.of_found.ece <= 0.1


@pytest.mark.data
def test_ferplus8_doubts_where_people_disagree(ferplus_faces: FaceSet, answers: Callable[[str], np.ndarray]) -> None:
    votes, told = ferplus_faces.part("PrivateTest").votes, answers("ferplus8")
    assert votes is not None
    assert disagreement(told, votes).spearman >= 0.4
    people = pytest.importorskip("scipy.stats").entropy(votes, axis=1)
    uncertain = told.max(1) < read("ferplus8").uncertain_below
    assert people[uncertain].mean() > 1.8 * people[~uncertain].mean()


def test_the_licence_of_weights_is_stated(model: str) -> None:
    assert read(model).licence.startswith("Weights: MIT")


def test_the_corpora_of_weights_are_stated_with_the_terms_of_today(model: str) -> None:
    stated = read(model).trained_on
    assert stated
    assert stated == tuple(terms.corpus(each.name, each.use) for each in stated)


def test_fer2013_alone_is_behind_the_models_that_say_so_by_their_names() -> None:
    learned = {name: {each.name for each in read(name).trained_on} for name in FILES}
    assert learned["ferplus8"] == {"fer2013", "ferplus"}
    assert learned["fer7"] == learned["fer7-nano"] == learned["fer2013-four-block"] == {"fer2013"}


def test_readme_and_card_state_the_measured_figure(model: str) -> None:
    stated = read(model).metrics["private_test"]["accuracy"]
    for page in ("README.md", "MODEL_CARD.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        assert re.search(rf"{stated * 100:.1f}\s?%", text), f"{page} does not state {stated:.1%}"


def test_figures_in_the_file_agree_with_the_committed_run(model: str) -> None:
    recorded = json.loads((ROOT / "docs" / "runs" / HELD[model].run).read_text(encoding="utf-8"))
    stated = read(model).metrics
    assert stated["private_test"]["accuracy"] == recorded["private_test"]["accuracy"]
    assert recorded["test_scorings"] == HELD[model].scorings
