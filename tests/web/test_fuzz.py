"""A quick form of benchmarks/serve_fuzz.py: made-up requests and damaged images are never the server's mistake."""

from __future__ import annotations

import pytest

pytest.importorskip("schemathesis")
from serve_fuzz import FORMATS, fuzz_document, fuzz_images


def test_made_up_requests_are_answered_or_refused(address: str) -> None:
    seen = fuzz_document(address, 8)
    assert {path for path, _ in seen} == {
        "/v1/predict", "/v1/explain", "/v1/models", "/healthz", "/readyz", "/metrics",
    }  # fmt: skip
    assert seen["/v1/predict", 422] + seen["/v1/predict", 400] >= 4


def test_damaged_images_are_read_or_refused(address: str) -> None:
    seen = fuzz_images(address, 105, seed=1)
    assert seen.total() == 105
    assert {name for name, _ in seen} == set(FORMATS)
    assert {status for _, status in seen} == {200, 422}
