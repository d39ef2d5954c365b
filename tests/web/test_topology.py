"""deploy/ with the real nginx and Gunicorn: what dies or restarts behind the proxy is not seen in front of it."""

from __future__ import annotations

import json
import re
import threading
import time
import tomllib
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest
import yaml

pytest.importorskip("gunicorn", reason="needs gunicorn, which Windows does not have")
from serve_topology import NGINX, ROOT, Topology, answers, gunicorn, topology, wait_for
from serving import get, post
from websockets.sync.client import connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

JPEG = {"Content-Type": "image/jpeg"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Topology]:
    if not NGINX:
        pytest.skip("needs nginx (Debian: nginx)")
    with topology(tmp_path_factory.mktemp("topology")) as found:
        yield found


@pytest.fixture(scope="module")
def jpeg() -> bytes:
    return (ROOT / "examples" / "astronaut.jpg").read_bytes()


@contextmanager
def load(address: str, photo: bytes, clients: int = 3) -> Iterator[Counter[object]]:
    """Ask again and again from several threads; count statuses, and errors by their names."""
    seen: Counter[object] = Counter()
    ending = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=address, timeout=30) as client:
            while not ending.is_set():
                try:
                    seen[client.post("/v1/predict", content=photo, headers=JPEG).status_code] += 1
                except httpx.HTTPError as error:
                    seen[type(error).__name__] += 1

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        ending.set()
        for thread in threads:
            thread.join()


def read(address: str) -> int:
    """How many photos a replica says it has read."""
    found = re.search(r'mien_photos_total\{outcome="read"\} ([0-9.]+)', get(f"{address}/metrics").text)
    return int(float(found[1])) if found else 0


def test_the_shipped_configuration_counts_over_all_workers_and_leaves_no_folder(tmp_path: Path, jpeg: bytes) -> None:
    with gunicorn(tmp_path, WORKERS="2") as replica:
        for _ in range(8):  # a connection each, so that both workers have some
            assert post(f"{replica.address}/v1/predict", content=jpeg, headers=JPEG).status_code == 200
        assert read(replica.address) == 8
        before = {worker.pid for worker in replica.workers()}
        replica.kill_worker()
        wait_for(lambda: len({worker.pid for worker in replica.workers()} - before) == 1)
        wait_for(lambda: all(post(f"{replica.address}/v1/predict", content=jpeg, headers=JPEG) for _ in range(4)))
        assert read(replica.address) == 12
        (folder,) = tmp_path.glob("mien-metrics-*")
        assert {file.stem for file in folder.glob("counter_*")} == {"counter_master", "counter_0", "counter_1"}
    assert list(tmp_path.glob("mien-metrics-*")) == []


def test_recycled_workers_lose_no_request_of_kept_connections(tmp_path: Path) -> None:
    """Straight to Gunicorn: nginx would ask again and hide it."""
    with gunicorn(tmp_path, WORKERS="2", MAX_REQUESTS="60") as replica:
        before = {worker.pid for worker in replica.workers()}
        seen: Counter[object] = Counter()
        with httpx.Client(base_url=replica.address, timeout=30) as client:
            for _ in range(300):
                seen[client.get("/healthz").status_code] += 1
        assert seen == {200: 300}
        assert {worker.pid for worker in replica.workers()} != before


def test_both_replicas_work_and_the_page_comes_through(running: Topology, jpeg: bytes) -> None:
    with load(running.address, jpeg, clients=4) as seen:
        wait_for(lambda: all(read(replica.address) >= 3 for replica in running.replicas))
    assert set(seen) == {200}
    assert "<title>Mien" in get(running.address).text
    assert get(f"{running.address}/metrics").status_code == 404


def test_a_killed_worker_is_not_seen_from_outside(running: Topology, jpeg: bytes) -> None:
    with load(running.address, jpeg) as seen:
        for replica in running.replicas:
            time.sleep(0.5)
            before = {worker.pid for worker in replica.workers()}
            replica.kill_worker()
            wait_for(lambda: {worker.pid for worker in replica.workers()} - before != set())  # noqa: B023
            wait_for(lambda: answers(replica.address))  # noqa: B023
    assert set(seen) == {200}
    assert seen[200] > 10


def test_a_rolling_restart_is_not_seen_from_outside(running: Topology, jpeg: bytes) -> None:
    with load(running.address, jpeg) as seen:
        for replica in running.replicas:
            before = {worker.pid for worker in replica.workers()}
            replica.restart()
            wait_for(lambda: not before & {worker.pid for worker in replica.workers()})  # noqa: B023
            wait_for(lambda: answers(replica.address))  # noqa: B023
    assert set(seen) == {200}
    assert seen[200] > 10


