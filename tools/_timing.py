"""Timing of contestants in turns, and the table of the results."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

Contestant = Callable[[], int] | str  # a call that returns how many images it processed, or why it cannot run


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The result of one contestant; speeds are in images per second.

    Attributes:
        task: What was timed.
        threads: Number of CPU threads.
        name: Name of the contestant.
        median: Median speed over the rounds; ``None``: it cannot run here.
        quartiles: First and third quartile of the speed.
        ratio: Median over the rounds of its speed divided by the first contestant's.
        note: Why it cannot run.
    """

    task: str
    threads: int
    name: str
    median: float | None = None
    quartiles: tuple[float, float] | None = None
    ratio: float | None = None
    note: str = ""


def compare(task: str, contestants: dict[str, Contestant], rounds: int) -> list[Row]:
    """Times contestants in turns; ratios are to the first of them."""
    able = {name: call for name, call in contestants.items() if callable(call)}
    speeds: dict[str, list[float]] = {name: [] for name in able}
    for call in able.values():
        call()  # warm-up: the first call makes plans and buffers
    for _ in tqdm(range(rounds), desc=task, leave=False, disable=None):
        for name, call in able.items():
            start = time.perf_counter()
            images = call()
            speeds[name].append(images / (time.perf_counter() - start))
    first = np.array(next(iter(speeds.values())))
    threads, rows = torch.get_num_threads(), []
    for name, call in contestants.items():
        if name not in able:
            rows.append(Row(task=task, threads=threads, name=name, note=str(call)))
            continue
        low, median, high = np.percentile(speeds[name], [25, 50, 75]).tolist()
        ratio = float(np.median(np.array(speeds[name]) / first))
        rows.append(Row(task=task, threads=threads, name=name, median=median, quartiles=(low, high), ratio=ratio))
    return rows


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| task | threads | contestant | images/s (quartiles) | ratio |", "|---" * 5 + "|"]
    for row in rows:
        speed = row.note
        if row.median is not None and row.quartiles is not None:
            speed = f"{row.median:,.0f} ({row.quartiles[0]:,.0f} to {row.quartiles[1]:,.0f})"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        lines.append(f"| {row.task} | {row.threads} | {row.name} | {speed} | {ratio} |")
    return "\n".join(lines)
