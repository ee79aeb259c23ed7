"""Metropolis chains over outlines, compiled with numba.

Metropolis et al., J. Chem. Phys. 21 (1953); simulated annealing: Kirkpatrick et al., Science 220 (1983).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from centerdet.refine.bresenham import compiled
from centerdet.refine.outlines import IMPOSSIBLE, Outline, OutlinePrior, Vertices, log_likelihood, log_prior

_SHIFT_X, _SHIFT_Y, _TURN, _WIDEN, _LENGTHEN, _RESHAPE, _KEEP_EDGE, _MOVE_ALL = range(8)
# Each entry has probability 1 / 10.
_MOVES = (_SHIFT_X, _SHIFT_Y, _TURN, _TURN, _WIDEN, _WIDEN, _LENGTHEN, _RESHAPE, _KEEP_EDGE, _MOVE_ALL)
_TURN_STEP = 0.04  # rad: what one unit of a step turns, about a pixel at an outline's end
_SHAPE_STEP = 0.5  # standard deviations a unit
_MEDIUM, _LONG = 3.0, 8.0  # units: standard deviations of the steps that are not small (34 % and 6 %)


class ChainResult(NamedTuple):
    """The best outline on a chain's way, its log-posterior (nats), and the mean of all outlines on the way."""

    log_posterior: float
    best: Outline
    mean: Outline


@compiled
def chain(
    llr: NDArray[np.float32],
    start: Outline,
    vertices: Vertices,
    prior: OutlinePrior,
    integer_coordinates: bool,
    steps: int,
    temperature: float,
    seed: int,
) -> ChainResult:
    """Runs a Metropolis chain that cools from a temperature down to 1."""
    np.random.seed(seed)
    now = best = start
    value = best_value = log_prior(now, prior) + log_likelihood(llr, now, vertices)
    x = y = width = height = shape = sin = cos = 0.0
    for i in range(steps):
        new = _propose(now, vertices, integer_coordinates)
        new_value = log_prior(new, prior)
        if new_value > IMPOSSIBLE:
            new_value += log_likelihood(llr, new, vertices)
            rise = new_value - value
            if new_value >= value or np.random.rand() < math.exp(rise / temperature ** (1 - i / steps)):
                now, value = new, new_value
                if value > best_value:
                    best, best_value = now, value
        x, y, width, height, shape = x + now.x, y + now.y, width + now.width, height + now.height, shape + now.shape
        sin, cos = sin + math.sin(now.yaw), cos + math.cos(now.yaw)
    mean = Outline(x / steps, y / steps, math.atan2(sin, cos), width / steps, height / steps, shape / steps)
    return ChainResult(best_value, best, mean)


@compiled
def _propose(now: Outline, vertices: Vertices, integer_coordinates: bool) -> Outline:
    """Makes a random move from ``_MOVES``, mostly a small one. A turn or a change of size may keep a vertex."""
    step = np.random.randn() * (1.0 if np.random.rand() < 0.6 else (_MEDIUM if np.random.rand() < 0.85 else _LONG))
    pixels = (1 if step > 0 else -1) * max(1.0, np.rint(abs(step))) if integer_coordinates else step
    move = _MOVES[np.random.randint(len(_MOVES))]
    count = len(vertices.u)
    kept = np.random.randint(count + 1)  # the vertex that stays where it is; ``count``: none
    if move == _SHIFT_X:
        return _shift(now, pixels, 0.0)
    if move == _SHIFT_Y:
        return _shift(now, 0.0, pixels)
    if move == _TURN:
        new = _resize(now, _TURN_STEP * step, 0.0, 0.0, 0.0)
    elif move == _WIDEN:
        new = _resize(now, 0.0, pixels, 0.0, 0.0)
    elif move == _LENGTHEN:
        new = _resize(now, 0.0, 0.0, step, 0.0)
    elif move == _RESHAPE:
        new = _resize(now, 0.0, 0.0, 0.0, _SHAPE_STEP * step)
    elif move == _KEEP_EDGE:
        kept = np.random.randint(count)
        new = _keep_edge(now, pixels, vertices, kept)
    else:
        kept = count
        new = _move_all(now)
    if kept < count:
        new = _keep_vertex(now, new, vertices, kept)
    return round_coordinates(new) if integer_coordinates else new


@compiled
def _shift(now: Outline, x: float, y: float) -> Outline:
    return Outline(now.x + x, now.y + y, now.yaw, now.width, now.height, now.shape)


@compiled
def _resize(now: Outline, yaw: float, width: float, height: float, shape: float) -> Outline:
    return Outline(now.x, now.y, now.yaw + yaw, now.width + width, now.height + height, now.shape + shape)


@compiled
def _move_all(now: Outline) -> Outline:
    """A small random change of everything but the shape; a third of a typical posterior's width, in px and rad."""
    x, y = now.x + 0.7 * np.random.randn(), now.y + 0.7 * np.random.randn()
    yaw = now.yaw + 0.03 * np.random.randn()
    width, height = now.width + 0.7 * np.random.randn(), now.height + 0.8 * np.random.randn()
    return Outline(x, y, yaw, width, height, now.shape)


@compiled
def _keep_edge(now: Outline, pixels: float, vertices: Vertices, index: int) -> Outline:
    """Another width, with height and yaw such that the edge after a vertex keeps its length and direction."""
    after = (index + 1) % len(vertices.u)
    u = vertices.u[after] - vertices.u[index] + now.shape * (vertices.u_std[after] - vertices.u_std[index])
    v = vertices.v[after] - vertices.v[index] + now.shape * (vertices.v_std[after] - vertices.v_std[index])
    width, height, yaw = now.width + pixels, now.height, now.yaw
    squared = (u * now.width) ** 2 + (v * now.height) ** 2 - (u * width) ** 2
    if squared > 0 and abs(v) > 0.01:  # else no height does
        height = math.sqrt(squared) / abs(v)
        yaw += math.atan2(u * now.width, v * now.height) - math.atan2(u * width, v * height)
    return Outline(now.x, now.y, yaw, width, height, now.shape)


@compiled
def _keep_vertex(now: Outline, new: Outline, vertices: Vertices, index: int) -> Outline:
    """Moves ``new`` so that one of its vertices lies where it does in ``now``."""
    u, v = vertices.u[index] + now.shape * vertices.u_std[index], vertices.v[index] + now.shape * vertices.v_std[index]
    x, y = new.x, new.y
    cos, sin = math.cos(now.yaw), math.sin(now.yaw)
    x += u * now.width * cos + v * now.height * sin
    y += v * now.height * cos - u * now.width * sin
    cos, sin = math.cos(new.yaw), math.sin(new.yaw)
    x -= u * new.width * cos + v * new.height * sin
    y -= v * new.height * cos - u * new.width * sin
    return Outline(x, y, new.yaw, new.width, new.height, new.shape)


@compiled
def round_coordinates(outline: Outline) -> Outline:
    """Rounds centre and width to integers."""
    x, y, width = np.rint(outline.x), np.rint(outline.y), np.rint(outline.width)
    return Outline(x, y, outline.yaw, width, outline.height, outline.shape)
