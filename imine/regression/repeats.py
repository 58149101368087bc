"""Repeats of one piece of work, in this process or several, with the same results either way."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np

T = TypeVar("T")
R = TypeVar("R")


def run_repeats(work: Callable[[T], R], tasks: Iterable[T], workers: int = 1) -> list[R]:
    """``[work(task) for task in tasks]``, the tasks spread over processes.

    A task carries all that it depends on, its random seed included, so the results do not depend on ``workers``.

    Args:
        work: for more than one worker, something that can be pickled: no lambda, no function in a function.
        tasks: in order.
        workers: number of processes; 1 stays in this one.

    Raises:
        ValueError: ``workers`` below 1, or work that cannot be sent to another process.

    Examples:
        >>> run_repeats(abs, [-1, 2])
        [1, 2]
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1; got {workers}")
    todo = list(tasks)
    if workers == 1 or len(todo) < 2:
        return [work(task) for task in todo]
    import multiprocessing
    import pickle
    from concurrent.futures import ProcessPoolExecutor

    try:
        pickle.dumps(work)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(
            f"with workers={workers} the procedure must be something that can be pickled, such as a function "
            f"of a module; got an error: {error}. Use workers=1 for this one."
        ) from None
    # A fork copies the locks of threads that BLAS may hold; a fresh process has none.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        return list(pool.map(work, todo, chunksize=max(1, len(todo) // (4 * workers))))


def seeds(seed: int, count: int) -> list[np.random.SeedSequence]:
    """One seed a repeat, the same for repeat ``i`` however many there are.

    Args:
        seed: not negative.
        count: number of repeats.

    Examples:
        >>> [int(s.generate_state(1)[0]) for s in seeds(0, 2)] == [
        ...     int(s.generate_state(1)[0]) for s in seeds(0, 5)[:2]]
        True
    """
    if seed < 0 or count < 1:
        raise ValueError(f"seed must not be negative and there must be a repeat; got {seed}, {count}")
    return np.random.SeedSequence(seed).spawn(count)
