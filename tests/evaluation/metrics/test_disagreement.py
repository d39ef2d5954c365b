"""Whether a model doubts where people do."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy")

from mien.errors import DataError
from mien.evaluation.metrics.disagreement import disagreement


def softened(shares: np.ndarray, power: float) -> np.ndarray:
    raised = shares**power
    return np.asarray(raised / raised.sum(1, keepdims=True))


@pytest.fixture
def votes() -> np.ndarray:
    return np.random.default_rng(0).dirichlet([0.3] * 8, 2000)


def test_the_votes_entropy_is_in_nats() -> None:
    votes = np.repeat([[1, 0, 0], [0.5, 0.5, 0], [1 / 3] * 3], 10, axis=0)
    found = disagreement(votes, votes)
    assert (found.certain, found.uncertain) == pytest.approx((0, np.log(3)))


def test_a_model_that_answers_as_people_vote(votes: np.ndarray) -> None:
    found = disagreement(votes, votes)
    assert found.spearman == pytest.approx(1)
    assert found.certain < 0.6 * found.uncertain
    # any monotone change of the confidence leaves the ranks of two-class doubts alone
    pairs = np.stack([votes[:, 0], 1 - votes[:, 0]], 1)
    assert disagreement(softened(pairs, 0.5), pairs).spearman == pytest.approx(1, abs=1e-6)


def test_a_model_that_doubts_elsewhere(votes: np.ndarray) -> None:
    shuffled = votes[np.random.default_rng(1).permutation(len(votes))]
    found = disagreement(shuffled, votes)
    low, high = found.interval
    assert low < 0 < high
    assert high - low == pytest.approx(2 * 1.96 / np.sqrt(2000), rel=0.05)
    assert found.certain == pytest.approx(found.uncertain, rel=0.1)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    draw, held = np.random.default_rng(2), 0
    for _ in range(200):
        doubts, noise = draw.normal(size=(2, 300))
        both = np.stack([doubts, doubts + 1.5 * noise], 1)
        one, other = (np.stack([0.5 + x / 2, 0.5 - x / 2], 1) for x in (1 / (1 + np.exp(-both))).T)
        low, high = disagreement(one, other).interval
        held += low < 0.537 < high  # Spearman of a normal pair with this correlation: 6/π asin(r/2), r = 0.5547
    assert 0.9 < held / 200 < 0.99


def test_faces_without_votes_do_not_count(votes: np.ndarray) -> None:
    some = votes.copy()
    some[500:] = 0
    assert disagreement(votes, some).faces == 500
    with pytest.raises(DataError, match=r"9 faces with votes; expected at least 10\. Index with --votes"):
        disagreement(votes[:9], votes[:9])


def test_what_has_no_ranks_is_refused(votes: np.ndarray) -> None:
    with pytest.raises(DataError, match="same entropy"):
        disagreement(np.full_like(votes, 1 / 8), votes)
    with pytest.raises(DataError, match="expected the same"):
        disagreement(votes, votes[:, :7])
