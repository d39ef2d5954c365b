"""A Griffe extension: the house's docstrings, in which ``name:  text`` explains a field, as lists of Markdown."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

_FIELD = re.compile(r"^(\w+(?:, \w+)*):\s+(.*)$")


class HouseDocstrings(Extension):
    """Rewrite each docstring as it is met."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Rewrite the docstring of a module, class, function or attribute."""
        if obj.docstring:
            obj.docstring.value = listed(obj.docstring.value)


def listed(text: str) -> str:
    """Return ``text`` with paragraphs of ``name: text`` lines as bulleted lists."""
    return "\n\n".join(_paragraph(part) for part in re.split(r"\n\s*\n", text))


def _paragraph(part: str) -> str:
    lines = part.split("\n")
    if not _FIELD.match(lines[0]) or lines[0].startswith(("Raises", "http")):
        return part
    rows: list[str] = []
    for line in lines:
        field = _FIELD.match(line)
        if field:
            names = ", ".join(f"`{name}`" for name in field[1].split(", "))
            rows.append(f"- {names}: {field[2]}")
        elif line.startswith(" ") or not rows:
            rows.append(f"  {line.strip()}")
        else:
            rows.append(f"\n{line}")
    return "\n".join(rows)
