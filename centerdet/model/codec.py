"""The codec: boxes to maps (encode) and maps to boxes (decode).

Cell ``[i, j]`` of a map covers ``stride x stride`` pixels; its centre is the pixel position
``x = j * stride + (stride - 1) / 2``, ``y = i * stride + (stride - 1) / 2`` (an integer is a pixel's centre).

Encode draws a Gaussian around the box's centre, and writes into every cell the box's size, sin and cos of its yaw, and
the offset to its centre. Decode has four steps: 1. sigmoid; 2. the highest cell (at most one object, so no NMS); 3. the
mean of size, sin, cos and centre over the ``decode_window x decode_window`` cells around it, weighted by the heatmap;
4. ``atan2``.

Method: Zhou et al., "Objects as Points", arXiv 1904.07850. The weighted mean around the peak is an addition.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from centerdet.model.types import Prediction, Target

MIN_EXTENT = 1.0  # px: lower bound of decoded widths and heights, which a network may predict below 0
MIN_SETTING, MAX_SETTING = 0.001, 10_000  # far beyond useful settings; others overflow float32
PEAK_WINDOW = 5  # cells: side of the square that ``without_peak`` removes; it covers a typical Gaussian
REMOVED_LOGIT = -30.0  # the logit of a removed cell: a probability of 1e-13


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecConfig:
    """Settings of the codec, stored with the weights.

    Attributes:
        size_unit: Extent in px that a value of 1 in a size map stands for; about the objects' typical extent.
        sigma_ratio: Standard deviation of the Gaussian, in units of sqrt(width * height).
        min_sigma: Lower bound of the standard deviation, in cells.
        decode_window: Side in cells, odd, of the window around the peak that decode averages over.

    Raises:
        ValueError: If a setting is out of range.
    """

    size_unit: float = 32.0
    sigma_ratio: float = 0.08
    min_sigma: float = 0.6
    decode_window: int = 3

    def __post_init__(self) -> None:
        for name in ("size_unit", "sigma_ratio", "min_sigma"):
            if not MIN_SETTING <= getattr(self, name) <= MAX_SETTING:
                raise ValueError(f"{name} must lie in [{MIN_SETTING}, {MAX_SETTING:,}], got {getattr(self, name)}")
        if self.decode_window not in range(1, 100, 2):
            raise ValueError(f"decode_window must be odd, from 1 to 99, got {self.decode_window}")


class Codec:
    """Turns boxes into a ``Target`` and a ``Prediction`` into boxes.

    Args:
        stride: Pixels per cell; the network's output stride.
        has_heading: Whether the yaw distinguishes front from back; the network's setting. If not, decoded yaws lie in
            (-pi/2, pi/2].
        config: Settings of the maps.
    """

    def __init__(self, *, stride: int = 4, has_heading: bool = True, config: CodecConfig | None = None) -> None:
        self.stride, self.has_heading, self.config = stride, has_heading, config or CodecConfig()

    def encode(self, boxes: Tensor, has_object: Tensor, image_size: tuple[int, int]) -> Target:
        """Draws the maps that a perfect network would predict.

        Args:
            boxes: ``(B, 5)`` ``(x, y, yaw, width, height)`` in px and rad; rows without an object are ignored.
            has_object: ``(B,)`` bool.
            image_size: ``(H, W)`` of the images in px.
        """
        rows, columns = (-(-side // self.stride) for side in image_size)
        boxes = torch.where(has_object[:, None], boxes.float(), 0.0)  # rows without an object may hold NaN
        x, y, yaw, width, height = boxes[:, :, None, None].unbind(1)  # each (B, 1, 1)
        cell_x, cell_y = self._cell_centers(rows, columns, boxes.device)  # (w,), (h, 1)
        offset_x, offset_y = torch.broadcast_tensors((x - cell_x) / self.stride, (y - cell_y) / self.stride)
        mask = self._center_cell(x, y, rows, columns) & has_object[:, None, None]  # (B, h, w)
        # The Gaussian of a centre between cells is nowhere exactly 1: the centre's cell is set to 1.
        gaussian = self._gaussian(offset_x, offset_y, width, height) * has_object[:, None, None]
        heatmap = torch.where(mask, 1.0, gaussian)  # (B, h, w)
        shape, yaw = heatmap.shape, yaw * self._yaw_factor
        return Target(
            heatmap=heatmap[:, None],
            size=torch.stack([width.expand(shape), height.expand(shape)], 1) / self.config.size_unit,
            yaw=torch.stack([yaw.sin().expand(shape), yaw.cos().expand(shape)], 1),
            offset=torch.stack([offset_x, offset_y], 1),
            mask=mask[:, None],
        )

    def decode(self, prediction: Prediction) -> tuple[Tensor, Tensor]:
        """Reads the most likely box of each image, however low its score.

        Returns:
            boxes ``(B, 5)`` in px and rad, with yaw in (-pi, pi] (without a heading: in (-pi/2, pi/2]), and scores
            ``(B,)`` in [0, 1].
        """
        heatmap = prediction.center.float().sigmoid()  # (B, 1, h, w)
        columns = heatmap.shape[-1]
        scores, peak = heatmap.flatten(1).max(dim=1)  # each (B,)
        index, inside = self._window(peak, *heatmap.shape[-2:])  # each (B, k*k)
        weight = heatmap.flatten(1).gather(1, index) * inside
        weight = weight / weight.sum(1, keepdim=True)  # (B, k*k)

        maps = torch.cat([prediction.size, prediction.yaw, prediction.offset], 1).float().flatten(2)  # (B, 6, h*w)
        near = maps.gather(2, index[:, None].expand(-1, 6, -1))  # (B, 6, k*k)
        width, height, sin, cos, offset_x, offset_y = (near * weight[:, None]).sum(2).unbind(1)  # each (B,)
        row, column = _unravel(index, columns)
        x, y = self._to_pixels((column * weight).sum(1), offset_x), self._to_pixels((row * weight).sum(1), offset_y)
        yaw = torch.atan2(sin, cos) / self._yaw_factor
        width, height = (side.mul(self.config.size_unit).clamp(min=MIN_EXTENT) for side in (width, height))
        return torch.stack([x, y, yaw, width, height], 1), scores

    def without_peak(self, prediction: Prediction) -> Prediction:
        """Returns the maps without each heatmap's highest peak, so that ``decode`` finds the next one."""
        rows, columns = prediction.center.shape[2:]
        peak_row, peak_column = _unravel(prediction.center.flatten(1).argmax(1), columns)  # each (B,)
        row, column = (torch.arange(side, device=peak_row.device) for side in (rows, columns))
        near_row = (row - peak_row[:, None]).abs() <= PEAK_WINDOW // 2  # (B, h)
        near_column = (column - peak_column[:, None]).abs() <= PEAK_WINDOW // 2  # (B, w)
        near = near_row[:, None, :, None] & near_column[:, None, None]  # (B, 1, h, w)
        return prediction._replace(center=torch.where(near, REMOVED_LOGIT, prediction.center))

    def heatmap(self, prediction: Prediction, image_size: tuple[int, int]) -> Tensor:
        """Returns the centre heatmap as probabilities ``(B, H, W)``, for images of ``image_size`` (H, W) in px."""
        height, width = image_size
        heatmap = prediction.center.float().sigmoid()  # (B, 1, h, w)
        # With align_corners=False, interpolation puts the cells' centres where ``decode`` puts them.
        heatmap = interpolate(heatmap, scale_factor=float(self.stride), mode="bilinear", align_corners=False)
        return heatmap[:, 0, :height, :width]

    @property
    def _yaw_factor(self) -> int:
        """Multiple of the yaw whose sin and cos the maps hold: twice the yaw is the same after half a turn."""
        return 1 if self.has_heading else 2

    def _cell_centers(self, rows: int, columns: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Returns x ``(w,)`` and y ``(h, 1)`` of the cells' centres, in px."""
        x, y = (
            torch.arange(count, device=device, dtype=torch.float32) * self.stride + (self.stride - 1) / 2
            for count in (columns, rows)
        )
        return x, y[:, None]

    def _gaussian(self, offset_x: Tensor, offset_y: Tensor, width: Tensor, height: Tensor) -> Tensor:
        """Returns a Gaussian ``(B, h, w)`` of offsets in cells ``(B, h, w)``, for extents in px ``(B, 1, 1)``."""
        sigma = self.config.sigma_ratio * (width * height).sqrt() / self.stride
        sigma = sigma.clamp(min=self.config.min_sigma)  # (B, 1, 1), cells
        return torch.exp(-(offset_x**2 + offset_y**2) / (2 * sigma**2))

    def _center_cell(self, x: Tensor, y: Tensor, rows: int, columns: int) -> Tensor:
        """Returns a mask ``(B, h, w)`` of the cell nearest to each position ``(B, 1, 1)`` in px."""
        origin = (self.stride - 1) / 2  # px: the centre of the first cell
        column = ((x - origin) / self.stride).round().clamp(0, columns - 1)  # (B, 1, 1)
        row = ((y - origin) / self.stride).round().clamp(0, rows - 1)
        grid_x, grid_y = torch.arange(columns, device=x.device), torch.arange(rows, device=x.device)[:, None]
        return (grid_x == column) & (grid_y == row)

    def _window(self, peak: Tensor, rows: int, columns: int) -> tuple[Tensor, Tensor]:
        """Returns the cells of the window around each peak, and which of them lie in the map.

        Args:
            peak: ``(B,)`` indices into the flattened map.
            rows: Height of the map.
            columns: Width of the map.

        Returns:
            indices into the flattened map ``(B, k*k)``, and ``(B, k*k)`` bool; cells outside the map have the index of
            the nearest cell in it.
        """
        radius = self.config.decode_window // 2
        step = torch.arange(-radius, radius + 1, device=peak.device)  # (k,)
        peak_row, peak_column = _unravel(peak, columns)  # each (B,)
        row = peak_row[:, None, None] + step[:, None]  # (B, k, 1)
        column = peak_column[:, None, None] + step  # (B, 1, k)
        inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)  # (B, k, k)
        index = row.clamp(0, rows - 1) * columns + column.clamp(0, columns - 1)  # (B, k, k)
        return index.flatten(1), inside.flatten(1)

    def _to_pixels(self, cell: Tensor, offset: Tensor) -> Tensor:
        """Returns positions in px of (fractional) cells plus offsets in cells."""
        return cell * self.stride + (self.stride - 1) / 2 + offset * self.stride


def _unravel(index: Tensor, columns: int) -> tuple[Tensor, Tensor]:
    """Returns rows and columns of indices into a flattened map, without ``%``: ONNX export cannot translate it."""
    row = index // columns
    return row, index - row * columns
