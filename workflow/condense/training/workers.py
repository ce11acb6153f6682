"""Processes of one training: one alone, or those that torchrun started and told their rank."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from condense.base.errors import InputError, Unfinished


@dataclass(frozen=True)
class Workers:
    """This process among `count`; each takes an equal share of every batch on a device of its own."""

    rank: int
    count: int
    device: torch.device

    @property
    def hardware(self) -> str:
        """What the work is done on."""
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type

    def share(self, batch: int) -> slice:
        """Part of a batch that is this process's."""
        if batch % self.count:
            raise InputError(
                f"training.batch {batch} is not a multiple of the {self.count} workers; change one of them."
            )
        size = batch // self.count
        return slice(self.rank * size, (self.rank + 1) * size)

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network with gradients averaged over the workers."""
        if self.count == 1:
            return network
        return nn.parallel.DistributedDataParallel(network, gradient_as_bucket_view=True)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process; the processes wait for each other, the GPUs do not."""
        if self.count == 1:
            return flag
        raised = torch.tensor(int(flag))
        dist.all_reduce(raised, dist.ReduceOp.MAX)
        return bool(raised)

    def mean(self, values: Tensor) -> Tensor:
        """Mean over the processes."""
        if self.count > 1:
            dist.all_reduce(values)
            values /= self.count
        return values


@contextmanager
def joined() -> Iterator[Workers]:
    """Join the processes that torchrun started; alone without it."""
    rank, count, local = (
        int(os.environ.get(name, default))
        for name, default in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0))
    )
    device = torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if count > 1:
        dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        yield Workers(rank, count, device)
    finally:
        if count > 1:
            dist.destroy_process_group()


def launch(count: int) -> None:
    """Run this process's command once more, in `count` workers on this machine, by torchrun's launcher.

    Raises what they leave with: Unfinished for status 75, else InputError; each has told its own reason.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    one_machine = {
        "min_nodes": 1,
        "max_nodes": 1,
        "rdzv_backend": "c10d",
        "rdzv_endpoint": "127.0.0.1:0",
        "run_id": "condense",
    }
    config = LaunchConfig(nproc_per_node=count, max_restarts=0, monitor_interval=1, **one_machine)
    try:
        elastic_launch(config, sys.executable)("-m", "condense", *sys.argv[1:])
    except SignalException:
        raise Unfinished("stopped by a signal; the workers saved their state, run again to go on.") from None
    except ChildFailedError as error:
        if any(failure.exitcode == 75 for failure in error.failures.values()):
            raise Unfinished("stopped with the state saved, run again to go on.") from None
        raise InputError("a worker failed; its reason is above.") from None
