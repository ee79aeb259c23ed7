"""Writers of results."""

import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

import centerdet
from centerdet.cli.main import main
from centerdet.cli.parquet import open_parquet
from centerdet.cli.writers import open_writer, result_paths
from centerdet.data.predict import FileResult

IMAGE = np.zeros((64, 80), np.uint8)
DETECTION = centerdet.Detection(box=centerdet.RotatedBox(10, 20.5, 1 / 3, 4, 5), score=0.75)


def test_results_have_the_images_names_and_overwrite_nothing(images, tmp_path, capsys, monkeypatch):
    folder, _ = images
    monkeypatch.chdir(tmp_path)
    for name in ("a/0.png", "a/b/0.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(folder / "00.png", tmp_path / name)
    assert main(["predict", "a", "--format", "yolo", "--out", "found", "--save-images", "pictures"]) == 0
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert found >= {"found/0.txt", "found/b/0.txt", "pictures/0.png", "pictures/b/0.png"}
    assert main(["predict", "a", "--save-images", "a"]) == 2
    assert "would overwrite" in capsys.readouterr().err
    shutil.copy(folder / "00.png", tmp_path / "a" / "0.jpg")
    assert main(["predict", "a", "--save-images", "pictures"]) == 2
    assert "would both be" in capsys.readouterr().err


def test_the_same_image_twice_has_one_file(tmp_path):
    paths = [tmp_path / "a.png", tmp_path / "b" / ".." / "a.png"]
    assert set(result_paths(paths, ".txt", tmp_path / "out").values()) == {tmp_path / "out" / "a.txt"}


@pytest.mark.parametrize(
    ("format", "expected"),
    [
        ("csv", ["image,x,y,yaw,width,height,score,frame", "a.png,10,20.5,0.333333,4,5,0.75,", "b.png,,,,,,,"]),
        (
            "jsonl",
            [
                {
                    "image": "a.png",
                    "score": 0.75,
                    "box": {"x": 10, "y": 20.5, "yaw": 1 / 3, "width": 4, "height": 5},
                    "has_heading": True,
                    "frame": None,
                },
                {"image": "b.png", "score": None, "box": None, "has_heading": None, "frame": None},
            ],
        ),
    ],
)
def test_each_result_is_a_line_on_stdout_at_once(format, expected, monkeypatch):
    output = io.StringIO()
    monkeypatch.setattr(sys, "stdout", output)
    with open_writer(None, format, {}) as write:
        write(FileResult(Path("a.png"), IMAGE, DETECTION))
        lines = len(output.getvalue().splitlines())
        write(FileResult(Path("b.png"), IMAGE, None))
    assert lines == len(expected) - 1
    written = output.getvalue().splitlines()
    assert (written if format == "csv" else [json.loads(line) for line in written]) == expected


def test_an_error_elsewhere_leaves_a_readable_parquet_file(tmp_path):
    def fail_after_one_result():
        with open_parquet(tmp_path / "found.parquet") as write:
            write(FileResult(Path("a.png"), IMAGE, DETECTION))
            raise OSError("the camera is gone")

    with pytest.raises(OSError, match="^the camera is gone$"):
        fail_after_one_result()
    assert pyarrow.parquet.read_table(tmp_path / "found.parquet")["image"].to_pylist() == ["a.png"]
