"""How well outlines and lines explain an image, and the search for the outline that explains it best. Compiled.

An *evidence* map holds, for each pixel, how much likelier it is under a drawn pixel than under background alone (nats);
0 where nothing is known or a line already explains the pixel. The posterior of an outline's parameters is its prior
times the exponential of the evidence summed over the pixels that the outline covers.

Parameters are a row of six: x, y, yaw, width, height, and shape (a standard normal number, see ``SceneFacts.play``).

Metropolis et al., J. Chem. Phys. 21 (1953); annealing: Kirkpatrick et al., Science 220 (1983); rasterisation:
Bresenham, IBM Systems Journal 4 (1965), ties as scikit-image breaks them.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

try:
    from numba import njit
except ImportError:
    raise ImportError("refinement needs numba: pip install 'centerdet[refine]'") from None

PAD = 64  # cells of zeros around an evidence map, so that an outline may leave the image
IMPOSSIBLE = -1e9
_compiled = njit(cache=True, nogil=True)


@_compiled
def edge_pixels(x0: int, y0: int, x1: int, y1: int) -> NDArray[np.int64]:
    """The pixels of a segment, both ends included: ``(n, 2)`` as x, y; the same ones as ``skimage.draw.line``."""
    across, down = abs(x1 - x0), abs(y1 - y0)
    step_x, step_y = (1 if x1 > x0 else -1), (1 if y1 > y0 else -1)
    longer, shorter = max(across, down), min(across, down)
    pixels = np.empty((longer + 1, 2), np.int64)
    x, y, error = x0, y0, longer
    for i in range(longer + 1):
        pixels[i, 0], pixels[i, 1] = x, y
        error += 2 * shorter
        turn = longer > 0 and error >= 2 * longer
        if turn:
            error -= 2 * longer
        if across > down:
            x += step_x
            y += step_y if turn else 0
        else:
            y += step_y
            x += step_x if turn else 0
    return pixels


@_compiled
def _edge_sum(evidence: NDArray[np.float32], x0: int, y0: int, x1: int, y1: int) -> float:
    """Evidence along a segment without its last pixel, which is the next one's first; walks as ``edge_pixels``."""
    across, down = abs(x1 - x0), abs(y1 - y0)
    step_x, step_y = (1 if x1 > x0 else -1), (1 if y1 > y0 else -1)
    total = 0.0
    x, y = x0 + PAD, y0 + PAD
    if across > down:
        error = across
        for _ in range(across):
            total += evidence[y, x]
            x += step_x
            error += 2 * down
            if error >= 2 * across:
                error -= 2 * across
                y += step_y
    else:
        error = down
        for _ in range(down):
            total += evidence[y, x]
            y += step_y
            error += 2 * across
            if error >= 2 * down:
                error -= 2 * down
                x += step_x
    return total


@_compiled
def vertices(parameters: NDArray[np.float64], outline: NDArray[np.float64]) -> NDArray[np.int64]:
    """Where the corners of an outline ``(V, 4)`` fall (unit coordinates, and what one of shape adds): ``(V, 2)``."""
    x, y, yaw, width, height, shape = parameters
    cos, sin = math.cos(yaw), math.sin(yaw)
    points = np.empty((len(outline), 2), np.int64)
    for k in range(len(outline)):
        u = (outline[k, 0] + shape * outline[k, 2]) * width
        v = (outline[k, 1] + shape * outline[k, 3]) * height
        points[k, 0], points[k, 1] = round(x + u * cos + v * sin), round(y - u * sin + v * cos)
    return points


@_compiled
def likelihood(evidence: NDArray[np.float32], parameters: NDArray[np.float64], outline: NDArray[np.float64]) -> float:
    """Evidence summed over an outline's pixels; ``evidence`` is ``(H + 2 PAD, W + 2 PAD)``."""
    points = vertices(parameters, outline)
    rows, columns = evidence.shape
    if points.min() < -PAD or points[:, 0].max() >= columns - PAD or points[:, 1].max() >= rows - PAD:
        return IMPOSSIBLE
    total = 0.0
    for k in range(len(points)):
        after = (k + 1) % len(points)
        total += _edge_sum(evidence, points[k, 0], points[k, 1], points[after, 0], points[after, 1])
    return total


