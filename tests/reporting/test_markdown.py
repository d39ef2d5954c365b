"""Tables keep their shape whatever their cells hold."""

from __future__ import annotations

from mien.reporting.markdown import escape, format_table


def test_a_cell_cannot_end_itself() -> None:
    lines = format_table(("what", "figure"), [("a | b\nc", ""), ("`d`", "**1**")])
    assert lines == ["| what | figure |", "| --- | --- |", "| a \\| b c | – |", "| `d` | **1** |"]


def test_text_that_is_safe_already_is_not_escaped_twice() -> None:
    assert escape("a|b *c*\n[d]") == "a\\|b \\*c\\* \\[d\\]"
    assert format_table(("x",), [(escape("a|b"),)])[2] == "| a\\|b |"


def test_no_rows_are_no_table() -> None:
    assert format_table(("x",), []) == []
