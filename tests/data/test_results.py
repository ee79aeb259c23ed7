"""Results in Python."""

import base64
import json
import sys
import types

import cv2
import numpy as np
import pytest

import centerdet
from centerdet import Detection, RotatedBox
from centerdet.data.predict import FileResult
from tests.helpers import assert_same_box, make_detector, noisy_bar

DETECTION = Detection(RotatedBox(10, 20.5, 0.5, 4, 8), 0.75)


@pytest.fixture
def folder(tmp_path):
    for number in range(4):
        cv2.imwrite(str(tmp_path / f"{number}.png"), (noisy_bar(64, number) * 255).astype(np.uint8))
    return tmp_path


def test_predict_takes_folders_patterns_and_lists(folder):
    detector = make_detector()
    names = [f"{number}.png" for number in range(4)]
    for images in (folder, str(folder / "*.png"), [folder / name for name in names]):
        results = list(centerdet.predict(images, detector))
        assert [result.path.name for result in results] == names
        for result in results:
            expected = detector(result.image)
            assert (result.detection is None) == (expected is None)
            if expected:
                assert_same_box(result.detection.box, expected.box)


def test_predict_checks_at_once_and_yields_as_it_goes(folder):
    with pytest.raises(ValueError, match="there is no file, folder or match"):
        centerdet.predict(folder / "nothing", make_detector())
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        centerdet.predict(folder, make_detector(), batch_size=0)
    results = centerdet.predict(folder, make_detector(), batch_size=1)
    assert next(results).path.name == "0.png"
    (folder / "3.png").unlink()  # not read yet
    with pytest.warns(UserWarning, match=r"skipped: .*3\.png"):
        assert [result.path.name for result in results] == ["1.png", "2.png"]


def test_a_result_is_plain_values_for_json(tmp_path):
    image = np.zeros((64, 80), np.uint8)
    values = {"score": 0.75, "box": {"x": 10, "y": 20.5, "yaw": 0.5, "width": 4, "height": 8}, "has_heading": True}
    assert json.loads(json.dumps(DETECTION.to_dict())) == values
    assert FileResult(tmp_path / "a.png", image, DETECTION).to_dict() == {
        "image": f"{tmp_path}/a.png",
        **values,
        "frame": None,
    }
    assert set(FileResult(tmp_path / "a.png", image, None).to_dict().values()) == {f"{tmp_path}/a.png", None}


def test_draw_shows_box_and_heatmap():
    image, heatmap = np.zeros((64, 80), np.uint8), np.zeros((64, 80))
    heatmap[40, 60] = 1
    picture = centerdet.draw(image, DETECTION, heatmap)
    assert picture.shape == (320, 400, 3)
    assert picture[202, 302].tolist() == (np.array([1, 0.1, 0.25]) * 204).round().astype(int).tolist()
    assert (centerdet.draw(image, scale=1) == 0).all()
    assert (picture != centerdet.draw(image, None, heatmap)).any()
    with pytest.raises(ValueError, match=r"2 dimensions .* got shape \(64, 80, 3\)"):
        centerdet.draw(np.zeros((64, 80, 3)))


def test_notebooks_show_pictures(tmp_path):
    picture = centerdet.draw(np.zeros((64, 80)), DETECTION)
    shown = cv2.imdecode(np.frombuffer(picture._repr_png_(), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    np.testing.assert_array_equal(shown, picture)
    assert picture[0]._repr_png_() is None


def test_notebooks_show_a_result_with_its_name(tmp_path):
    result = FileResult(tmp_path / "<a>.tif", np.full((20, 30), 3000, np.uint16), None, (0, 4095), 7)
    page = result._repr_html_()
    assert page.endswith(f"<figcaption>{tmp_path}/&lt;a&gt;.tif, frame 7</figcaption></figure>")
    picture = base64.b64decode(page.partition("base64,")[2].partition('"')[0])
    assert cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR).shape == (260, 390, 3)


def test_a_table_has_a_row_for_each_image(folder):
    pytest.importorskip("pandas")
    image = np.zeros((64, 80), np.uint8)
    table = centerdet.to_table(
        [FileResult(folder / "a.png", image, DETECTION), FileResult(folder / "b.tif", image, None, frame=7)]
    )
    assert list(table.columns) == ["image", "x", "y", "yaw", "width", "height", "score", "has_heading", "frame"]
    assert table.iloc[0, :-1].tolist() == [f"{folder}/a.png", 10, 20.5, 0.5, 4, 8, 0.75, True]
    assert table.iloc[1, 1:-1].isna().all()
    assert table["frame"].isna().tolist() == [True, False]
    assert table["frame"][1] == 7
    assert len(centerdet.to_table([])) == 0


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(ImportError, match=r"pip install '\.\[table\]'"):
        centerdet.to_table([])
    with pytest.raises(ImportError, match="pip install supervision"):
        centerdet.to_supervision(None)


class FakeDetections:
    """Takes what supervision.Detections takes."""

    def __init__(self, xyxy, confidence=None, class_id=None, data=None):
        self.xyxy, self.confidence, self.class_id, self.data = xyxy, confidence, class_id, data

    @classmethod
    def empty(cls):
        return cls(np.empty((0, 4)))


def test_detections_of_supervision(monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", types.SimpleNamespace(Detections=FakeDetections))
    assert len(centerdet.to_supervision(None).xyxy) == 0
    one = centerdet.to_supervision(DETECTION)
    several = centerdet.to_supervision([DETECTION, None, DETECTION])
    assert len(several.xyxy) == 2
    np.testing.assert_allclose(one.data["xyxyxyxy"][0], DETECTION.box.corners())
    np.testing.assert_allclose(one.xyxy[0, 2:], DETECTION.box.corners().max(axis=0))
    assert (one.confidence.tolist(), one.data["yaw"].tolist(), one.class_id.tolist()) == ([0.75], [0.5], [0])
