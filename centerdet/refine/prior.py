"""What is known of a kind of scenes, for those who need more than a network: pure numbers, stored with the weights."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenePrior:
    """What is known of scenes beforehand; the defaults are those of ``make_data``.

    A pixel of an outline or a line is uniform in [0, 1) and the background uniform in [0, noise_level); the image is
    the larger of the two. Lines are as ``skimage.draw.line`` draws them, outlines as ``polygon_perimeter`` does.

    Attributes:
        noise_level: What the background never exceeds, in (0, 1).
        num_lines: How many straight lines each scene has; more than there are would explain the object away.
        outline: The object's corners, in units of (width, height) of its box, around the box's centre.
        vertex_std: What one standard deviation of shape adds to each corner.
        width_range: Smallest and largest width, px.
        aspect_ratio: Mean and standard deviation of height / width.
        integer_coordinates: Whether centres and widths are whole pixels.
        margin: Least distance of a centre from the image's border, px.
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
            raise ValueError(f"noise_level must lie in (0, 1), got {self.noise_level}: no pixel would be surely drawn")
        if len(self.outline) < 3 or len(self.vertex_std) != len(self.outline):
            raise ValueError(
                f"outline needs at least 3 corners and vertex_std as many, got {self.outline} and {self.vertex_std}"
            )
        if (
            not 0 < self.width_range[0] <= self.width_range[1]
            or self.aspect_ratio[1] <= 0
            or self.num_lines < 0
            or self.margin < 0
        ):
            raise ValueError(
                f"width must be two growing numbers above 0, ratio's deviation above 0, lines and margin at least 0, "
                f"got {self}"
            )
