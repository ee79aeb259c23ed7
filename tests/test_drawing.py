"""Pictures of boxes, heatmaps and contact sheets."""

import numpy as np
import pytest

from centerdet import Detection, RotatedBox
from centerdet.drawing import (
    PREDICTED_COLOR,
    TARGET_COLOR,
    contact_sheet,
    draw_box,
    draw_detection,
    draw_tile,
    overlay_heatmap,
)

BOX = RotatedBox(40, 30, 0.0, 20, 30)


def has_color(picture, color, y, x):
    """Whether a pixel within 2 px has the hue, at 40 % of the brightness or more (lines are anti-aliased)."""
    around = picture[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3) / max(color)
    brightness = around.max(axis=1, keepdims=True)
    hue = around / np.maximum(brightness, 1e-9)
    return ((brightness[:, 0] > 0.4) & (abs(hue - np.array(color) / max(color)).max(axis=1) < 0.1)).any()


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_boxes_are_drawn_at_their_place(scale):
    canvas = np.zeros((80 * scale, 100 * scale, 3), np.uint8)
    draw_box(canvas, BOX, TARGET_COLOR, scale=scale)
    for x, y in [*BOX.corners(), BOX.nose(), (BOX.x, BOX.y)]:
        assert has_color(canvas, TARGET_COLOR, int((y + 0.5) * scale - 0.5), int((x + 0.5) * scale - 0.5))
    drawn = np.argwhere(canvas.any(axis=2)) / scale
    assert drawn.min(axis=0) == pytest.approx([15, 30], abs=1.5)
    assert drawn.max(axis=0) == pytest.approx([45, 50], abs=3)  # the dot at the nose reaches over the edge


def test_the_heading_end_is_marked():
    canvas = np.zeros((80, 100, 3), np.uint8)
    draw_box(canvas, BOX, TARGET_COLOR)
    nose, tail = canvas[43:48, 37:44].any(axis=2).sum(), canvas[13:18, 37:44].any(axis=2).sum()
    assert nose > tail


def test_the_heatmap_adds_red_only_where_it_is_high():
    heatmap = np.zeros((80, 100))
    heatmap[20:30, 50:60] = 1
    picture = overlay_heatmap(np.full((80, 100), 0.5), heatmap).astype(int)
    assert (picture[20:30, 50:60, 0] > picture[20:30, 50:60, 1] + 80).all()
    outside = np.delete(picture, np.s_[20:30], axis=0)
    assert (outside == outside[..., :1]).all()


def test_integers_and_floats_look_the_same():
    image = np.random.default_rng(0).integers(0, 256, (70, 70), dtype=np.uint8)
    expected = overlay_heatmap(image, None).astype(int)
    for other in (image / 255, image.astype(np.uint16) * 257):
        assert abs(overlay_heatmap(other, None) - expected).max() <= 1


def test_a_detection_shows_both_boxes_and_does_not_change_the_image():
    image = np.zeros((80, 100))
    predicted = Detection(RotatedBox(60, 50, 1.0, 20, 25), 0.5)
    picture = draw_detection(image, predicted=predicted, target=BOX, heatmap=np.zeros((80, 100)), scale=2)
    assert picture.shape == (160, 200, 3)
    assert has_color(picture, PREDICTED_COLOR, 100, 120)
    assert has_color(picture, TARGET_COLOR, 60, 80)
    assert not image.any()


def test_a_caption_is_written_at_the_top_left():
    picture = draw_detection(np.zeros((80, 100)), caption="nothing")
    assert (picture[:24, :60] > 200).any()
    assert not picture[30:].any()


def test_a_contact_sheet_holds_every_picture():
    tiles = [np.full((10 + i, 20, 3), 10 * i, np.uint8) for i in range(5)]
    sheet = contact_sheet(tiles, columns=2, gap=4)
    assert sheet.shape == (3 * 18 + 4, 2 * 24 + 4, 3)
    for index, tile in enumerate(tiles):
        top, left = 4 + index // 2 * 18, 4 + index % 2 * 24
        np.testing.assert_array_equal(sheet[top : top + tile.shape[0], left : left + 20], tile)
    with pytest.raises(ValueError, match="at least one picture"):
        contact_sheet([])


def test_without_a_heading_both_ends_look_alike():
    canvas = np.zeros((80, 100, 3), np.uint8)
    draw_box(canvas, BOX, TARGET_COLOR, has_heading=False)
    assert has_color(canvas, TARGET_COLOR, 20, 40)  # halfway to the tail
    around = canvas[13:48, 28:53].astype(int)
    assert abs(around - around[::-1]).max() < 10


@pytest.mark.parametrize(
    ("shape", "drawn"), [((800, 1000), (240, 300)), ((80, 100), (240, 300)), ((160, 200), (160, 200))]
)
def test_tiles_have_about_one_size_and_show_their_box(shape, drawn):
    factor = shape[0] / 80
    box = RotatedBox(40 * factor, 30 * factor, 0.5, 20 * factor, 30 * factor)
    picture = draw_tile(np.zeros(shape, np.float32), 300, target=box, heatmap=np.zeros(shape, np.float32))
    assert picture.shape[:2] == drawn
    for x, y in [*box.corners(), box.nose()]:
        assert has_color(picture, TARGET_COLOR, int(y * drawn[0] / shape[0]), int(x * drawn[1] / shape[1]))
