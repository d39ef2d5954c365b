"""The API's answers: the same values as the library's, whichever way a photo is sent."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter
from serving import get, post

from mien.drawing import languages
from mien.drawing.draw import COLOURS, OWN
from mien.interpret.explain import explain_image
from mien.web.app import STATIC
from mien.web.shapes import Explanations, Offer, Predictions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import httpx

    from mien.recognition.recognizer import Recognizer

    Serve = Callable[..., str]

PNG = {"Content-Type": "image/png"}


def test_each_way_of_sending_gives_the_librarys_values(
    client: httpx.Client, recognizer: Recognizer, photo: bytes, smooth: bytes
) -> None:
    expected = [{**recognizer.predict(one).to_dict(), "faces_found": 4, "truncated": False} for one in (photo, smooth)]
    raw = client.post("/v1/predict", content=photo, headers=PNG).json()["results"]
    form = client.post("/v1/predict", files=[("images", ("a.png", photo)), ("images", ("b.png", smooth))]).json()
    text = [base64.b64encode(one).decode() for one in (photo, smooth)]
    listed = client.post("/v1/predict", json={"images": text}).json()
    assert raw == expected[:1]
    assert [one.pop("source") for one in form["results"]] == ["a.png", "b.png"]
    assert [one.pop("source") for one in listed["results"]] == [None, None]
    for one in expected:
        del one["source"]
    assert form["results"] == listed["results"] == expected


def test_answers_have_the_shapes_of_the_document(client: httpx.Client, photo: bytes) -> None:
    Predictions.model_validate(client.post("/v1/predict", files=[("images", photo), ("images", b"no")]).json())
    Explanations.model_validate(client.post("/v1/explain?classes=top2", content=photo, headers=PNG).json())
    Offer.model_validate(client.get("/v1/models").json())


def test_faces_that_are_left_out_are_counted(serve: Serve, photo: bytes) -> None:
    address = serve(max_faces=3, explain_faces=2)
    for verb, listed in (("predict", 3), ("explain", 2), ("predict?max_faces=1", 1)):
        (result,) = post(f"{address}/v1/{verb}", content=photo, headers=PNG).json()["results"]
        assert (len(result["faces"]), result["faces_found"], result["truncated"]) == (listed, 4, True)


def test_any_face_can_be_explained_alone(serve: Serve, photo: bytes) -> None:
    address = serve(max_faces=4, explain_faces=2)

    def explain(query: str) -> httpx.Response:
        return post(f"{address}/v1/explain?{query}", content=photo, headers=PNG)

    faces = post(f"{address}/v1/predict", content=photo, headers=PNG).json()["results"][0]["faces"]
    (result,) = explain("face=3").json()["results"]
    (face,) = result["faces"]
    assert (face["box"], len(face["maps"])) == (faces[3]["box"], 1)
    assert (result["faces_found"], result["truncated"]) == (4, True)
    assert explain("face=1").json()["results"][0]["faces"] == explain("max_faces=2").json()["results"][0]["faces"][1:]
    for query, expected in (("face=4", "expected 0 to 3"), ("face=-1", "face"), ("face=0&max_faces=1", "not both")):
        answer = explain(query)
        assert (answer.status_code, answer.json()["type"]) == (422, "urn:mien:problem:bad-option"), query
        assert expected in answer.json()["detail"]
    assert post(f"{address}/v1/predict?face=0", content=photo, headers=PNG).status_code == 422


def test_a_face_that_the_photo_does_not_have_is_no_error(client: httpx.Client, photo: bytes) -> None:
    (result,) = client.post("/v1/explain?face=4", content=photo, headers=PNG).json()["results"]
    assert (result["faces"], result["faces_found"], result["truncated"]) == ([], 4, True)


def test_the_limits_say_whether_videos_are_read(serve: Serve, client: httpx.Client) -> None:
    assert client.get("/v1/models").json()["limits"]["videos"] == 0
    pytest.importorskip("av")
    pytest.importorskip("scipy.optimize")
    limits = get(f"{serve(videos=1, video_body=5000)}/v1/models").json()["limits"]
    assert (limits["videos"], limits["video_body"], limits["video_seconds"], limits["video_frames"]) == (
        1,
        5000,
        300,
        10_000,
    )


def test_a_photo_without_a_face_is_a_result_without_faces(client: httpx.Client, nobody: bytes) -> None:
    for verb in ("predict", "explain"):
        answer = client.post(f"/v1/{verb}", content=nobody, headers=PNG)
        assert answer.status_code == 200
        assert answer.json()["results"][0]["faces"] == []


def test_a_bad_photo_does_not_lose_the_others(client: httpx.Client, photo: bytes) -> None:
    files = [("images", ("1.png", photo)), ("images", ("2.png", photo[:200])), ("images", ("3.png", photo))]
    answer = client.post("/v1/predict", files=files)
    first, second, third = answer.json()["results"]
    assert answer.status_code == 200
    assert len(first["faces"]) == len(third["faces"]) == 4
    assert second["source"] == "2.png"
    assert "cut off" in second["error"]


def test_one_bad_photo_is_a_problem(client: httpx.Client) -> None:
    answer = client.post("/v1/predict", content=b"hello", headers=PNG)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert set(told) == {"type", "title", "status", "detail", "instance", "request_id"}
    assert told["type"] == "urn:mien:problem:unreadable-image"
    assert "expected JPEG, PNG" in told["detail"]
    assert told["request_id"] == answer.headers["x-request-id"]


def test_options(client: httpx.Client, photo: bytes) -> None:
    def faces(query: str) -> list[dict[str, object]]:
        result = client.post(f"/v1/predict?{query}", content=photo, headers=PNG).json()["results"][0]
        found: list[dict[str, object]] = result["faces"]
        return found

    assert len(faces("max_faces=2")) == 2
    assert faces("max_faces=2") == faces("")[:2]
    assert len(faces("detector=whole&model=tiny")) == 1


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("detector=holw", "Did you mean 'whole'?"),
        ("model=tyni", "Did you mean 'tiny'?"),
        ("max_faces=0", "max_faces"),
        ("max_faces=101", "at most 100"),
        ("max_faces=x", "max_faces = 'x'"),
    ],
)
def test_a_wrong_option_is_named(client: httpx.Client, photo: bytes, query: str, expected: str) -> None:
    answer = client.post(f"/v1/predict?{query}", content=photo, headers=PNG)
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:mien:problem:bad-option"
    assert expected in answer.json()["detail"]


@pytest.mark.parametrize("classes", ["hapiness", "top9", "top0", "happiness,happiness", ","])
def test_a_wrong_class_is_named_even_without_a_face(client: httpx.Client, nobody: bytes, classes: str) -> None:
    answer = client.post(f"/v1/explain?classes={classes}", content=nobody, headers=PNG)
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:mien:problem:bad-option"


def test_explanation_is_the_librarys(client: httpx.Client, recognizer: Recognizer, smooth: bytes) -> None:
    query = "classes=happiness,anger&max_faces=2"
    told = client.post(f"/v1/explain?{query}", content=smooth, headers=PNG).json()["results"][0]
    expected = explain_image(recognizer, smooth, ("happiness", "anger")).to_dict()
    for face, own in zip(told["faces"], expected["faces"][:2], strict=True):
        assert [one["class"] for one in face["maps"]] == ["happiness", "anger"]
        for one, other in zip(face["maps"], own["maps"], strict=True):
            np.testing.assert_allclose(one["map"], other["map"], atol=1e-4)
            assert one["faithfulness"]["score"] == pytest.approx(other["faithfulness"]["score"], abs=1e-4)
    half = (30 * 20) ** 0.5 / 2  # the crop is a square with the area of the box, the upper right quarter
    square = [[45 - half, 10 - half], [45 + half, 10 - half], [45 - half, 10 + half]]
    np.testing.assert_allclose(told["faces"][1]["corners"], square)


def test_models_are_told_from_their_files(client: httpx.Client, recognizer: Recognizer) -> None:
    offer = client.get("/v1/models").json()
    (model,) = offer["models"]
    bundle = recognizer.bundle
    assert (model["digest"], model["labels"], model["metrics"]) == (
        bundle.digest, list(bundle.labels.labels), bundle.metrics,
    )  # fmt: skip
    assert "graph" not in model
    assert offer["detector"] == "quarters"
    assert {"quarters", "yunet", "haar", "whole"} <= set(offer["detectors"])
    assert offer["limits"]["max_images"] == 16


def test_health_and_metrics(client: httpx.Client, photo: bytes) -> None:
    client.post("/v1/predict", content=photo, headers=PNG)
    client.get("/no/such/page")
    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready"}
    text = client.get("/metrics").text
    assert re.search(r'mien_requests_total\{route="/v1/predict",status="200"\} [1-9]', text)
    assert re.search(r'mien_photos_total\{outcome="read"\} [1-9]', text)
    assert "no/such" not in text


def test_unknown_addresses_and_methods_are_problems(client: httpx.Client) -> None:
    assert client.get("/v1/nothing").json()["type"] == "urn:mien:problem:not-found"
    answer = client.get("/v1/predict")
    assert (answer.status_code, answer.json()["status"], answer.headers["allow"]) == (405, 405, "POST")


def test_the_document_has_bodies_examples_and_problems(client: httpx.Client) -> None:
    document = client.get("/v1/openapi.json").json()
    assert set(document["paths"]) == {"/v1/predict", "/v1/explain", "/v1/models", "/healthz", "/readyz", "/metrics"}
    post = document["paths"]["/v1/predict"]["post"]
    assert {"image/jpeg", "multipart/form-data", "application/json"} <= set(post["requestBody"]["content"])
    assert {"200", "401", "403", "413", "415", "422", "429", "503"} <= set(post["responses"])
    example = post["responses"]["200"]["content"]["application/json"]["example"]
    TypeAdapter(Predictions).validate_python(example)


def test_the_server_needs_nothing_of_the_learning_half() -> None:
    code = "import sys, mien.web.server; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "mien.web.app" in loaded
    assert not loaded & {
        "torch",
        "pandas",
        "pyarrow",
        "matplotlib",
        "mien.learning",
        "mien.datasets",
        "mien.evaluation",
    }


def test_page_and_its_files(client: httpx.Client) -> None:
    page = client.get("/").text
    names = re.findall(r'(?:src|href)="(static/[^"]+)"', page)
    assert {"static/app.js", "static/style.css"} <= set(names)
    for name in names:
        assert client.get(f"/{name}").status_code == 200
    assert client.get("/static/languages.json").json() == languages.words()


def test_the_page_is_light_and_asks_nobody_else() -> None:
    files = [file for file in STATIC.iterdir() if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 250_000
    for file in files:
        if file.suffix in (".html", ".js", ".css"):
            hosts = re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", file.read_text("utf-8"))
            assert [host for host in hosts if "www.w3.org" not in host] == [], file


def test_the_page_draws_in_the_librarys_colours() -> None:
    script = (STATIC / "colours.js").read_text("utf-8")
    (table,) = re.findall(r"export const COLOURS = \{(.*?)\};", script, re.DOTALL)
    written = dict(re.findall(r'(\w+): "#([0-9a-f]{6})"', table))
    assert written == {name: "".join(f"{part:02x}" for part in colour) for name, colour in COLOURS.items()}
    (own,) = re.findall(r"export const OWN = \[(.*?)\];", script, re.DOTALL)
    assert re.findall(r"#([0-9a-f]{6})", own) == ["".join(f"{part:02x}" for part in colour) for colour in OWN]


def test_the_sample_is_the_example(examples: Path) -> None:
    sample, example = Image.open(STATIC / "sample.jpg"), Image.open(examples / "astronaut.jpg")
    small = example.resize(sample.size)
    difference = sum(
        abs(a - b) for a, b in zip(sample.convert("L").tobytes(), small.convert("L").tobytes(), strict=True)
    )
    assert difference / (sample.width * sample.height) < 4


@pytest.mark.parametrize("stripped", [True, False], ids=["prefix taken off", "prefix kept"])
def test_below_a_path_of_a_proxy(serve: Serve, photo: bytes, stripped: bool) -> None:
    address = serve(root_path="/mien")
    inside = address if stripped else f"{address}/mien"
    assert post(f"{inside}/v1/predict", content=photo, headers=PNG).status_code == 200
    assert get(f"{inside}/static/app.js").status_code == 200
    moved = get(f"{inside}/v1/models/")
    assert (moved.status_code, moved.headers["location"]) == (307, f"{address}/mien/v1/models")
    assert get(f"{inside}/v1/openapi.json").json()["servers"] == [{"url": "/mien"}]
    assert 'mien_requests_total{route="/v1/predict",status="200"} 1.0' in get(f"{inside}/metrics").text


def test_files_of_the_page_are_asked_for_anew_and_answered_short(serve: Serve) -> None:
    address = serve()
    first = get(f"{address}/static/app.js")
    assert first.headers["cache-control"] == "no-cache"
    again = get(f"{address}/static/app.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    text = get(f"{address}/metrics").text
    assert 'mien_requests_total{route="/static",status="200"} 1.0' in text
    assert 'mien_requests_total{route="/static",status="304"} 1.0' in text
    assert 'route="other"' not in text


@pytest.mark.parametrize("path", ["/", "/v1/models", "/healthz", "/readyz", "/v1/openapi.json", "/static/app.js"])
def test_head_answers_as_get_without_a_body(client: httpx.Client, path: str) -> None:
    got, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (got.status_code, b"") == (200, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    assert head.headers["content-length"] == got.headers["content-length"]
    assert client.head("/v1/predict").status_code == 405


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/v1/predict?detectr=haar", "Unknown option 'detectr': expected model, detector, max_faces. Did you mean"),
        ("/v1/explain?class=top2", "Did you mean 'classes'?"),
    ],
)
def test_an_unknown_option_is_refused_by_name(client: httpx.Client, photo: bytes, path: str, words: str) -> None:
    answer = client.post(path, content=photo, headers=PNG)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


def test_an_option_where_there_is_none_is_refused(client: httpx.Client) -> None:
    assert "has no options" in client.get("/v1/models?page=2").json()["detail"]
    assert client.get("/healthz?t=1").status_code == 200


def test_base64_with_wrapped_lines_is_read(client: httpx.Client, photo: bytes) -> None:
    wrapped = base64.encodebytes(photo).decode()
    assert wrapped.count("\n") > 10
    plain = client.post("/v1/predict", json={"images": [base64.b64encode(photo).decode()]}).json()
    assert client.post("/v1/predict", json={"images": [wrapped]}).json() == plain
    assert client.post("/v1/predict", json={"images": [wrapped.replace("\n", "\r\n")]}).json() == plain
    assert client.post("/v1/predict", json={"images": [f"{wrapped}*"]}).status_code == 400


def test_a_part_without_a_file_name_is_told_what_it_lacks(client: httpx.Client, photo: bytes) -> None:
    assert len(photo) > 1024
    head = b'--b\r\nContent-Disposition: form-data; name="image"\r\nContent-Type: image/png\r\n\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = client.post("/v1/predict", content=head + photo + b"\r\n--b--\r\n", headers=headers)
    assert answer.status_code == 400
    assert "no file name" in answer.json()["detail"]
