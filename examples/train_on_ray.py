"""Train on several machines of a Ray cluster: a torchrun on each, which together are one ``mien train``.

python examples/train_on_ray.py --machines 2 --cpus 4 --gpus 1 -- fer7 --data /shared/fer2013.zip --out /shared/run

What follows -- goes to ``mien train``. Data and run folder lie where all machines see them.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys

import ray
from ray.util import get_node_ip_address
from ray.util.placement_group import placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy


class Machine:
    """One machine's part."""

    def meeting_place(self) -> tuple[str, int]:
        """Return an address and a port of this machine for the others to come to."""
        with socket.create_server(("", 0)) as server:
            return get_node_ip_address(), server.getsockname()[1]

    def train(self, rank: int, machines: int, processes: int, place: tuple[str, int], arguments: list[str]) -> int:
        """Run this machine's processes to their end; return the exit code."""
        here = ["--nnodes", str(machines), "--node-rank", str(rank), "--nproc-per-node", str(processes)]
        there = ["--master-addr", place[0], "--master-port", str(place[1])]
        command = [sys.executable, "-m", "torch.distributed.run", *here, *there, "-m", "mien", "train", *arguments]
        return subprocess.run(command, check=False).returncode


def main() -> None:
    """Take a place on each machine, start all, and end with the worst exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", default="auto", help="of the cluster (default: auto)")
    parser.add_argument("--machines", type=int, default=2)
    parser.add_argument("--cpus", type=int, default=4, help="CPUs to take on each")
    parser.add_argument("--gpus", type=int, default=0, help="GPUs to take on each: a process for each")
    parser.add_argument("arguments", nargs="+", help="what mien train is given")
    options = parser.parse_args()
    ray.init(options.address)
    share = {"CPU": options.cpus, **({"GPU": options.gpus} if options.gpus else {})}
    # SPREAD: on machines of their own where there are so many; STRICT_SPREAD would wait for them.
    group = placement_group([share] * options.machines, strategy="SPREAD")
    machine = ray.remote(Machine).options(
        num_cpus=options.cpus,
        num_gpus=options.gpus,
        scheduling_strategy=PlacementGroupSchedulingStrategy(group),
    )
    machines = [machine.remote() for _ in range(options.machines)]
    place = ray.get(machines[0].meeting_place.remote())
    how = (options.machines, max(options.gpus, 1), place, options.arguments)
    codes = ray.get([each.train.remote(rank, *how) for rank, each in enumerate(machines)])
    sys.exit(max(map(abs, codes)))


if __name__ == "__main__":
    main()