@_compiled
def cover(
    evidence: NDArray[np.float32], parameters: NDArray[np.float64], outline: NDArray[np.float64], reach: int
) -> None:
    """Puts 0 where an outline runs, and up to ``reach`` pixels around it."""
    points = vertices(parameters, outline)
    rows, columns = evidence.shape
    for k in range(len(points)):
        after = (k + 1) % len(points)
        for x, y in edge_pixels(points[k, 0], points[k, 1], points[after, 0], points[after, 1]):
            left, right = max(0, x + PAD - reach), min(columns, x + PAD + reach + 1)
            top, bottom = max(0, y + PAD - reach), min(rows, y + PAD + reach + 1)
            evidence[top:bottom, left:right] = 0


@_compiled
def blank_segment(evidence: NDArray[np.float32], ends: NDArray[np.int64]) -> None:
    """Puts 0 on a segment ``(4,)``."""
    for x, y in edge_pixels(ends[0], ends[1], ends[2], ends[3]):
        evidence[y + PAD, x + PAD] = 0


@_compiled
def log_prior(
    parameters: NDArray[np.float64], guess: NDArray[np.float64], spread: NDArray[np.float64], laws: NDArray[np.float64]
) -> float:
    """Of parameters, given a detector's guess: heavy-tailed around it, and the laws of the scenes.

    ``laws``: smallest and largest width, mean and deviation of height / width, smallest and largest x, then y.
    """
    x, y, _, width, height, shape = parameters
    inside = laws[4] <= x <= laws[5] and laws[6] <= y <= laws[7]
    if not (inside and laws[0] <= width <= laws[1] and height > 4.0 and abs(shape) < 3.5):
        return IMPOSSIBLE
    distance = 0.0
    for i in range(5):
        away = parameters[i] - guess[i]
        if i == 2:
            away = math.atan2(math.sin(away), math.cos(away))
        distance += (away / spread[i]) ** 2
    ratio = (height / width - laws[2]) / laws[3]
    return -0.5 * ratio**2 - 0.5 * shape**2 - math.log(width) - 3.0 * math.log(1 + distance / 5)


@_compiled
def screen(
    evidence: NDArray[np.float32],
    outline: NDArray[np.float64],
    guess: NDArray[np.float64],
    spread: NDArray[np.float64],
    laws: NDArray[np.float64],
    whole: bool,
    count: int,
    keep: int,
    seed: int,
) -> NDArray[np.float64]:
    """The best of many outlines drawn around a guess: ``(keep, 6)``."""
    np.random.seed(seed)
    best = np.full((keep, 7), IMPOSSIBLE)
    drawn = guess.copy()
    worst = 0
    for i in range(count):
        reach = 2.0 if i % 4 == 3 else 1.0
        for k in range(6):
            drawn[k] = guess[k] + (reach * spread[k] * np.random.randn() if i else 0.0)
        if whole:
            _round(drawn)
        value = log_prior(drawn, guess, spread, laws)
        if value > IMPOSSIBLE:
            value += likelihood(evidence, drawn, outline)
        if value > best[worst, 0]:
            best[worst, 0] = value
            best[worst, 1:] = drawn
            worst = best[:, 0].argmin()
    return best[best[:, 0] > IMPOSSIBLE, 1:]


@_compiled
def _round(parameters: NDArray[np.float64]) -> None:
    for k in (0, 1, 3):
        parameters[k] = round(parameters[k])


