"""Devices that share a batch: `tf.distribute` strategies by the recipe's words."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

from registry.allocation import return_large_blocks
from registry.backend import keras, tf
from registry.config.recipe import DistributionConfig
from registry.errors import TrainingError

__all__ = ["Devices", "open_devices", "synchronize_batch_norm"]

_TF_CONFIG = "TF_CONFIG"


@dataclass(frozen=True)
class Devices:
    """The devices of a run.

    Args:
        strategy: of `tf.distribute`.
        worker: number of this process among the workers.
        workers: number of processes.
        is_distributed: whether a batch may be divided, be it among one.
    """

    strategy: Any
    worker: int = 0
    workers: int = 1
    is_distributed: bool = True

    @property
    def replicas(self) -> int:
        """Number of devices that share a batch, on all workers."""
        return int(self.strategy.num_replicas_in_sync)

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the files of the run."""
        return self.worker == 0

    def sum_over_workers(self, array: Any) -> Any:
        """Add up an array that each worker computed for itself; the same array on all of them."""
        if self.workers == 1:
            return array
        # Each worker's first replica brings the value, its other ones nothing.
        per_worker = self.replicas // self.workers

        def contribution(context: Any) -> Any:
            first = context.replica_id_in_sync_group % per_worker == 0
            return tf.constant(array if first else array * 0)

        values = self.strategy.experimental_distribute_values_from_function(contribution)
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None).numpy()


def open_devices(config: DistributionConfig) -> Devices:
    """Make the strategy that a recipe asks for, in a process that gives memory back.

    `multi_worker` must be opened before TensorFlow has computed anything in this process.

    Raises:
        TrainingError: a device does not exist, or TF_CONFIG does not describe a cluster of workers.
    """
    return_large_blocks()
    if config.strategy == "one_device":
        return Devices(tf.distribute.get_strategy(), is_distributed=False)
    if config.strategy == "mirrored":
        known = {device.name.removeprefix("/device:") for device in tf.config.list_logical_devices()}
        unknown = [name for name in config.devices if name not in known]
        if unknown:
            raise TrainingError(
                "`distribution.devices` names devices of this machine",
                received=", ".join(unknown),
                repair=f"choose among {', '.join(sorted(known))}",
            )
        return Devices(tf.distribute.MirroredStrategy(list(config.devices) or None))
    worker, workers = _cluster()
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except (RuntimeError, ValueError) as error:
        raise TrainingError(
            "the workers of TF_CONFIG must reach one another, and join before TensorFlow is used otherwise",
            received=str(error).splitlines()[0],
            repair="start the same command on every worker, each with its own `task.index`",
        ) from error
    return Devices(strategy, worker, workers)


def _cluster() -> tuple[int, int]:
    """Number of this worker, and of how many, from TF_CONFIG."""
    text = os.environ.get(_TF_CONFIG, "")
    try:
        content = json.loads(text)
        addresses, task = content["cluster"]["worker"], content["task"]
        index, kind = int(task["index"]), task["type"]
    except (ValueError, KeyError, TypeError) as error:
        raise _no_cluster(text or "nothing") from error
    if kind != "worker" or not isinstance(addresses, list) or not 0 <= index < len(addresses):
        raise _no_cluster(text)
    if set(content["cluster"]) != {"worker"}:
        raise _no_cluster(text)
    return index, len(addresses)


def _no_cluster(received: str) -> TrainingError:
    return TrainingError(
        "the strategy `multi_worker` needs the environment variable TF_CONFIG with the addresses of the workers "
        "and the number of this one",
        received=received,
        repair='TF_CONFIG=\'{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, '
        '"task": {"type": "worker", "index": 0}}\'',
    )


def synchronize_batch_norm(model: Any) -> int:
    """Let batch normalizations in training use the statistics of the whole batch, not of a replica's part.

    Returns:
        Number of layers.
    """
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in layers:
        # As the constructor's `synchronized=True`: the fused kernel sees one device only.
        layer.synchronized = True
        layer.fused = False
    return len(layers)
