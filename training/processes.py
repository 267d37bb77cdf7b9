"""Several processes that train one model together, as ``torchrun`` starts them.

The main process runs the whole experiment; the others only take part in the training of encoders: each task is sent to them,
and at the end they are dismissed. With one process everything here does nothing.
"""

from __future__ import annotations

import datetime
import os
from typing import Any

from claimstance.errors import ClaimstanceError

# The others wait while the main process exports and evaluates, which takes as long as it takes.
_LONGEST_WAIT = datetime.timedelta(days=1)


def count() -> int:
    """Return how many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """Say whether this process tracks, writes, exports and prints."""
    return int(os.environ.get("RANK", "0")) == 0


def check_started() -> None:
    """Make sure that as many processes run as were asked for.

    Raises:
        ClaimstanceError: ``accelerate launch --cpu`` was asked for several and started one.
    """
    if "RANK" not in os.environ and {"ACCELERATE_USE_CPU", "MASTER_ADDR"} <= set(os.environ):
        raise ClaimstanceError(
            "accelerate launch --cpu was asked for several processes and started one; start them with: "
            "torchrun --nproc-per-node 2 -m training CONFIG, or with accelerate launch --multi_gpu, which does so on CPUs too"
        )


def send(task: Any) -> None:
    """Send a task, any object that can be pickled, to the other processes; None dismisses them."""
    if count() > 1:
        _broadcast(task)


def receive() -> Any:
    """Wait for the next task from the main process; None when there is none any more."""
    return _broadcast(None)


def wait() -> None:
    """Wait until all processes are here."""
    if count() > 1:
        import torch

        # On the CPU, where every group has a backend; a barrier would ask which GPU.
        torch.distributed.all_reduce(torch.zeros(1))


def _broadcast(task: Any) -> Any:
    # torch takes seconds to import, which one process that trains linear models does without.
    import torch

    if not torch.distributed.is_initialized():
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        torch.distributed.init_process_group(backend, timeout=_LONGEST_WAIT)
    tasks = [task]
    torch.distributed.broadcast_object_list(tasks, src=0, device=torch.device("cpu"))
    if tasks[0] is None:
        torch.distributed.destroy_process_group()
    return tasks[0]