@_compiled
def _propose(now: NDArray[np.float64], then: NDArray[np.float64], whole: bool) -> None:
    """A small step: of one parameter, of nose or tail alone, of one side alone, or of several at once."""
    then[:] = now
    kind = np.random.randint(11)
    chance = np.random.rand()
    scale = 1.0 if chance < 0.6 else (3.0 if chance < 0.95 else 6.0)
    normal = np.random.randn() * scale
    if kind in (0, 1, 3):
        then[kind] += normal
        if whole:
            then[kind] = now[kind] + (1 if normal > 0 else -1) * max(1.0, round(abs(normal)))
    elif kind == 2:
        then[2] += 0.03 * normal
    elif kind == 4:
        then[4] += 0.8 * normal
    elif kind == 5:
        then[5] += 0.5 * normal
    elif kind <= 7:  # nose or tail alone
        then[4] += 1.2 * normal
        along = 0.6 * normal * (1 if kind == 6 else -1)
        then[0] += math.sin(now[2]) * along
        then[1] += math.cos(now[2]) * along
    elif kind == 8:  # a turn about nose or tail
        along = 0.5 * now[4] * (1 if chance < 0.3 or chance > 0.8 else -1)
        then[2] += 0.05 * normal
        then[0] += (math.sin(now[2]) - math.sin(then[2])) * along
        then[1] += (math.cos(now[2]) - math.cos(then[2])) * along
    elif kind == 9:  # one side alone
        then[3] += normal
        across = 0.5 * normal * (1 if chance < 0.3 or chance > 0.8 else -1)
        then[0] += math.cos(now[2]) * across
        then[1] -= math.sin(now[2]) * across
    else:
        for k, size in enumerate((0.7, 0.7, 0.03, 0.7, 0.8)):
            then[k] += size * np.random.randn()
    if whole and kind >= 6:
        _round(then)


