import math
from dataclasses import replace

import numpy as np
import pytest

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")
pytest.importorskip("pydantic")

from mien.datasets.faces import FaceSet  # noqa: E402
from mien.errors import DataError, OptionError, RecipeError  # noqa: E402
from mien.labels import FERPLUS  # noqa: E402
from mien.networks.consensus import Consensus, CorporaLoss  # noqa: E402
from mien.recipes import recipe  # noqa: E402
from mien.recipes.tables import CorporaTable, CorpusHead  # noqa: E402
from mien.training import corpora, parts  # noqa: E402
from mien.training.batches import ShuffledBatches  # noqa: E402

HEADS = (
    CorpusHead(name="votes", datasets=("fer",), votes=True),
    CorpusHead(name="fer", datasets=("fer",)),
    CorpusHead(name="web", datasets=("web",)),
)
TABLE = CorporaTable(shares={"fer": 1.0, "web": 3.0}, heads=HEADS)


@pytest.fixture
def two() -> FaceSet:
    """20 faces of ``fer``, of which the first 10 have votes for anger, and 60 of ``web``, without contempt."""
    labels = np.array([*range(8), *range(8), 0, 1, 2, 3, *[row % 7 for row in range(59)], 1], np.int64)
    votes = np.zeros((80, 8), np.float32)
    votes[:10, 4] = 1.0
    return FaceSet(
        FERPLUS,
        np.zeros((80, 40, 40, 3), np.uint8),
        labels,
        np.array(["Training"] * 18 + ["PublicTest", "PrivateTest"] + ["train"] * 58 + ["validation", "test"]),
        tuple(str(row) for row in range(80)),
        votes=votes,
        datasets=np.array(["fer"] * 20 + ["web"] * 60),
    )


def test_faces_are_labelled_as_their_first_head_says(two: FaceSet) -> None:
    agreed = corpora.relabel(two, TABLE)
    assert agreed.labels[:10].tolist() == [4] * 10
    assert (agreed.labels[10:] == two.labels[10:]).all()
    assert agreed.columns[corpora.OWN_LABEL][:3].tolist() == ["neutral", "happiness", "surprise"]
    assert set(agreed.splits.tolist()) == {"train", "validation", "test"}


def test_agreeing_twice_changes_nothing(two: FaceSet) -> None:
    once = corpora.relabel(two, TABLE)
    twice = corpora.relabel(once, TABLE)
    assert (once.labels == twice.labels).all()
    assert (corpora.head_targets(once, TABLE) == corpora.head_targets(twice, TABLE)).all()


def test_only_drawn_corpora_stay_and_absent_ones_are_named(two: FaceSet) -> None:
    assert len(corpora.relabel(two, CorporaTable(shares={"web": 1.0}))) == 60
    with pytest.raises(DataError, match=r"film.*fer, web"):
        corpora.relabel(two, CorporaTable(shares={"film": 1.0}))


def test_each_head_learns_what_its_corpus_says(two: FaceSet) -> None:
    targets = corpora.head_targets(corpora.relabel(two, TABLE), TABLE)
    assert targets.shape == (80, 3, 8)
    assert targets[0, 0].argmax() == 4  # the votes
    assert targets[0, 1].argmax() == 0  # FER2013's own label
    assert not targets[0, 2].any()
    assert not targets[10, 0].any()  # a face without votes
    assert targets[30, 2].sum() == 1
    known = corpora.vocabulary(targets)
    assert known[2].tolist() == [True] * 7 + [False]  # web has no contempt
    assert known[0].tolist() == [row == 4 for row in range(8)]


def test_corpora_are_drawn_by_their_shares_and_classes_by_balance(two: FaceSet) -> None:
    chances = corpora.sampling_probabilities(two, TABLE.model_copy(update={"balance": 1.0}))
    assert chances.sum() == pytest.approx(1)
    assert chances[:20].sum() == pytest.approx(0.25)
    web = [chances[20:][two.labels[20:] == label].sum() for label in range(7)]
    assert web == pytest.approx([0.75 / 7] * 7)
    alike = corpora.sampling_probabilities(two, TABLE.model_copy(update={"balance": 0.0}))
    assert np.ptp(alike[20:]) == pytest.approx(0)


def test_an_epoch_draws_as_many_faces_as_asked_and_the_same_again() -> None:
    chances = np.full(10, 0.1)
    batches, again = (ShuffledBatches(10, 4, 0, chances, draws=42) for _ in range(2))
    assert len(batches) == len(list(batches)) == 10
    assert list(batches) == list(again)


def test_the_parts_of_several_corpora_are_arranged_together(two: FaceSet) -> None:
    arranged = parts.arrange(two, recipe.load("world8").data.model_copy(update={"corpora": TABLE}))
    assert len(arranged.part(parts.TRAIN)) == 18 + 58
    assert len(arranged.part(parts.VALIDATION)) == 2


def test_faces_without_a_corpus_are_refused(two: FaceSet) -> None:
    with pytest.raises(DataError, match=r"corpora\.shares"):
        corpora.relabel(replace(two, datasets=None), TABLE)


