"""What `train` tells its workers, and the names of the files that they share."""

from dataclasses import dataclass

from tasks.compute.cluster import Device

STREAM_FILE, WEIGHTS_FILE, CURVES_FILE = "train.npy", "model.safetensors", "curves.jsonl"


@dataclass(frozen=True)
class Job:
    """Places on a disk that all machines of a cluster share, and how to work."""

    artifacts: str
    out: str
    checkpoints: str
    checkpoint_steps: int
    progress: str
    device: Device
