"""What `train` tells its workers, and the names of the files that they share."""

from dataclasses import dataclass

from tasks.compute.cluster import Device

WEIGHTS_FILE, CURVES_FILE = "model.safetensors", "curves.jsonl"


@dataclass(frozen=True)
class Job:
    """Places that all machines of a cluster reach, a shared disk or for checkpoints a URL, and how to work."""

    artifacts: str
    out: str
    checkpoints: str
    name: str  # of the run, among checkpoints
    checkpoint_steps: int
    stall_seconds: int
    progress: str
    device: Device
    expert_workers: int = 0  # as in `Place`
