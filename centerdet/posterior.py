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
_HALF = 1 << 31
_HOPE = 0.6  # nats: what a pixel of a hazy outline may well bring
_compiled = njit(cache=True, nogil=True, fastmath={"reassoc"})  # sums in any order


@_compiled
def _steps(x0: int, y0: int, x1: int, y1: int) -> tuple[int, int, int, int, int, int]:
    """How to walk a segment: its number of steps, x and y of each, x and y of a turn aside, and ``slope``.

    After i steps, ``(_HALF + i * slope) >> 32`` turns have been made: exact for segments of less than 2**16 px.
    """
    across, down = abs(x1 - x0), abs(y1 - y0)
    step_x, step_y = (1 if x1 > x0 else -1), (1 if y1 > y0 else -1)
    if across > down:
        return across, step_x, 0, 0, step_y, int(down / across * 2.0**32) + 1
    return down, 0, step_y, step_x, 0, int(across / max(1, down) * 2.0**32) + 1


@_compiled
def edge_pixels(x0: int, y0: int, x1: int, y1: int) -> NDArray[np.int64]:
    """The pixels of a segment, both ends included: ``(n, 2)`` as x, y; the same ones as ``skimage.draw.line``."""
    count, along_x, along_y, aside_x, aside_y, slope = _steps(x0, y0, x1, y1)
    pixels = np.empty((count + 1, 2), np.int64)
    for i in range(count + 1):
        turns = (_HALF + i * slope) >> 32
        pixels[i, 0] = x0 + i * along_x + turns * aside_x
        pixels[i, 1] = y0 + i * along_y + turns * aside_y
    return pixels


@_compiled
def _edge_sum(evidence: NDArray[np.float32], x0: int, y0: int, x1: int, y1: int, stride: int = 1) -> float:
    """Evidence along a segment without its last pixel, which is the next one's first; walks as ``edge_pixels``."""
    count, along_x, along_y, aside_x, aside_y, slope = _steps(x0, y0, x1, y1)
    columns = evidence.shape[1]
    flat = evidence.reshape(-1)
    start, along, aside = (y0 + PAD) * columns + x0 + PAD, along_y * columns + along_x, aside_y * columns + aside_x
    total = np.float32(0)
    for i in range(0, count, stride):
        total += flat[np.uint64(start + i * along + ((_HALF + i * slope) >> 32) * aside)]  # unsigned: quicker
    return total


@_compiled
def frame(parameters: NDArray[np.float64]) -> tuple[float, ...]:
    """What ``corner`` needs of an outline's parameters: x, y, its width's direction times the width, its height's."""
    x, y, yaw, width, height, shape = parameters
    cos, sin = math.cos(yaw), math.sin(yaw)
    return x, y, width * cos, -width * sin, height * sin, height * cos, shape


@_compiled
def corner(frame: tuple[float, ...], corner: NDArray[np.float64]) -> tuple[int, int]:
    """Pixel x, y of one corner ``(4,)`` of an outline: unit coordinates, and what one of shape adds to them."""
    x, y, width_x, width_y, height_x, height_y, shape = frame
    u, v = corner[0] + shape * corner[2], corner[1] + shape * corner[3]
    return int(np.rint(x + u * width_x + v * height_x)), int(np.rint(y + u * width_y + v * height_y))


@_compiled
def likelihood(evidence: NDArray[np.float32], parameters: NDArray[np.float64], outline: NDArray[np.float64]) -> float:
    """Evidence summed over an outline's pixels; ``evidence`` is ``(H + 2 PAD, W + 2 PAD)``."""
    rows, columns = evidence.shape[0] - PAD, evidence.shape[1] - PAD
    box = frame(parameters)
    total = 0.0
    x0, y0 = corner(box, outline[-1])
    for k in range(len(outline)):
        x1, y1 = corner(box, outline[k])
        if not (-PAD <= x1 < columns and -PAD <= y1 < rows and -PAD <= x0 < columns and -PAD <= y0 < rows):
            return IMPOSSIBLE
        total += _edge_sum(evidence, x0, y0, x1, y1)
        x0, y0 = x1, y1
    return total


