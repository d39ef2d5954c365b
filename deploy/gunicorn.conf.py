"""Gunicorn for Mien: gunicorn --config deploy/gunicorn.conf.py

Variables beside MIEN_*: BIND (127.0.0.1:8000), WORKERS (1), MAX_REQUESTS (20000; 0: never recycle).
"""

import os
from pathlib import Path

from prometheus_client import multiprocess

from mien.web.middleware import counters
from mien.web.middleware.logs import configuration
from mien.web.settings import Settings

_settings = Settings.from_environment(os.environ)

wsgi_app = "mien.web.server:application()"
worker_class = "mien.web.worker.Worker"
bind = os.environ.get("BIND", "127.0.0.1:8000")

# A worker has MIEN_THREADS threads, by default one a core that its container may use. More workers with fewer threads
# each survive the death of one; keep workers × MIEN_THREADS at the number of cores.
workers = int(os.environ.get("WORKERS", "1"))

# Imports are done once, before workers are forked: a killed worker is back in a third of the time. Models are loaded
# after the fork, as the threads of ONNX Runtime and OpenCV do not go along.
preload_app = True

# Recycling bounds whatever some library may leak; the jitter keeps workers from going at the same time.
max_requests = int(os.environ.get("MAX_REQUESTS", "20000"))
max_requests_jitter = max_requests // 10

graceful_timeout = round(_settings.timeout) + 10  # a stopping worker finishes what it took
timeout = 60  # a worker whose event loop stands still for so long is replaced
keepalive = 75  # longer than the proxy keeps its connections, so that it is the proxy who closes them
backlog = 2048
worker_tmp_dir = (
    "/dev/shm" if Path("/dev/shm").is_dir() else None
)  # a heartbeat on a slow disk looks like a dead worker
control_socket_disable = True

accesslog = None  # the application logs each request, as JSON
logconfig_dict = configuration(_settings.log_level)

counters.share()


def pre_fork(server, worker):
    """Give the worker a slot, under whose name it counts."""
    worker.slot = counters.free_slot(other.slot for other in server.WORKERS.values())


def post_fork(server, worker):
    """Count under the slot's name."""
    counters.write_as(worker.slot)


def child_exit(server, worker):
    """Take the gauges of a worker that has gone out of the sum; its counters stay, and the slot's next one goes on."""
    multiprocess.mark_process_dead(worker.slot)


def on_exit(server):
    """Leave nothing behind."""
    counters.remove()
