"""The processes of a finetune: one alone, or the ranks that a launcher started."""

from __future__ import annotations

import importlib.util
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from imine.errors import MissingExtraError, StudyError

_LAUNCHED = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among those that train together.

    Attributes:
        rank: its number, from 0.
        world: how many there are.
        local: its number on its node: the accelerator that it takes.
    """

    rank: int = 0
    world: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    def sums(self, *values: float) -> list[float]:
        """Sums of numbers over all ranks, in float64; every rank calls it."""
        if self.world == 1:
            return list(values)
        import torch
        import torch.distributed as dist

        totals = torch.tensor(values, dtype=torch.float64, device=self.device())
        dist.all_reduce(totals)
        return list(totals.tolist())

    def collect(self, value: Any) -> list[Any]:
        """The value of every rank, in their order; every rank calls it."""
        if self.world == 1:
            return [value]
        import torch.distributed as dist

        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value)
        return values

    def device(self) -> Any:
        """The device of this rank: its accelerator where there is one, else the CPU."""
        import torch

        return torch.device("cuda", self.local) if torch.cuda.is_available() else torch.device("cpu")


def launched_ranks() -> Ranks:
    """This process as ``torchrun`` or ``deepspeed`` started it; one alone where neither did.

    Raises:
        StudyError: the environment names several ranks, but not which is which.
    """
    world = os.environ.get("WORLD_SIZE", "1")
    if world == "1":
        return Ranks()
    if absent := [name for name in _LAUNCHED if name not in os.environ]:
        raise StudyError(
            f"WORLD_SIZE is {world}, but {', '.join(absent)} is not set; start several ranks with torchrun or deepspeed"
        )
    return Ranks(int(os.environ["RANK"]), int(world), int(os.environ["LOCAL_RANK"]))


def check_alone(what: str) -> None:
    """Fail where a launcher started several ranks.

    Args:
        what: what does not train on several ranks, for the message.

    Raises:
        StudyError: names it.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise StudyError(f"{what} runs in one process; start it without deepspeed or torchrun")


def check_training(lora: bool = False) -> None:
    """Fail, without importing anything, where DeepSpeed is not installed.

    Args:
        lora: whether adapters will be trained, which needs peft.

    Raises:
        MissingExtraError: with the install line.
    """
    for package in ("deepspeed", "peft")[: 1 + lora]:
        if importlib.util.find_spec(package) is None:
            raise missing_training(package)


def missing_training(package: str | None) -> MissingExtraError:
    """The error of a package of the extra ``train`` that is not installed."""
    return MissingExtraError(
        f'{package} is not installed; finetuning needs the extra: pip install "imine[train]"'
    )


def start_group(ranks: Ranks) -> Any:
    """Import DeepSpeed and join the group of the ranks: gloo on CPUs, nccl on accelerators.

    A process alone needs no launcher, no ports and no compiler.

    Args:
        ranks: this process.

    Returns:
        The module ``deepspeed``.

    Raises:
        MissingExtraError: DeepSpeed is not installed.
        StudyError: this process is in a group of another size already.
    """
    os.environ.setdefault("LOCAL_RANK", str(ranks.local))
    try:
        import deepspeed
    except ModuleNotFoundError as error:
        raise missing_training(error.name) from error
    import logging

    import torch
    import torch.distributed as dist

    deepspeed.utils.logger.setLevel(logging.WARNING)
    # DeepSpeed would compile a shared-memory reduction for a minute at first use; one process needs none, and
    # gloo serves several. The table is half private: where it is gone, the compiling is back and nothing else.
    operators = getattr(deepspeed.ops, "__compatible_ops__", None)
    if isinstance(operators, dict):
        operators["deepspeed_shm_comm"] = False
    # DeepSpeed's stage 3 calls what torch is about to rename; nobody here can mend that.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.distributed\.c10d_logger")
    if not dist.is_initialized():
        backend = "nccl" if torch.cuda.is_available() else "gloo"
        if ranks.world == 1:
            dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
        else:
            if torch.cuda.is_available():
                torch.cuda.set_device(ranks.local)
            dist.init_process_group(backend, rank=ranks.rank, world_size=ranks.world)
    if dist.get_world_size() != ranks.world:
        raise StudyError(
            f"this process is one of {dist.get_world_size()} ranks, and {ranks.world} were asked for"
        )
    return deepspeed


def in_group() -> bool:
    """Whether this process joined a group already."""
    import torch.distributed as dist

    return dist.is_initialized()


def leave_group() -> None:
    """Leave the group; a process of several ranks does it before its end."""
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()


def check_same(ranks: Ranks, what: str, values: Sequence[str]) -> None:
    """Fail where another rank does not have the same values, as with files that differ between nodes.

    Args:
        ranks: this process.
        what: what the values are of, for the message.
        values: hashes.

    Raises:
        StudyError: names the first rank that differs from rank 0.
    """
    everyone = ranks.collect(list(values))
    if other := [rank for rank, theirs in enumerate(everyone) if theirs != everyone[0]]:
        raise StudyError(f"rank {other[0]} has other {what} than rank 0; every node needs the same files")