@_compiled
def cover(
    evidence: NDArray[np.float32], parameters: NDArray[np.float64], outline: NDArray[np.float64], reach: int
) -> None:
    """Puts 0 where an outline runs, and up to ``reach`` pixels around it."""
    rows, columns = evidence.shape
    box = frame(parameters)
    x0, y0 = corner(box, outline[-1])
    for k in range(len(outline)):
        x1, y1 = corner(box, outline[k])
        for x, y in edge_pixels(x0, y0, x1, y1):
            left, right = max(0, x + PAD - reach), min(columns, x + PAD + reach + 1)
            top, bottom = max(0, y + PAD - reach), min(rows, y + PAD + reach + 1)
            evidence[top:bottom, left:right] = 0
        x0, y0 = x1, y1


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
def _glance(evidence: NDArray[np.float32], box: tuple[float, ...], outline: NDArray[np.float64], least: float) -> float:
    """About ``likelihood``: every other pixel; given up where it will hardly reach ``least``."""
    rows, columns = evidence.shape[0] - PAD, evidence.shape[1] - PAD
    total, ahead = 0.0, 0
    x, y = corner(box, outline[-1])
    for k in range(len(outline)):
        x1, y1 = corner(box, outline[k])
        if not (-PAD <= x1 < columns and -PAD <= y1 < rows):
            return IMPOSSIBLE
        ahead += max(abs(x1 - x), abs(y1 - y))
        x, y = x1, y1
    for k in range(len(outline)):
        x1, y1 = corner(box, outline[k])
        total += 2 * _edge_sum(evidence, x, y, x1, y1, 2)
        ahead -= max(abs(x1 - x), abs(y1 - y))
        if total + _HOPE * ahead < least:
            return IMPOSSIBLE
        x, y = x1, y1
    return total


@_compiled
def screen(
    evidence: NDArray[np.float32],
    outline: NDArray[np.float64],
    guess: NDArray[np.float64],
    spread: NDArray[np.float64],
    laws: NDArray[np.float64],
    draws: NDArray[np.float32],
    keep: int,
) -> NDArray[np.float64]:
    """The best of many outlines around a guess, ``draws`` ``(n, 6)`` times the spread away from it.

    Returns:
        ``(keep, 6)`` or fewer, the best first.
    """
    best = np.full((keep, 7), IMPOSSIBLE)
    worst = 0
    drawn = guess.copy()
    for i in range(len(draws)):
        for k in range(6):
            drawn[k] = guess[k] + draws[i, k] * spread[k]
        if not (laws[0] <= drawn[3] <= laws[1] and drawn[4] > 4.0):
            continue
        prior = -0.5 * ((drawn[4] / drawn[3] - laws[2]) / laws[3]) ** 2
        value = prior + _glance(evidence, frame(drawn), outline, best[worst, 0] - prior)
        if value > best[worst, 0]:
            best[worst, 0] = value
            best[worst, 1:] = drawn
            worst = best[:, 0].argmin()
    best = best[np.argsort(-best[:, 0])]
    return best[best[:, 0] > IMPOSSIBLE / 2, 1:]


@_compiled
def _round(parameters: NDArray[np.float64]) -> None:
    for k in (0, 1, 3):
        parameters[k] = np.rint(parameters[k])


@_compiled
def _propose(now: NDArray[np.float64], then: NDArray[np.float64], outline: NDArray[np.float64], whole: bool) -> None:
    """A random step, seldom a long one: a shift; or another yaw, size or shape; a corner or an edge may stay put."""
    then[:] = now
    step = np.random.randn() * (1.0 if np.random.rand() < 0.6 else (3.0 if np.random.rand() < 0.85 else 8.0))
    whole_step = (1 if step > 0 else -1) * max(1.0, np.rint(abs(step))) if whole else step
    kind = np.random.randint(10)
    kept = np.random.randint(len(outline) + 1)  # a corner; the last: none
    if kind < 2:
        then[kind] += whole_step
        return
    if kind < 4:
        then[2] += 0.04 * step
    elif kind < 6:
        then[3] += whole_step
    elif kind == 6:
        then[4] += step
    elif kind == 7:
        then[5] += 0.5 * step
    elif kind == 8:
        then[3] += whole_step
        kept = np.random.randint(len(outline))
        _keep_edge(now, then, outline[kept], outline[(kept + 1) % len(outline)])
    else:
        kept = len(outline)
        for k, size in enumerate((0.7, 0.7, 0.03, 0.7, 0.8)):
            then[k] += size * np.random.randn()
    if kept < len(outline):
        u, v = outline[kept, 0] + now[5] * outline[kept, 2], outline[kept, 1] + now[5] * outline[kept, 3]
        for state, sign in ((now, 1.0), (then, -1.0)):
            cos, sin = math.cos(state[2]), math.sin(state[2])
            then[0] += sign * (u * state[3] * cos + v * state[4] * sin)
            then[1] += sign * (v * state[4] * cos - u * state[3] * sin)
    if whole:
        _round(then)


