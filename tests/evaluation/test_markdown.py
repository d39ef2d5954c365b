"""Tables keep their shape whatever their cells hold."""

from __future__ import annotations

from mien.evaluation.markdown import safe, table


def test_a_cell_cannot_end_itself() -> None:
    lines = table(("what", "figure"), [("a | b\nc", ""), ("`d`", "**1**")])
    assert lines == ["| what | figure |", "| --- | --- |", "| a \\| b c | – |", "| `d` | **1** |"]


def test_text_that_is_safe_already_is_not_escaped_twice() -> None:
    assert safe("a|b *c*\n[d]") == "a\\|b \\*c\\* \\[d\\]"
    assert table(("x",), [(safe("a|b"),)])[2] == "| a\\|b |"


def test_no_rows_are_no_table() -> None:
    assert table(("x",), []) == []
