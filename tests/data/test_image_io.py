"""Reading of image files."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from centerdet.data.image_io import find_images, image_size, read_image


@pytest.mark.parametrize(("name", "dtype"), [("a.png", np.uint16), ("a.tif", np.uint16), ("a.bmp", np.uint8)])
def test_integer_pixels_are_read_unchanged(tmp_path, name, dtype):
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (70, 80)).astype(dtype)
    cv2.imwrite(str(tmp_path / name), pixels)
    np.testing.assert_array_equal(read_image(tmp_path / name), pixels)
    assert image_size(tmp_path / name) == (80, 70)


def test_floats_are_read_unchanged_and_colour_becomes_grey(tmp_path):
    pixels = np.random.default_rng(0).random((70, 80)).astype(np.float32)
    np.save(tmp_path / "a.npy", pixels)
    cv2.imwrite(str(tmp_path / "b.tif"), pixels)
    np.testing.assert_array_equal(read_image(tmp_path / "a.npy"), pixels)
    np.testing.assert_array_equal(read_image(tmp_path / "b.tif"), pixels)
    colour = np.zeros((70, 80, 3), np.uint8)
    colour[...] = (10, 100, 200)  # OpenCV's order: blue, green, red
    cv2.imwrite(str(tmp_path / "c.png"), colour)
    np.save(tmp_path / "d.npy", colour[..., ::-1])
    gamma = struct.pack(">4sI", b"gAMA", 45455)  # with this chunk, OpenCV's IMREAD_GRAYSCALE uses other weights
    png = (tmp_path / "c.png").read_bytes()
    chunk = struct.pack(">I", 4) + gamma + struct.pack(">I", zlib.crc32(gamma))
    (tmp_path / "e.png").write_bytes(png[:33] + chunk + png[33:])
    cv2.imwrite(str(tmp_path / "f.tif"), colour.astype(np.uint16) * 257)
    cv2.imwrite(str(tmp_path / "g.tif"), colour.astype(np.float32) / 255)
    expected = 0.299 * 200 + 0.587 * 100 + 0.114 * 10
    for name, scale in {"c.png": 1, "d.npy": 1, "e.png": 1, "f.tif": 257, "g.tif": 1 / 255}.items():
        image = read_image(tmp_path / name)
        assert image.shape == (70, 80)
        assert image[0, 0] == pytest.approx(scale * expected, abs=1e-5 if scale < 1 else 0.51)


def test_a_channel_axis_of_one_and_double_precision_are_read(tmp_path):
    pixels = np.random.default_rng(0).random((70, 80))
    np.save(tmp_path / "a.npy", pixels[..., None])
    cv2.imwrite(str(tmp_path / "b.tif"), pixels)
    for name in ("a.npy", "b.tif"):
        assert image_size(tmp_path / name) == (80, 70)
        np.testing.assert_array_equal(read_image(tmp_path / name), pixels)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
@pytest.mark.parametrize(("orientation", "quarter_turns"), [(1, 0), (3, 2), (6, -1), (8, 1)])
def test_the_orientation_tag_rotates_the_image(tmp_path, name, orientation, quarter_turns):
    pixels = np.zeros((72, 88), np.uint8)
    pixels[:32, :24] = 255
    tags = Image.Exif()
    tags[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / name, exif=tags)
    expected = np.rot90(pixels, quarter_turns)
    assert image_size(tmp_path / name) == expected.shape[::-1]
    np.testing.assert_allclose(read_image(tmp_path / name), expected, atol=8)


def test_unreadable_files_raise_one_error_and_print_nothing(tmp_path, capfd):
    (tmp_path / "a.png").write_bytes(b"not an image")
    (tmp_path / "b.png").write_bytes(b"")
    np.save(tmp_path / "c.npy", np.zeros(5))
    np.save(tmp_path / "d.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "e.npy", np.full((70, 70, 3), "a"))
    np.save(tmp_path / "f.npy", np.zeros((70, 70, 2)))
    np.save(tmp_path / "g.npy", np.zeros((0, 70)))
    np.savez(tmp_path / "h.npz", np.zeros((70, 70)))
    (tmp_path / "h.npz").rename(tmp_path / "h.npy")
    (tmp_path / "i.npy").write_bytes((tmp_path / "h.npy").read_bytes()[:60])
    (tmp_path / "j.npy").write_bytes((tmp_path / "f.npy").read_bytes()[:10] + b"{'shape': (")
    (tmp_path / "k.tif").write_bytes(b"II*\0\x08\0\0\0")
    (tmp_path / "l.bmp").write_bytes(cv2.imencode(".bmp", np.zeros((70, 70), np.uint8))[1].tobytes()[:2000])
    for path in [*sorted(tmp_path.iterdir()), tmp_path / "missing.png"]:
        with pytest.raises(ValueError, match=f"cannot read {path}"):
            read_image(path)
    assert capfd.readouterr() == ("", "")  # the decoders print nothing
    with pytest.raises(ValueError, match="there is no folder"):
        find_images(tmp_path / "nowhere")


def test_an_array_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path):
    header = np.lib.format.magic(1, 0)
    text = "{'descr': '|u1', 'fortran_order': False, 'shape': (100001, 1000), }"
    text += " " * (-(len(header) + 2 + len(text) + 1) % 64) + "\n"
    with open(tmp_path / "bomb.npy", "wb") as file:
        file.write(header + len(text).to_bytes(2, "little") + text.encode())
        file.truncate(file.tell() + 100_001_000)  # sparse
    with pytest.raises(ValueError, match="1000 x 100001 pixels, and 1 to 100,000,000 are allowed"):
        read_image(tmp_path / "bomb.npy")
