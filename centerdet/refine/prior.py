"""What a detector's weights say about the scenes that they were trained on: plain numbers, without numba or torch."""

from __future__ import annotations

from dataclasses import dataclass


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
        if len(self.outline) < 3 or len(self.vertex_std) != len(self.outline):
            raise ValueError(
                f"outline needs at least 3 vertices, and vertex_std one entry a vertex, "
                f"got {self.outline} and {self.vertex_std}"
            )
        if not 0 < self.width_range[0] <= self.width_range[1] or self.aspect_ratio[1] <= 0:
            raise ValueError(
                f"width_range must be (smallest, largest) above 0 and aspect_ratio's deviation above 0, "
                f"got {self.width_range} and {self.aspect_ratio}"
            )
        if self.num_lines < 0 or self.margin < 0:
            raise ValueError(f"num_lines and margin must be at least 0, got {self.num_lines} and {self.margin}")
