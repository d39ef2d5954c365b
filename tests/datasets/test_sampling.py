import numpy as np

from mien.datasets.sampling import first_of_each, ranked

NAMES = [f"face-{number}.png" for number in range(60)]
GROUPS = ["joy" if number % 3 else "fear" for number in range(60)]


def test_the_order_depends_on_names_and_seed_alone() -> None:
    order = [NAMES[row] for row in ranked(NAMES, 0)]
    backwards = NAMES[::-1]
    assert [backwards[row] for row in ranked(backwards, 0)] == order
    assert [NAMES[row] for row in ranked(NAMES, 1)] != order


def test_at_most_so_many_of_each_group_in_their_own_order() -> None:
    rows = first_of_each(NAMES, GROUPS, 7, 0)
    assert np.all(np.diff(rows) > 0)
    assert sorted(GROUPS[row] for row in rows) == ["fear"] * 7 + ["joy"] * 7


def test_who_reads_fewer_rows_draws_the_same_ones() -> None:
    few = first_of_each(NAMES, GROUPS, 9, 0)
    names, groups = [NAMES[row] for row in few], [GROUPS[row] for row in few]
    again = [names[row] for row in first_of_each(names, groups, 4, 0)]
    assert again == [NAMES[row] for row in first_of_each(NAMES, GROUPS, 4, 0)]
