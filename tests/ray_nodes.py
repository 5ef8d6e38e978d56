"""A Ray cluster of two nodes of one core each, started by Ray's own cluster utility on loopback."""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
# One core a node: two workers are on two nodes or nowhere.
CLUSTER = """
import sys
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
cluster.add_node(num_cpus=1)
print("address", cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""


def shared_environment(home: Path) -> dict[str, str]:
    """What a cluster's nodes and those who join share."""
    return {
        **os.environ,
        "HOME": str(home),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "GLOO_SOCKET_IFNAME": "lo",
        "PYTHONPATH": str(ROOT),
    }


@contextmanager
def two_nodes(environment: dict[str, str]) -> Iterator[str]:
    """Address of a cluster of two nodes."""
    nodes = subprocess.Popen(
        [sys.executable, "-c", CLUSTER], env=environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert nodes.stdout is not None
    try:
        line = next(line for line in nodes.stdout if line.startswith("address "))
        yield line.split()[1]
    finally:
        nodes.communicate()