def test_a_consensus_answers_alone_or_with_its_heads() -> None:
    network = Consensus(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 24)), 8)
    crops = torch.randn(5, 3, 2, 2)
    everything = network(crops, heads=True)
    assert everything.shape == (5, 3, 8)
    assert torch.equal(network(crops), everything[:, 0])


def test_the_loss_is_that_of_each_face_s_own_heads() -> None:
    known = np.array([[True] * 3, [True, True, False]])
    loss = CorporaLoss(known, agreement=0.0, smoothing=0.0)
    logits = torch.tensor([[[2.0, 0, 0], [0, 1, 0], [0, 3, 50.0]]])
    first = torch.tensor([[[1.0, 0, 0], [0, 0, 0]]])
    heads = torch.tensor([0.0, 1, 0]).log_softmax(0)[0] + torch.tensor([2.0, 0, 0]).log_softmax(0)[0]
    assert loss(logits, first).item() == pytest.approx(-heads.item())
    second = torch.tensor([[[0, 0, 0], [0, 1.0, 0]]])  # the second head does not know the third class
    wanted = torch.tensor([0.0, 3]).log_softmax(0)[1] + torch.tensor([2.0, 0]).log_softmax(0)[1]
    assert loss(logits, second).item() == pytest.approx(-wanted.item(), abs=1e-6)


def test_the_consensus_learns_the_heads_mean_answer_and_teaches_them_nothing() -> None:
    known = np.array([[True] * 3, [True, True, False]])
    loss = CorporaLoss(known, agreement=1.0, smoothing=0.0)
    logits = torch.zeros(1, 3, 3, requires_grad=True)
    with torch.no_grad():
        logits[0, 1], logits[0, 2] = torch.tensor([4.0, 0, 0]), torch.tensor([0.0, 4, 0])
    targets = torch.tensor([[[0, 0, 1.0], [0, 0, 0]]])
    loss(logits, targets).backward()
    assert logits.grad is not None
    first, second = torch.tensor([4.0, 0, 0]).softmax(0), torch.tensor([0.0, 4]).softmax(0)
    mean = torch.stack([(first[0] + second[0]) / 2, (first[1] + second[1]) / 2, first[2]])
    assert torch.allclose(logits.grad[0, 0], 1 / 3 - mean / mean.sum(), atol=1e-6)
    assert torch.allclose(logits.grad[0, 1], first - torch.tensor([0, 0, 1.0]), atol=1e-6)
    assert not logits.grad[0, 2].any()


def test_teachers_change_the_loss_of_the_consensus_alone() -> None:
    known = np.array([[True, True, True]])
    logits = torch.tensor([[[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]]]).log()
    own, teachers = torch.tensor([[[0.0, 1.0, 0.0]]]), torch.tensor([[[0.1, 0.2, 0.7]]])
    without = CorporaLoss(known, agreement=0.0, smoothing=0.0)
    loss = CorporaLoss(known, agreement=0.0, smoothing=0.0, teachers=0.25)
    of_head, of_consensus = -math.log(0.3), -math.log(0.5)
    of_teachers = -(0.1 * math.log(0.2) + 0.2 * math.log(0.5) + 0.7 * math.log(0.3))
    assert without(logits, own).item() == pytest.approx(of_head + of_consensus, abs=1e-6)
    mixed = of_head + 0.75 * of_consensus + 0.25 * of_teachers
    assert loss(logits, torch.cat([own, teachers], dim=1)).item() == pytest.approx(mixed, abs=1e-6)


def test_label_smoothing_stays_within_a_head_s_classes() -> None:
    loss = CorporaLoss(np.array([[True, True, False]]), agreement=0.0, smoothing=0.5)
    logits = torch.zeros(1, 2, 3, requires_grad=True)
    loss(logits, torch.tensor([[[1.0, 0, 0]]])).backward()
    assert logits.grad is not None
    assert torch.allclose(logits.grad[0, 1], torch.tensor([-0.25, 0.25, 0]), atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data.corpora.draws": 3}, "draws = 3"),
        ({"data.votes": True}, "data.corpora has its own"),
        ({"augment.mixup": 0.2}, "mixup"),
        ({"distil.models": ["default"]}, "distil"),
        ({"data.corpora.heads": [{"name": "x", "datasets": ["film"]}]}, "'film'"),
    ],
)
def test_recipes_that_cannot_be_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe.load("world8").with_values(changes)


def test_each_labelling_scheme_counts_by_the_root_of_its_faces(two: FaceSet) -> None:
    groups = corpora.groups(two, TABLE)
    assert {name: len(rows) for name, rows in groups.items()} == {"votes": 20, "web": 60}
    weights = corpora.group_weights(two, TABLE)
    assert weights.mean() == pytest.approx(1)
    assert weights[20:].sum() == pytest.approx(3**0.5 * weights[:20].sum())


def test_a_head_s_faces_are_those_it_speaks_of(two: FaceSet) -> None:
    agreed = corpora.relabel(two, TABLE)
    own, number = corpora.select_head(agreed, TABLE, "fer")
    assert number == 2
    assert (own.labels == two.labels[:20]).all()
    voted, number = corpora.select_head(agreed, TABLE, "votes")
    assert (number, voted.labels.tolist()) == (1, [4] * 10)
    with pytest.raises(OptionError, match="votes, fer, web"):
        corpora.select_head(agreed, TABLE, "film")