def test_a_live_stream_passes_the_proxy(running: Topology, jpeg: bytes) -> None:
    own = {"Origin": running.address}
    with connect(f"{running.address.replace('http', 'ws')}/v1/stream", additional_headers=own) as socket:
        for frame in (1, 2, 3):
            socket.send(jpeg)
            told = json.loads(socket.recv(20))
            assert (told["frame"], told["result"]["faces"][0]["emotion"]) == (frame, "happiness")


def test_the_proxy_refuses_large_bodies_with_a_problem(running: Topology) -> None:
    answer = post(f"{running.address}/v1/predict", content=b"x" * 20_100_000, headers=JPEG)
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == 413


def test_the_request_id_is_the_same_in_front_and_behind(running: Topology) -> None:
    answer = get(f"{running.address}/v1/nothing")
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


def test_a_replica_that_is_gone_is_not_missed(running: Topology, jpeg: bytes) -> None:
    gone = running.replicas[1]
    gone.process.terminate()
    gone.process.wait(40)
    for _ in range(6):
        assert post(f"{running.address}/v1/predict", content=jpeg, headers=JPEG).status_code == 200


def test_the_manifests_say_what_the_server_listens_to() -> None:
    documents = {
        path.name: list(yaml.safe_load_all(path.read_text("utf-8")))
        for path in (ROOT / "deploy").glob("*.yaml")
    }  # fmt: skip
    assert set(documents) == {"compose.yaml", "cloudrun.yaml", "kubernetes.yaml", "kubernetes-monitor.yaml"}
    from mien.web.settings import Settings

    named = re.findall(r"\bMIEN_[A-Z_]+\b", "".join(path.read_text("utf-8") for path in (ROOT / "deploy").iterdir()))
    Settings.from_environment({name: {"MIEN_TOKEN": "", "MIEN_PROXIES": "*"}.get(name, "1") for name in named})
    (run,) = documents["cloudrun.yaml"]
    pod = documents["kubernetes.yaml"][0]["spec"]["template"]["spec"]["containers"][0]
    for container in (run["spec"]["template"]["spec"]["containers"][0], pod):
        assert container["ports"][0]["containerPort"] == 8000
        assert container["startupProbe"]["httpGet"]["path"] == "/readyz"
    # Kubernetes would set MIEN_PORT=tcp://… for the Service of that name.
    assert documents["kubernetes.yaml"][0]["spec"]["template"]["spec"]["enableServiceLinks"] is False
    assert set(documents["compose.yaml"][0]["services"]) == {"mien-1", "mien-2", "proxy"}
    assert "BIND=0.0.0.0:8000" in (ROOT / "deploy" / "Dockerfile").read_text("utf-8")


def test_prometheus_scrapes_with_the_token_that_the_pods_ask_for() -> None:
    deployment, *_ = yaml.safe_load_all((ROOT / "deploy" / "kubernetes.yaml").read_text("utf-8"))
    monitor, _policy = yaml.safe_load_all((ROOT / "deploy" / "kubernetes-monitor.yaml").read_text("utf-8"))
    pod = deployment["spec"]["template"]
    (asked,) = [entry for entry in pod["spec"]["containers"][0]["env"] if entry["name"] == "MIEN_TOKEN"]
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["authorization"]["credentials"] == asked["valueFrom"]["secretKeyRef"]
    assert monitor["spec"]["selector"]["matchLabels"] == pod["metadata"]["labels"]
    assert "annotations" not in pod["metadata"]


def test_the_image_may_copy_what_it_needs() -> None:
    """``.dockerignore`` leaves out all but what it names after a ``!``; a copy of anything else ends the build."""
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")}
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "deploy" / "Dockerfile").read_text("utf-8"), re.M)
    sources = {source for line in copies for source in line.split()}
    assert len(sources) > 3
    assert sources <= allowed
    assert all((ROOT / source).exists() for source in sources)


def test_the_image_installs_versions_that_are_written_down() -> None:
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    text = (ROOT / "deploy" / "constraints.txt").read_text("utf-8")
    blocks = re.findall(r"^([a-z0-9-]+)==(\S+)(.*(?:\n    --hash=sha256:[0-9a-f]{64}.*)*)", text, re.M)
    pinned = {name: version for name, version, _ in blocks}
    assert len(blocks) > 30
    assert all("--hash=sha256:" in hashes for _, _, hashes in blocks)
    for line in (*project["dependencies"], *project["optional-dependencies"]["serve"]):
        needed = Requirement(line)
        assert needed.specifier.contains(pinned[needed.name]), line
    assert "--require-hashes --requirement constraints.txt" in (ROOT / "deploy" / "Dockerfile").read_text("utf-8")
