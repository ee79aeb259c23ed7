"""Two things at once: chunks of a batch side by side, and items that are drawn while others are looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from threading import Barrier
from typing import TypeVar

import torch

Chunk = TypeVar("Chunk")
Result = TypeVar("Result")
Item = TypeVar("Item")


def parallel_map(work: Callable[[Chunk], Result], chunks: Sequence[Chunk]) -> list[Result]:
    """Works on chunks in threads that share torch's; the results in the chunks' order.

    Two threads with a chunk each are faster than two that share every operation of one: they need not wait. A CPU
    autocast of the caller's holds in them, too.
    """
    threads = torch.get_num_threads()
    workers = min(threads, len(chunks))
    if workers <= 1:
        return [work(chunk) for chunk in chunks]
    autocast = {"enabled": torch.is_autocast_enabled("cpu"), "dtype": torch.get_autocast_dtype("cpu")}
    ready = Barrier(workers + 1)

    def begin() -> None:
        torch.get_num_threads()  # the first call in a thread takes the number that holds for all
        torch.set_num_threads(threads // workers)
        ready.wait()

    def work_as_the_caller(chunk: Chunk) -> Result:
        with torch.autocast("cpu", **autocast):
            return work(chunk)

    with ThreadPoolExecutor(workers, initializer=begin) as pool:
        results = pool.map(work_as_the_caller, chunks)
        ready.wait()
        torch.set_num_threads(threads)  # what a worker sets holds for itself, and for threads that are still to come
        return list(results)


def prefetch(items: Iterable[Item], count: int) -> Iterator[Item]:
    """Yields the items, of which a thread draws the next ``count`` while the caller works on those before.

    Errors of the items come after the items that were drawn before ``count`` of them were complete.
    """
    iterator = iter(items)
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(list, islice(iterator, count))
        while chunk := following.result():
            following = pool.submit(list, islice(iterator, count))
            yield from chunk
