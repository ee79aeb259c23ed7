"""Threads: chunks of a batch in parallel, and items that are drawn ahead of their use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from threading import Barrier
from typing import TypeVar

Chunk = TypeVar("Chunk")
Result = TypeVar("Result")
Item = TypeVar("Item")


def parallel_map(function: Callable[[Chunk], Result], chunks: Sequence[Chunk]) -> list[Result]:
    """Calls a function on each chunk, in threads that divide torch's threads among them.

    Two threads with a chunk each are faster than two threads that divide every operation on one chunk, since they need
    not wait for each other. The caller's CPU autocast also holds in the threads.

    Returns:
        The results in the order of the chunks.
    """
    import torch  # here, since reading ahead does not need it

    threads = torch.get_num_threads()
    workers = min(threads, len(chunks))
    if workers <= 1:
        return [function(chunk) for chunk in chunks]
    enabled, dtype = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")
    ready = Barrier(workers + 1)

    def set_up_worker() -> None:
        torch.get_num_threads()  # the first call in a thread resets its number to the process's
        torch.set_num_threads(threads // workers)
        ready.wait()

    def call(chunk: Chunk) -> Result:
        with torch.autocast("cpu", dtype=dtype, enabled=enabled):
            return function(chunk)

    with ThreadPoolExecutor(workers, initializer=set_up_worker) as pool:
        results = pool.map(call, chunks)
        ready.wait()
        torch.set_num_threads(threads)  # a worker's call also sets the number of threads that start later
        return list(results)


def prefetch(items: Iterable[Item], count: int) -> Iterator[Item]:
    """Yields the items; a thread draws the next ``count`` while the caller works on the ``count`` before.

    An error of the iterable is raised after all complete groups of ``count`` items have been yielded.
    """
    iterator = iter(items)
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(list, islice(iterator, count))
        while group := following.result():
            following = pool.submit(list, islice(iterator, count))
            yield from group
