"""Random moves of outlines for Metropolis chains, compiled with numba.

Likelihoods of outlines are rugged: a pixel's shift of one edge costs more than a chain would pay. So most moves keep
what fits already: a vertex, an edge, or the straight lines along both sides of a vertex.
"""

from __future__ import annotations

import math

import numpy as np

from centerdet.refine.bresenham import compiled
from centerdet.refine.outlines import Outline, Vertices

_SHIFT, _TURN, _WIDEN, _LENGTHEN, _SCALE, _RESHAPE, _KEEP_EDGE, _MOVE_ALL = range(8)
# Each entry has probability 1 / 20.
_MOVES = (
    *(_SHIFT, _SHIFT, _SHIFT, _TURN, _TURN, _TURN, _WIDEN, _WIDEN, _WIDEN, _LENGTHEN, _LENGTHEN, _LENGTHEN),
    *(_SCALE, _SCALE, _SCALE, _RESHAPE, _KEEP_EDGE, _KEEP_EDGE, _MOVE_ALL, _MOVE_ALL),
)
_TURN_STEP = 0.04  # rad: what one unit of a step turns, about a pixel at an outline's end
_SHAPE_STEP = 0.5  # standard deviations a unit
_MEDIUM, _LONG = 3.0, 8.0  # units: standard deviations of the steps that are not small (34 % and 6 %)
_MIN_LEVER = 0.25  # heights between centre and vertex: nearer ones do not fix the outline's direction


@compiled
def propose(now: Outline, vertices: Vertices, integer_coordinates: bool) -> Outline:
    """Makes a random move from ``_MOVES``, mostly a small one. Turns and changes of size mostly keep a vertex."""
    step = np.random.randn() * (1.0 if np.random.rand() < 0.6 else (_MEDIUM if np.random.rand() < 0.85 else _LONG))
    pixels = (1 if step > 0 else -1) * max(1.0, np.rint(abs(step))) if integer_coordinates else step
    move = _MOVES[np.random.randint(len(_MOVES))]
    if move == _SHIFT:
        return _shift(now, pixels)
    if move == _MOVE_ALL:
        new = _move_all(now)
        return round_coordinates(new) if integer_coordinates else new
    count = len(vertices.u)
    kept = np.random.randint(count + 1)  # the vertex that stays where it is; ``count``: none
    if move == _TURN:
        new = _resize(now, _TURN_STEP * step, 0.0, 0.0, 0.0)
    elif move == _WIDEN:
        new = _resize(now, 0.0, pixels, 0.0, 0.0)
    elif move == _LENGTHEN:
        new = _hold_flexible(now, _resize(now, 0.0, 0.0, step, 0.0), vertices, kept)
    elif move == _SCALE:
        new = _resize(now, 0.0, pixels, pixels * now.height / now.width, 0.0)
        new = _hold_flexible(now, new, vertices, kept)
    elif move == _RESHAPE:
        return _resize(now, 0.0, 0.0, 0.0, _SHAPE_STEP * step)
    else:
        kept = np.random.randint(count)
        new = _keep_edge(now, pixels, vertices, kept)
    if kept == count:
        return new
    return _keep_vertex(now, new, vertices, kept, integer_coordinates)


@compiled
def _shift(now: Outline, pixels: float) -> Outline:
    """Moves the centre along x, y or a diagonal."""
    kind = np.random.randint(4)
    x = 0.0 if kind == 1 else pixels
    y = 0.0 if kind == 0 else (-pixels if kind == 3 else pixels)
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
def _hold_flexible(now: Outline, new: Outline, vertices: Vertices, kept: int) -> Outline:
    """In half of the cases: a shape such that the flexible vertex keeps its distance, in px, from a kept vertex."""
    flexible = vertices.flexible
    if flexible < 0 or kept == flexible or new.height < 1 or np.random.rand() < 0.5:
        return new
    origin = vertices.v[kept] if kept < len(vertices.v) else 0.0
    distance = vertices.v[flexible] + now.shape * vertices.v_std[flexible] - origin
    shape = (distance * now.height / new.height + origin - vertices.v[flexible]) / vertices.v_std[flexible]
    return Outline(new.x, new.y, new.yaw, new.width, new.height, shape)


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
def _keep_vertex(now: Outline, new: Outline, vertices: Vertices, index: int, integer_coordinates: bool) -> Outline:
    """Moves ``new`` so that one of its vertices lies where it does in ``now``.

    Where the centre must be rounded and moves by that, height and yaw make up for it.
    """
    u, v = vertices.u[index] + now.shape * vertices.u_std[index], vertices.v[index] + now.shape * vertices.v_std[index]
    cos, sin = math.cos(now.yaw), math.sin(now.yaw)
    vertex_x = now.x + u * now.width * cos + v * now.height * sin
    vertex_y = now.y + v * now.height * cos - u * now.width * sin
    cos, sin = math.cos(new.yaw), math.sin(new.yaw)
    x = vertex_x - u * new.width * cos - v * new.height * sin
    y = vertex_y - v * new.height * cos + u * new.width * sin
    if not integer_coordinates:
        return Outline(x, y, new.yaw, new.width, new.height, new.shape)
    x, y = math.floor(x + np.random.rand()), math.floor(y + np.random.rand())  # the nearer, the more often
    yaw, height = new.yaw, new.height
    squared = (vertex_x - x) ** 2 + (vertex_y - y) ** 2 - (u * new.width) ** 2
    if (x != now.x or y != now.y) and abs(v) > _MIN_LEVER and squared > 0:
        height = math.sqrt(squared) / abs(v)
        yaw = math.atan2(vertex_x - x, vertex_y - y) - math.atan2(u * new.width, v * height)
    return Outline(float(x), float(y), yaw, new.width, height, new.shape)


@compiled
def round_coordinates(outline: Outline) -> Outline:
    """Rounds centre and width to integers."""
    x, y, width = np.rint(outline.x), np.rint(outline.y), np.rint(outline.width)
    return Outline(x, y, outline.yaw, width, outline.height, outline.shape)
