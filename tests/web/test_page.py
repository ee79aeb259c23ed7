"""The page of ``centerdet export --web`` gives Python's boxes in a real browser, and refuses images in words."""

import math
import re

import cv2
import numpy as np
import pytest

import centerdet
from centerdet.cli.main import main
from centerdet.data.image_io import read_image
from centerdet.export import OnnxDetector
from centerdet.export.web import EXAMPLES, MAX_PIXELS, write_page
from tests.web.browser import drive, need_browser, serve

pytestmark = pytest.mark.slow


def write_inputs(folder):
    """Images that the page must detect in as Python does, and images that it must refuse, by words of its message."""
    scene = (centerdet.SyntheticScenes(3)[0][0] * 255).round().astype(np.uint8)
    rng = np.random.default_rng(0)
    colour = np.stack([scene, scene, scene], axis=-1)
    colour[::3] = rng.integers(0, 255, colour[::3].shape)
    good = {
        "grey.png": scene,
        "odd.png": scene[:173, :151],
        "wide.png": np.hstack([scene, scene[:, ::-1] // 2]),
        "colour.png": colour,
        "grey.bmp": scene,
    }
    bad = {
        "deep.png": (scene.astype(np.uint16) * 257, "16 bits a channel"),
        "small.png": (scene[:63], "at least 64 px a side; this one is 200"),
        "large.png": (np.zeros((MAX_PIXELS // 2048 + 1, 2048), np.uint8), "at most 4.2 megapixels"),
        "clear.png": (np.dstack([colour, np.full(scene.shape, 128, np.uint8)]), "transparent pixels"),
        "scene.tif": (scene, "reads PNG, JPEG and BMP"),
    }
    for name, image in (*good.items(), *((name, image) for name, (image, _) in bad.items())):
        assert cv2.imwrite(str(folder / name), image)
    (folder / "damaged.png").write_bytes((folder / "grey.png").read_bytes()[:500])
    return [*good], {name: words for name, (_, words) in bad.items()} | {"damaged.png": "damaged"}


def test_the_page_gives_the_boxes_of_python(tmp_path):
    need_browser()
    page, inputs, pictures = (tmp_path / name for name in ("page", "inputs", "pictures"))
    inputs.mkdir()
    pictures.mkdir()
    good, bad = write_inputs(inputs)
    assert main(["export", str(tmp_path / "model.onnx"), "--weights", "fast", "--web", str(page)]) == 0
    detector = OnnxDetector(tmp_path / "model.onnx")
    with serve(page) as address:
        shown = drive("drive_page.mjs", address, pictures, *(inputs / name for name in (*good, *bad)))
    assert shown["complaints"] == []  # neither console errors nor requests of other hosts
    assert shown["tooWide"] == []
    answers = dict(zip((*good, *bad), shown["answers"], strict=True))
    wanted = {name: detector.detect(read_image(inputs / name)) for name in good}
    for name in good:
        check_answer(answers[name], wanted[name])
    assert wanted["grey.png"] is not None
    for name, words in bad.items():
        assert words in answers[name]["message"]
        assert not answers[name]["shown"]
    check_answer(shown["empty"], detector.detect(read_image(page / EXAMPLES[-1])))
    check_answer(shown["example"], detector.detect(read_image(page / EXAMPLES[0])))
    assert shown["empty"]["message"].startswith("Nothing found: score ")
    assert shown["example"]["message"].startswith("Object found ")
    assert shown["strict"]["message"].startswith("Nothing found: score ")  # the threshold is 1


@pytest.mark.parametrize(
    ("host", "is_damaged", "message"),
    [
        ("127.0.0.1", False, "Ready: choose an image."),
        ("127.0.0.1", True, "The model cannot run: model.onnx is damaged, or of another page. Reload .*"),
        ("page.test", False, "Ready: choose an image."),  # browsers compute digests over https and on localhost only
    ],
)
def test_the_page_checks_the_digest_of_its_model(exported, tmp_path, host, is_damaged, message):
    need_browser()
    write_page(tmp_path, exported[1], with_examples=False)
    content = bytearray((tmp_path / "model.onnx").read_bytes())
    content[len(content) // 2] ^= is_damaged
    (tmp_path / "model.onnx").write_bytes(content)
    with serve(tmp_path) as address:
        shown = drive("drive_start.mjs", address.replace("127.0.0.1", host))
    assert re.fullmatch(message, shown["message"])
    assert shown["complaints"] == []


def check_answer(answer, detection):
    """Compares what the page shows with a detection, or with ``None``."""
    assert answer["shown"] == (detection is not None)
    if detection is None:
        assert answer["corners"] is None
        return
    values, box = answer["values"], detection.box
    for name in ("x", "y", "width", "height"):
        assert values[name] == pytest.approx(getattr(box, name), abs=0.01)
    assert math.cos(values["yaw"] - box.yaw) == pytest.approx(1, abs=1e-6)
    assert values["score"] == pytest.approx(detection.score, abs=1e-3)
    corners = [[float(number) for number in corner.split(",")] for corner in answer["corners"].split()]
    np.testing.assert_allclose(corners, box.corners(), atol=0.02)
