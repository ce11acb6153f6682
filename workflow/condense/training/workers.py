"""Processes of one training: one alone, or those that torchrun started and told their rank."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from condense.base.errors import InputError, Unfinished
from condense.training import state

GIVEN = ParamSpec("GIVEN")
T = TypeVar("T")
# seconds that stopped workers have to save their state: longer than the half hour after which one gives up
# waiting for another, so that nobody but SLURM or a user ends them
PATIENCE = 3600


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

    def first(self, work: Callable[GIVEN, T], *given: GIVEN.args, **named: GIVEN.kwargs) -> T | None:
        """What `work` gives, done by the first process while the others wait; None in the others.

        Its InputError is raised in every process, so that none waits for one that has left.
        """
        found, fault = None, [None]
        if self.rank == 0:
            try:
                found = work(*given, **named)
            except InputError as error:
                fault = [error]
        if self.count > 1:
            dist.broadcast_object_list(fault, device=torch.device("cpu"))
        if fault[0] is not None:
            raise fault[0]
        return found

    def from_first(self, values: Tensor) -> Tensor:
        """The first process's values, put in the place of every process's own."""
        if self.count > 1:
            dist.broadcast(values, 0)
        return values

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


def launch(count: int, states: Path, output: Path) -> None:
    """Run this process's command once more, in `count` workers on this machine, by torchrun's launcher.

    Raises Unfinished where the workers were stopped and have saved a state in `states`; InputError where they
    saved none, or failed and have told why. What lies on the disk decides: the launcher does not tell how
    workers ended that it has sent a signal.
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
    limits = {"max_restarts": 0, "monitor_interval": 1, "shutdown_timeout": PATIENCE}
    config = LaunchConfig(nproc_per_node=count, **limits, **one_machine)
    result, before = _stamps([output]), _stamps(state.every(states))
    try:
        elastic_launch(config, sys.executable)("-m", "condense", *sys.argv[1:])
    except (SignalException, ChildFailedError) as error:
        failures = error.failures.values() if isinstance(error, ChildFailedError) else []
        if failures and all(failure.exitcode != 75 for failure in failures):
            raise InputError("a worker failed; its reason is above.") from None
        if _stamps([output]) != result:  # they were at their end when they were stopped
            return
        saved = sorted(path for path, _ in _stamps(state.every(states)) - before)
        if not saved:
            raise InputError("stopped before a state was saved; run again.") from None
        raise Unfinished(f"stopped; the state is in {saved[-1]}, run again to go on.") from None


def _stamps(paths: Iterable[Path]) -> set[tuple[Path, int]]:
    """Which of the files are there, and when they were written."""
    return {(path, path.stat().st_mtime_ns) for path in paths if path.exists()}
