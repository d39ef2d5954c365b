"""Tables for papers."""

from __future__ import annotations

from mien.reporting.latex import escape, format_csv, format_latex


def test_signs_that_latex_reads_are_escaped() -> None:
    assert escape("50 % of a_b & c\n± 2 – #1 {x} ~ ^ \\ $ < >") == (
        r"50 \% of a\_b \& c $\pm$ 2 -- \#1 \{x\} \textasciitilde{} \textasciicircum{} \textbackslash{} \$ "
        r"\textless{} \textgreater{}"
    )


def test_a_table() -> None:
    assert format_latex(("model", "F1"), [("a_b", "0.5")]) == (
        "\\begin{tabular}{lr}\n\\toprule\nmodel & F1 \\\\\n\\midrule\na\\_b & 0.5 \\\\\n\\bottomrule\n\\end{tabular}\n"
    )


def test_csv_keeps_digits_and_quotes() -> None:
    assert format_csv(("a", "b"), [("x, y", 1 / 3)]) == 'a,b\n"x, y",0.3333333333333333\n'
