"""Two things at once: chunks of a batch side by side, and scenes that are drawn while others are looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import torch

Chunk = TypeVar("Chunk")
Result = TypeVar("Result")
Item = TypeVar("Item")


def side_by_side(work: Callable[[Chunk], Result], chunks: Sequence[Chunk]) -> list[Result]:
    """Works on chunks in threads that share torch's; the results in the chunks' order.

    Two threads with a chunk each are faster than two that share every operation of one: they need not wait.
    """
    threads = torch.get_num_threads()
    workers = min(threads, len(chunks))
    if workers <= 1:
        return [work(chunk) for chunk in chunks]
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(threads // workers,)) as pool:
            return list(pool.map(work, chunks))
    finally:
        torch.set_num_threads(threads)  # what a worker sets holds for itself, and for threads that are still to come


def read_ahead(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yields lists of ``size`` items, the last one shorter; the next is drawn while the caller works on this one.

    Errors of the items come where their list would have been.
    """
    iterator = iter(items)
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(list, islice(iterator, size))
        while chunk := following.result():
            following = pool.submit(list, islice(iterator, size))
            yield chunk
