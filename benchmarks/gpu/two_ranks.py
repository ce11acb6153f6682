"""Two workers that share one device: `python -m benchmarks.gpu.two_ranks RANK DEVICE FOLDER` is one of them.

NCCL takes one GPU for each worker; gloo, by way of the CPU, takes what there is.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from benchmarks.gpu.small import BATCH, RECIPE, losses, network, sources
from condense.base.compile import SWITCH
from condense.config.settings import Training
from condense.training.examples import Examples
from condense.training.trainer import Trainer
from condense.training.workers import Workers

STEPS = 3
APART = {SWITCH: "1", "GLOO_SOCKET_IFNAME": "lo"}  # no compiling, which takes longer; no network


def two_ranks(device: torch.device) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Losses and gradient norms of a training by two workers, and by one."""
    alone = history(Workers(0, 1, device))
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "benchmarks.gpu.two_ranks"]
        workers = [
            subprocess.Popen([*words, str(rank), device.type, folder], env=os.environ | APART)
            for rank in range(2)
        ]
        statuses = [worker.wait() for worker in workers]
        if any(statuses):
            raise RuntimeError(f"the workers ended with {statuses}; the log says why")
        together = torch.load(Path(folder) / "history.pt", weights_only=True)
    return {"loss, norm": together}, {"loss, norm": alone}


def history(workers: Workers) -> Tensor:
    """Loss and gradient norm [steps, 2] of a short training."""
    training = Training(batch=BATCH, steps=STEPS)
    examples = Examples(sources(), "flow", training, RECIPE, 0, workers)
    trainer = Trainer(network("flow"), examples, losses("flow"), training, workers)
    for _ in range(STEPS):
        trainer.advance()
    trainer.check()
    return trainer.history[:, :2]


def main() -> None:
    """Be one of the two workers."""
    rank, device, folder = int(sys.argv[1]), torch.device(sys.argv[2]), Path(sys.argv[3])
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    found = history(Workers(rank, 2, device))
    if rank == 0:
        torch.save(found, folder / "history.pt")
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