@_compiled
def _keep_edge(
    now: NDArray[np.float64], then: NDArray[np.float64], corner: NDArray[np.float64], after: NDArray[np.float64]
) -> None:
    """Chooses height and yaw so that the edge between two corners keeps its length and direction at another width."""
    across, down = after[0] - corner[0] + now[5] * (after[2] - corner[2]), after[1] - corner[1]
    down += now[5] * (after[3] - corner[3])
    square = (across * now[3]) ** 2 + (down * now[4]) ** 2 - (across * then[3]) ** 2
    if square > 0 and abs(down) > 0.01:
        then[4] = math.sqrt(square) / abs(down)
        then[2] += math.atan2(across * now[3], down * now[4]) - math.atan2(across * then[3], down * then[4])


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
        _propose(now, then, outline, whole)
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
def likely_pairs(
    evidence: NDArray[np.float32], bright: NDArray[np.int64], least: float, longest: int = 90
) -> NDArray[np.int64]:
    """Pairs of bright pixels that a straight line may run through.

    Args:
        evidence: The map.
        bright: ``(n, 2)`` x and y of pixels that are surely drawn.
        least: Evidence that a stretch of the line must have.
        longest: Pairs further apart are left out, in px.

    Returns:
        ``(k, 4)`` x, y, x, y.
    """
    n = len(bright)
    pairs = np.empty((n * n // 2 + 1, 4), np.int64)
    k = 0
    for i in range(n):
        x0, y0 = bright[i]
        for j in range(i):
            x1, y1 = bright[j]
            if not 10 <= max(abs(x0 - x1), abs(y0 - y1)) <= longest:
                continue
            between = _edge_sum(evidence, x0, y0, x1, y1)
            if between > evidence[y0 + PAD, x0 + PAD] and _best_stretch(evidence, x0, y0, x1, y1)[0] >= least:
                pairs[k, 0], pairs[k, 1], pairs[k, 2], pairs[k, 3] = x0, y0, x1, y1
                k += 1
    return pairs[:k]


@_compiled
def find_segments(
    evidence: NDArray[np.float32], pairs: NDArray[np.int64], count: int, least: float
) -> NDArray[np.int64]:
    """Greedily, the straight segments with the most evidence; each explains its pixels, which then count no more.

    Args:
        evidence: The map; changed: 0 where a segment explains it.
        pairs: As ``likely_pairs`` gives them; segments are looked for along these.
        count: How many segments at most.
        least: Evidence that a segment must have.

    Returns:
        ``(k, 4)`` x, y, x, y.
    """
    np.random.seed(0)
    scores = np.zeros(len(pairs))
    for index in range(len(pairs)):
        x0, y0, x1, y1 = pairs[index]
        if evidence[y0 + PAD, x0 + PAD] > 0 and evidence[y1 + PAD, x1 + PAD] > 0:
            scores[index] = _best_stretch(evidence, x0, y0, x1, y1)[0]
    order = np.argsort(-scores)
    over = np.zeros(len(pairs), np.bool_)  # a segment explains an end of the pair
    found = np.empty((count, 4), np.int64)
    k = 0
    while k < count:
        best, ends = least, np.zeros(4, np.int64)
        for index in order:  # by their first scores, which hardly ever grow
            if scores[index] <= best:
                break
            x0, y0, x1, y1 = pairs[index]
            over[index] |= evidence[y0 + PAD, x0 + PAD] == 0 or evidence[y1 + PAD, x1 + PAD] == 0
            if over[index]:
                continue
            stretch = _best_stretch(evidence, x0, y0, x1, y1)
            if stretch[0] > best:
                best = stretch[0]
                ends[:] = stretch[1:]
        if best == least:
            break
        _polish(evidence, ends)
        blank_segment(evidence, ends)
        found[k] = ends
        k += 1
    return found[:k]


@_compiled
def _polish(evidence: NDArray[np.float32], ends: NDArray[np.int64], steps: int = 500) -> None:
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
