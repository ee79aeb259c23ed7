"""parallel_map and prefetch change when items are computed, not the results."""

import threading
import time

import pytest
import torch

from centerdet.parallel import parallel_map, prefetch


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_parallel_map_keeps_the_order_and_divides_torchs_threads(two_threads):
    both, started_meanwhile = threading.Barrier(2), []

    def work(number):
        both.wait()  # two chunks are computed at the same time
        other = threading.Thread(target=lambda: started_meanwhile.append(torch.get_num_threads()))
        other.start()
        other.join()
        return number, torch.get_num_threads()

    numbers, threads = zip(*parallel_map(work, range(6)), strict=True)
    assert numbers == tuple(range(6))
    assert set(threads) == {1}
    assert set(started_meanwhile) == {2}  # other threads have all of torch's threads
    assert torch.get_num_threads() == 2


def test_one_chunk_is_computed_in_the_callers_thread(two_threads):
    assert parallel_map(lambda _: threading.current_thread(), [0]) == [threading.current_thread()]
    assert parallel_map(len, []) == []


def test_an_error_in_a_thread_reaches_the_caller(two_threads):
    with pytest.raises(ZeroDivisionError):
        parallel_map(lambda number: 1 / number, [1, 0, 2])
    assert torch.get_num_threads() == 2


def test_a_thread_that_cannot_start_is_an_error_at_once(two_threads, monkeypatch):
    start, started = threading.Thread.start, []

    def fail_later(thread):
        if started:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", fail_later)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        parallel_map(len, [(), ()])
    started[0].join(10)
    assert not started[0].is_alive()


def test_chunks_are_drawn_when_a_thread_is_free(two_threads):
    drawn, at_start = [], []

    def draw():
        for number in range(40):
            drawn.append(number)
            yield number

    def work(number):
        at_start.append(len(drawn) - number)
        time.sleep(0.001)
        return number

    assert parallel_map(work, draw()) == list(range(40))
    assert max(at_start) <= 2  # the chunk and the other thread's next one


@pytest.mark.parametrize("fails", ["function", "iterable"])
def test_an_error_ends_the_other_threads(two_threads, fails):
    done = []

    def draw():
        for number in range(1000):
            if fails == "iterable" and number == 10:
                raise OSError("no more")
            yield number

    def work(number):
        time.sleep(0.001)
        if fails == "function" and number == 10:
            raise OSError("no more")
        done.append(number)

    with pytest.raises(OSError, match="no more"):
        parallel_map(work, draw())
    assert len(done) <= 13


def test_prefetch_keeps_the_order_and_draws_the_next_group():
    drawn = []

    def draw():
        for number in range(10):
            drawn.append(number)
            yield number

    items = prefetch(draw(), 3)
    assert next(items) == 0
    deadline = time.monotonic() + 10
    while len(drawn) < 6 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert drawn == list(range(6))  # the next three after the first three, not more
    assert list(items) == list(range(1, 10))
    assert list(prefetch([], 3)) == []


def test_prefetch_raises_an_error_after_the_items_before_it():
    def draw():
        yield from range(3)
        raise OSError("no more")

    items = prefetch(draw(), 3)
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="no more"):
        next(items)
