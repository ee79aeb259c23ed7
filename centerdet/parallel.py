"""Threads: chunks of a batch in parallel, and items that are drawn ahead of their use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from threading import Barrier, Lock
from typing import Generic, TypeVar

MAX_THREADS = 1024  # more than the cores of any machine; all that are asked for would be started

Chunk = TypeVar("Chunk")
Result = TypeVar("Result")
Item = TypeVar("Item")


def parallel_map(function: Callable[[Chunk], Result], chunks: Iterable[Chunk]) -> list[Result]:
    """Calls a function on each chunk, in threads that divide torch's threads among them.

    Two threads with a chunk each are faster than two threads that divide every operation on one chunk, since they need
    not wait for each other. A thread takes the next chunk when it is free, so an iterable that draws or loads its
    chunks does so in turn in the threads, while the others compute. The caller's CPU autocast also holds in them.

    Returns:
        The results in the order of the chunks.
    """
    import torch  # here, since reading ahead does not need it

    threads = torch.get_num_threads()
    workers = min(threads, len(chunks)) if isinstance(chunks, Sized) else threads
    if workers <= 1:
        return [function(chunk) for chunk in chunks]
    enabled, dtype = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")
    ready, queue = Barrier(workers + 1), _Queue(chunks)
    results: dict[int, Result] = {}

    def work() -> None:
        torch.get_num_threads()  # the first call in a thread resets its number to the process's
        torch.set_num_threads(threads // workers)
        ready.wait()
        with queue.closing(), torch.autocast("cpu", dtype=dtype, enabled=enabled):
            for index, chunk in queue:
                results[index] = function(chunk)

    with ThreadPoolExecutor(workers) as pool, queue.closing():  # closed by Ctrl-C, too
        try:
            futures = [pool.submit(work) for _ in range(workers)]
            ready.wait()
        except BaseException:  # a thread that cannot start, or Ctrl-C: the others must not wait for ever
            ready.abort()
            raise
        finally:
            torch.set_num_threads(threads)  # a worker's call also sets the number of threads that start later
        for future in futures:
            future.result()
    return [results[index] for index in range(len(results))]


class _Queue(Generic[Item]):
    """Numbered items for several threads; once it is closed, there are no more."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._items, self._lock, self._closed = enumerate(items), Lock(), False

    def __iter__(self) -> Iterator[tuple[int, Item]]:
        while True:
            with self._lock:
                item = None if self._closed else next(self._items, None)
            if item is None:
                return
            yield item

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Closes the queue in the end: a thread that fails, or finds no more items, ends the others."""
        try:
            yield
        finally:
            self._closed = True


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