@_compiled
def chain(
    evidence: NDArray[np.float32],
    start: NDArray[np.float64],
    outline: NDArray[np.float64],
    guess: NDArray[np.float64],
    spread: NDArray[np.float64],
    laws: NDArray[np.float64],
    whole: bool,
    steps: int,
    temperature: float,
    seed: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A Metropolis chain, cooled from a temperature down to 1.

    Returns:
        The best outline on its way ``(7,)``, log-posterior first, and the mean over its way ``(6,)``.
    """
    np.random.seed(seed)
    now, then = start.copy(), start.copy()
    value = log_prior(now, guess, spread, laws) + likelihood(evidence, now, outline)
    best = np.empty(7)
    best[0], best[1:] = value, now
    mean, sin, cos = np.zeros(6), 0.0, 0.0
    for i in range(steps):
        _propose(now, then, whole)
        new = log_prior(then, guess, spread, laws)
        if new > IMPOSSIBLE:
            new += likelihood(evidence, then, outline)
            if new >= value or np.random.rand() < math.exp((new - value) / temperature ** (1 - i / steps)):
                now[:], value = then, new
                if value > best[0]:
                    best[0], best[1:] = value, now
        mean += now
        sin += math.sin(now[2])
        cos += math.cos(now[2])
    mean /= steps
    mean[2] = math.atan2(sin, cos)
    return best, mean


@_compiled
def _best_stretch(
    evidence: NDArray[np.float32], x0: int, y0: int, x1: int, y1: int
) -> tuple[float, int, int, int, int]:
    """On the straight line through two pixels, the stretch with the most evidence (Kadane): its sum and its ends."""
    height, width = evidence.shape[0] - 2 * PAD, evidence.shape[1] - 2 * PAD
    flat = abs(x1 - x0) >= abs(y1 - y0)
    if not flat:
        x0, y0, x1, y1, height, width = y0, x0, y1, x1, width, height
    slope = (y1 - y0) / (x1 - x0)
    best, first, last, run, begin = 0.0, x0, x0, 0.0, 0
    for x in range(width):
        y = math.floor(y0 + slope * (x - x0) + 0.5)
        if 0 <= y < height:
            run += evidence[y + PAD, x + PAD] if flat else evidence[x + PAD, y + PAD]
        if run <= 0 or y < 0 or y >= height:
            run, begin = 0.0, x + 1
        elif run > best:
            best, first, last = run, begin, x
    y0, y1 = math.floor(y0 + slope * (first - x0) + 0.5), math.floor(y0 + slope * (last - x0) + 0.5)
    if flat:
        return best, first, y0, last, y1
    return best, y0, first, y1, last


@_compiled
def segment_sum(evidence: NDArray[np.float32], ends: NDArray[np.int64]) -> float:
    """Evidence along a segment ``(4,)``, both ends included."""
    last = evidence[ends[3] + PAD, ends[2] + PAD]
    return _edge_sum(evidence, ends[0], ends[1], ends[2], ends[3]) + last


@_compiled
def find_segments(
    evidence: NDArray[np.float32], bright: NDArray[np.int64], count: int, least: float, longest: int = 90
) -> NDArray[np.int64]:
    """Greedily, the straight segments with the most evidence; each explains its pixels, which then count no more.

    Args:
        evidence: The map; changed: 0 where a segment explains it.
        bright: ``(n, 2)`` x and y of pixels that are surely drawn; segments are looked for through pairs of them.
        count: How many segments at most.
        least: Evidence that a segment must have.
        longest: Pairs further apart are not tried, in px.

    Returns:
        ``(k, 4)`` x, y, x, y.
    """
    np.random.seed(0)
    n = len(bright)
    pairs = np.empty((n * n // 2 + 1, 2), np.int64)
    scores = np.empty(len(pairs))
    m = 0
    for i in range(n):
        for j in range(i):
            apart = max(abs(bright[i, 0] - bright[j, 0]), abs(bright[i, 1] - bright[j, 1]))
            if 10 <= apart <= longest:
                score = _best_stretch(evidence, bright[i, 0], bright[i, 1], bright[j, 0], bright[j, 1])[0]
                if score >= least:
                    pairs[m, 0], pairs[m, 1], scores[m] = i, j, score
                    m += 1
    order = np.argsort(-scores[:m])
    found = np.empty((count, 4), np.int64)
    used = np.zeros(m, np.bool_)
    k = 0
    while k < count:
        top, best = -1, least
        ends = np.zeros(4, np.int64)
        for index in order:  # by their first scores, which hardly ever grow
            if scores[index] <= best:
                break
            if used[index]:
                continue
            a, b = bright[pairs[index, 0]], bright[pairs[index, 1]]
            if evidence[a[1] + PAD, a[0] + PAD] == 0 or evidence[b[1] + PAD, b[0] + PAD] == 0:
                used[index] = True
                continue
            stretch = _best_stretch(evidence, a[0], a[1], b[0], b[1])
            if stretch[0] > best:
                top, best = index, stretch[0]
                ends[:] = stretch[1:]
        if top < 0:
            break
        _polish(evidence, ends)
        blank_segment(evidence, ends)
        found[k] = ends
        used[top] = True
        k += 1
    return found[:k]


@_compiled
def _polish(evidence: NDArray[np.float32], ends: NDArray[np.int64], steps: int = 1500) -> None:
    """Anneals a segment's ends: jitter of one or both, and longer or shorter along the segment's own direction."""
    width, height = evidence.shape[1] - 2 * PAD, evidence.shape[0] - 2 * PAD
    now, then = ends.copy(), ends.copy()
    value = best = segment_sum(evidence, ends)
    for i in range(steps):
        then[:] = now
        end = 2 * np.random.randint(2)
        kind = np.random.randint(3)
        if kind == 0:
            along = np.random.randn() * (3.0 if np.random.rand() < 0.6 else 15.0)
            across, down = now[end] - now[2 - end], now[end + 1] - now[3 - end]
            length = math.sqrt(across * across + down * down) + 1e-9
            then[end] += round(across / length * along)
            then[end + 1] += round(down / length * along)
        for k in range(4):
            if kind == 2 or k // 2 == end // 2:
                then[k] += np.random.randint(-1, 2)
        if min(then) < 0 or max(then[0], then[2]) >= width or max(then[1], then[3]) >= height:
            continue
        new = segment_sum(evidence, then)
        if new >= value or np.random.rand() < math.exp((new - value) / (2.0 - 1.9 * i / steps)):
            now[:], value = then, new
            if value > best:
                ends[:], best = now, value
