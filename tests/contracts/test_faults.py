"""The list of mistakes that scripts/fault_injection.py tries does not rot: each still has its place and its tests."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fault_injection", ROOT / "scripts" / "fault_injection.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


def test_each_mistake_has_its_place_and_its_tests(script: ModuleType) -> None:
    found = script.faults()
    assert len({each.name for each in found}) == len(found) >= 20
    for each in found:
        assert (ROOT / each.file).read_text(encoding="utf-8").count(each.old) == 1, each.name
        assert each.new != each.old
        assert each.tests
        assert all((ROOT / test.split("::")[0]).is_file() for test in each.tests), each.name


def test_every_kind_that_must_be_noticed_is_tried(script: ModuleType) -> None:
    kinds = {each.name.split(":")[0] for each in script.faults()}
    assert kinds >= {"label order", "channel order", "normalisation", "split", "temperature", "views", "selection"}


def test_a_mistake_is_put_in_and_a_wrong_place_refused(script: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    fault = script.Fault("f", "a.py", "x = 1", "x = 2", ("t",))
    assert script.inject(fault, tmp_path) == "x = 1\n"
    assert (tmp_path / "a.py").read_text() == "x = 2\n"
    with pytest.raises(SystemExit, match="0 times"):
        script.inject(fault, tmp_path)
