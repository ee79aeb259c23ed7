"""``centerdet predict`` with stacks and videos, in parts, and as Parquet."""

import csv
import json
import sys

import cv2
import numpy as np
import pytest
import tifffile

from centerdet.cli.main import main
from centerdet.cli.output_kinds import is_png
from tests.helpers import make_detector, noisy_bar

PIXELS = [(noisy_bar(64, number)[:, :64] * 255).astype(np.uint8) for number in range(4)]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A weights file of a tiny network."""
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    make_detector().save(path)
    return str(path)


@pytest.fixture
def mixed(tmp_path):
    """A folder with an image, a stack of three pages and a video of two frames."""
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "a.png"), PIXELS[0])
    tifffile.imwrite(tmp_path / "in" / "b.tif", np.stack(PIXELS[1:]), photometric="minisblack")
    size = PIXELS[0].shape[::-1]
    video = cv2.VideoWriter(str(tmp_path / "in" / "c.avi"), cv2.VideoWriter_fourcc(*"FFV1"), 5, size)
    for image in PIXELS[:2]:
        video.write(cv2.merge([image] * 3))
    video.release()
    return tmp_path / "in"


ORDER = [("a.png", ""), ("b.tif", "0"), ("b.tif", "1"), ("b.tif", "2"), ("c.avi", "0"), ("c.avi", "1")]


def read_rows(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def test_every_output_names_image_and_frame(mixed, weights, tmp_path):
    command = ["predict", str(mixed), "--weights", weights, "--threshold", "0"]
    pictures = ["--save-images", str(tmp_path / "pictures")]
    assert main([*command, *pictures, "--out", str(tmp_path / "a.csv")]) == 0
    rows = read_rows(tmp_path / "a.csv")
    assert [(row["image"], row["frame"]) for row in rows] == [(f"{mixed}/{name}", frame) for name, frame in ORDER]
    assert main([*command, "--format", "yolo", "--out", str(tmp_path / "yolo")]) == 0
    names = ["a", "b.tif/000000", "b.tif/000001", "b.tif/000002", "c.avi/000000", "c.avi/000001"]
    for folder, suffix in (("pictures", "png"), ("yolo", "txt")):
        found = sorted((tmp_path / folder).rglob(f"*.{suffix}"))
        assert found == [tmp_path / folder / f"{name}.{suffix}" for name in names]
    assert is_png(tmp_path / "pictures" / "b.tif" / "000002.png")
    picture = cv2.imread(str(tmp_path / "pictures" / "b.tif" / "000002.png"), cv2.IMREAD_GRAYSCALE)
    pages = [cv2.resize(page, picture.shape[::-1], interpolation=cv2.INTER_NEAREST) for page in PIXELS[1:]]
    likeness = [np.corrcoef(picture.ravel(), page.ravel())[0, 1] for page in pages]
    assert likeness[2] > 0.9 > 0.5 > max(likeness[:2])  # page 2, with a box on it
    assert main([*command, *pictures, "--format", "jsonl", "--out", str(tmp_path / "a.jsonl")]) == 0  # its own pictures
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == [None, 0, 1, 2, 0, 1]
    assert main([*command, "--format", "yolo", "--out", str(tmp_path / "yolo")]) == 2  # YOLO files bear no mark


@pytest.mark.parametrize("format", ["label-studio", "cvat", "labelme"])
def test_formats_without_frames_say_so(mixed, tmp_path, capsys, format):
    assert main(["predict", str(mixed), "--format", format, "--out", str(tmp_path / "out")]) == 2
    assert f"format {format} has no place for the frames of {mixed}/b.tif" in capsys.readouterr().err


def test_shards_together_are_the_whole(weights, tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(8):
        cv2.imwrite(str(tmp_path / "in" / f"{number}.png"), PIXELS[number % 4] // (1 + number // 4))
    command = ["predict", str(tmp_path / "in"), "--weights", weights, "--format", "jsonl", "--batch-size", "1"]
    assert main([*command, "--out", str(tmp_path / "all")]) == 0
    parts = [tmp_path / f"part-{number}" for number in (1, 2, 3)]
    for number, part in enumerate(parts, start=1):
        assert main([*command, "--shard", f"{number}/3", "--out", str(part)]) == 0
    assert [len(part.read_text().splitlines()) for part in parts] == [2, 3, 3]
    assert "".join(part.read_text() for part in parts) == (tmp_path / "all").read_text()


@pytest.mark.parametrize("shard", ["0/3", "4/3", "1", "1/0", "a/3", "-1/3", "1/3/2"])
def test_wrong_shards(tmp_path, capsys, shard):
    with pytest.raises(SystemExit) as stopped:
        main(["predict", str(tmp_path), f"--shard={shard}"])
    assert stopped.value.code == 2
    assert "wanted I/N with 1 <= I <= N, such as 1/8" in capsys.readouterr().err


def test_parquet_has_the_rows_of_csv(mixed, weights, tmp_path):
    import pyarrow.parquet

    command, out = ["predict", str(mixed), "--weights", weights], tmp_path / "a.parquet"
    assert main([*command, "--out", str(tmp_path / "a.csv")]) == 0
    for _ in range(2):  # it replaces its own result
        assert main([*command, "--format", "parquet", "--out", str(out)]) == 0
    table = pyarrow.parquet.read_table(out).to_pylist()
    for row, cells in zip(table, read_rows(tmp_path / "a.csv"), strict=True):
        assert row["has_heading"] is (True if cells["x"] else None)
        for name, cell in cells.items():
            value = row[name]
            text = "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
            assert text == cell
    pyarrow.parquet.write_table(pyarrow.table({"a": [1]}), out)
    assert main([*command, "--format", "parquet", "--out", str(out)]) == 2  # another table


def test_parquet_needs_a_file_and_pyarrow(mixed, tmp_path, capsys, monkeypatch):
    assert main(["predict", str(mixed), "--format", "parquet"]) == 2
    assert "format parquet needs a file: name it with --out" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert main(["predict", str(mixed), "--format", "parquet", "--out", str(tmp_path / "a")]) == 2
    assert "needs the package pyarrow: pip install '.[parquet]'" in capsys.readouterr().err
