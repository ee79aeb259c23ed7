"""What a detector's weights say about the scenes that they were trained on: plain numbers, without numba or torch."""

from __future__ import annotations

from dataclasses import dataclass

MAX_VERTICES = 100  # of an outline
MAX_OFFSET = 10.0  # of a vertex from the box's centre, in units of (width, height)
MAX_LINES = 1000  # in a scene
MAX_EXTENT = 10_000.0  # px: of an outline, as of the images of an exported model


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenePrior:
    """The generative model of a kind of scenes; the defaults are those of ``make_data``.

    Background pixels are uniform in [0, noise_level), pixels of a line or an outline uniform in [0, 1), and the image
    is the pixelwise maximum. Lines are rasterised as by ``skimage.draw.line``, outlines as by ``polygon_perimeter``.

    Attributes:
        noise_level: Upper bound of the background, in (0, 1).
        num_lines: Number of straight lines in each scene. With a larger number, lines would explain the object away.
        outline: Vertices ``(u, v)`` of the object around the box's centre, in units of (width, height).
        vertex_std: What one standard deviation of the shape parameter adds to each vertex, in the same units.
        width_range: Smallest and largest width, px.
        aspect_ratio: Mean and standard deviation of height / width.
        integer_coordinates: Whether centres and widths are integers.
        margin: Smallest distance of a centre from the image border, px.

    Raises:
        ValueError: If a value is out of range.
    """

    noise_level: float = 0.8
    num_lines: int = 6
    outline: tuple[tuple[float, float], ...] = ((0.0, 0.5), (-0.5, -0.5), (0.0, -1 / 6), (0.5, -0.5))
    vertex_std: tuple[tuple[float, float], ...] = ((0.0, 0.0), (0.0, 0.0), (0.0, 0.1), (0.0, 0.0))
    width_range: tuple[float, float] = (18, 36)
    aspect_ratio: tuple[float, float] = (1.5, 0.2)
    integer_coordinates: bool = True
    margin: float = 10

    def __post_init__(self) -> None:
        if not 0 < self.noise_level < 1:
            raise ValueError(f"noise_level must lie in (0, 1), got {self.noise_level}: at 1 no pixel is surely drawn")
        if not 3 <= len(self.outline) <= MAX_VERTICES or len(self.vertex_std) != len(self.outline):
            raise ValueError(
                f"outline needs 3 to {MAX_VERTICES} vertices, and vertex_std one entry a vertex, "
                f"got {len(self.outline)} and {len(self.vertex_std)}"
            )
        if not all(abs(value) <= MAX_OFFSET for vertex in self.outline + self.vertex_std for value in vertex):
            raise ValueError(f"outline and vertex_std must hold numbers of at most {MAX_OFFSET:g}")
        if not 0 < self.width_range[0] <= self.width_range[1] <= MAX_EXTENT or not (
            0 <= self.aspect_ratio[0] <= MAX_EXTENT and 0 < self.aspect_ratio[1] <= MAX_EXTENT
        ):
            raise ValueError(
                f"width_range must be (smallest, largest) and aspect_ratio's deviation a number, above 0 and at most "
                f"{MAX_EXTENT:g}, got {self.width_range} and {self.aspect_ratio}"
            )
        if not 0 <= self.num_lines <= MAX_LINES or not 0 <= self.margin <= MAX_EXTENT:
            raise ValueError(
                f"num_lines must lie in 0..{MAX_LINES} and margin in 0..{MAX_EXTENT:g}, "
                f"got {self.num_lines} and {self.margin}"
            )
