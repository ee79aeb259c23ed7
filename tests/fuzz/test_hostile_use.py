"""Commands whose outputs name other files, whose streams or disk fail, and whose files have odd names.

Nothing that the user has is lost: every file stays as it was, and what is computed is written.
"""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from centerdet.files import write_atomically
from tests.fuzz.conftest import snapshot
from tests.fuzz.test_readers import png
from tests.helpers import ROOT

PREDICT = "centerdet predict image.png --weights weights.safetensors"
EVALUATE = "centerdet evaluate data.yaml --split train --weights weights.safetensors"

# Commands whose output names an input, another output, or a file of another origin.
WRONG_OUTPUTS = [
    *(f"{PREDICT} --out {name}" for name in ("image.png", "weights.safetensors", "notes.txt", "hard.csv", "soft.csv")),
    *(f"{PREDICT} --overwrite --out {name}" for name in ("image.png", "./train/../image.png", "hard.csv", "soft.csv")),
    *(f"{PREDICT} --format {name} --out notes.txt" for name in ("jsonl", "cvat", "label-studio")),
    "centerdet predict train/images --weights weights.safetensors --save-images train/images",
    "centerdet predict train/images --weights weights.safetensors --save-images train/images --overwrite",
    "centerdet predict train/images --weights weights.safetensors --format yolo --out train/labels",
    f"{PREDICT} --out {'x' * 300}.csv",
    f"{PREDICT} --out nowhere/found.csv",
    f"{PREDICT} --out train",
    f"{EVALUATE} --json data.yaml",
    f"{EVALUATE} --json weights.safetensors --overwrite",
    f"{EVALUATE} --json train/labels/001.txt --overwrite",
    f"{EVALUATE} --html-report train/images/001.png --overwrite",
    f"{EVALUATE} --html-report data.yaml",
    f"{EVALUATE} --json new --html-report ./new",
    "centerdet check data.yaml --out data.yaml",
    "centerdet check data.yaml --out train/images/001.png --overwrite",
    "centerdet check data.yaml --out validation/labels/001.txt --overwrite",
    "centerdet check data.yaml --out notes.txt",
    "centerdet export weights.safetensors",
    "centerdet export hard.onnx --weights weights.safetensors --overwrite",
    "centerdet export /dev/null --weights weights.safetensors",
    "centerdet train data.yaml --config config.yaml --out finished",
    "main.py --num-samples 2 --weights weights.safetensors --json weights.safetensors --overwrite",
    "main.py --num-samples 2 --weights weights.safetensors --html-report notes.txt",
    "visualize.py image.png --weights weights.safetensors --out image.png --overwrite",
    "visualize.py image.png --weights weights.safetensors --out weights.safetensors",
]


@pytest.mark.parametrize("command", WRONG_OUTPUTS)
def test_no_output_replaces_what_is_no_earlier_result(command, run, place):
    (place / "notes.txt").write_text("my notes\n")
    (place / "hard.csv").hardlink_to(place / "image.png")
    (place / "hard.onnx").hardlink_to(place / "weights.safetensors")
    (place / "soft.csv").symlink_to("image.png")
    (place / "finished").mkdir()
    (place / "finished" / "best.safetensors").write_bytes(b"weights")
    before = snapshot(place)
    script, *arguments = command.split()
    done = run(script, *arguments)
    assert done.code == 2, done.err
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert any(word in done.err for word in ("another", "--overwrite", "move it", "name a file", "ends in", ".onnx"))
    assert snapshot(place) == before


def test_overwrite_replaces_files_of_another_origin(run, place):
    for name in ("notes.txt", "image.txt"):
        (place / name).write_text("my notes\n")
    assert run(*f"{PREDICT} --out notes.txt --overwrite".split()).code == 0
    assert run(*f"{PREDICT} --format yolo --out . --overwrite".split()).code == 0
    assert "my notes" not in (place / "notes.txt").read_text() + (place / "image.txt").read_text()


def test_earlier_results_are_replaced_and_hard_links_to_them_are_kept(run, place):
    for command in (f"{PREDICT} --out a.csv", f"{EVALUATE} --json a.json", "centerdet check data.yaml --out a.png"):
        script, *arguments = command.split()
        assert run(script, *arguments).code == 0
        path = place / arguments[-1]
        (place / "copy").unlink(missing_ok=True)
        (place / "copy").hardlink_to(path)
        content = path.read_bytes()
        assert run(script, *arguments).code == 0
        assert (place / "copy").read_bytes() == content
        assert not (place / "copy").samefile(path)


DEVICES = [
    (f"{PREDICT} --out {{}}", "image,x,y"),
    (f"{PREDICT} --format cvat --out {{}}", "<annotations>"),
    (f"{EVALUATE} --json {{}}", '"samples"'),
    ("centerdet check data.yaml --out {}", ""),
]


@pytest.mark.parametrize(("command", "expected"), DEVICES)
def test_devices_are_written_and_not_replaced(command, expected, run, place):
    assert run(*command.format("/dev/null").split()).code == 0
    assert Path("/dev/null").is_char_device()
    if expected:
        done = run(*command.format("/dev/stdout").split())
        assert (done.code, done.err) == (0, "")
        assert expected in done.out
    os.mkfifo(place / "pipe")
    done = run(*command.format("pipe").split())  # no process reads it: an error, not a hang
    assert done.code == 2
    assert "cannot write pipe" in done.err
    assert (place / "pipe").is_fifo()


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_names_of_an_open_file_append_to_it(name, run, place):
    """A second descriptor of the same file would write from its start, over the scores."""
    done = run(*f"{EVALUATE} --json {name}".split())
    scores, _, metadata = done.out.partition("{")
    assert (done.code, done.err) == (0, "")
    assert scores.startswith("AP@0.7")
    assert scores.splitlines()[-1].startswith("images per second")
    assert json.loads("{" + metadata)["samples"] == 3
    sheet = run("visualize.py", "image.png", "--weights", "weights.safetensors", "--out", name)
    assert sheet.out.startswith("\ufffdPNG")  # with errors replaced
    assert sheet.out.endswith(f"1 images drawn to {name}\n")


def test_an_input_is_not_written_through_its_descriptor(tmp_path):
    path = tmp_path / "images.txt"
    path.write_text("a.png")
    with open(path) as file, pytest.raises(OSError, match="open for reading only"):
        write_atomically(f"/dev/fd/{file.fileno()}", b"results")
    assert path.read_text() == "a.png"


@pytest.mark.parametrize("name", ["/dev/null", "/dev/stdout", "pipe"])
def test_a_parquet_file_is_no_device(name, run, place):
    os.mkfifo(place / "pipe")
    before = os.lstat(place / name)
    done = run(*PREDICT.split(), "--format", "parquet", "--out", name)
    assert os.path.samestat(os.lstat(place / name), before)
    assert done.code == 2
    assert done.err.startswith(f"error: format parquet needs a file of its own, got the device or pipe {name};")


def first_cells(path):
    """The first cell of each row of a CSV file."""
    return [row[0] for row in csv.reader(io.StringIO(path.read_bytes().decode(), newline=""))]


def many_images(place, count=40):
    for number in range(count):
        shutil.copy(place / "image.png", place / "train" / "images" / f"more-{number}.png")
    return "centerdet predict train/images --weights weights.safetensors"


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_a_full_disk_leaves_whole_lines(format, run, place):
    command = f"{many_images(place)} --format {format} --out found"
    complete = run(*command.split())
    lines = (place / "found").read_bytes().splitlines(keepends=True)
    limit = sum(map(len, lines[:20])) + 7  # bytes: inside a line
    done = run(*command.split(), file_size=limit)
    assert (complete.code, done.code) == (0, 2)
    assert done.err == "error: cannot write found: File too large; the results before are complete\n"
    assert (place / "found").read_bytes() == b"".join(lines[:20])


def test_a_full_disk_does_not_cost_scores_and_small_files(run, place):
    done = run(*f"{EVALUATE} --json scores.json --html-report page.html".split(), file_size=3000)
    assert done.code == 2
    assert done.err == "error: cannot write page.html: File too large\n"
    assert "AP@0.7" in done.out
    assert json.loads((place / "scores.json").read_text())["samples"] == 3
    assert sorted(path.name for path in place.iterdir() if "page" in path.name) == []
    done = run("centerdet", "check", "data.yaml", "--out", "sheet.png", file_size=3000)
    assert (done.code, done.out) == (2, "no errors found\n")
    assert done.err == "error: cannot write sheet.png: File too large\n"


@pytest.mark.parametrize("stream", ["closed", "broken", "full"])
@pytest.mark.parametrize("name", ["stderr", "stdout"])
def test_a_lost_stream_costs_no_result(name, stream, run, place):
    shutil.copy(place / "image.png", place / "a.png")
    (place / "b.png").write_bytes(b"no image")
    done = run(*PREDICT.replace("image", "a.png b.png image").split(), "--out", "found.csv", **{name: stream})
    assert done.code == 2
    assert first_cells(place / "found.csv") == ["image", "a.png", "image.png"]
    done = run(*f"{EVALUATE} --json scores.json".split(), **{name: stream})
    assert done.code == {"stderr": 0}.get(name, {"closed": 0, "broken": 141, "full": 2}[stream])
    assert json.loads((place / "scores.json").read_text())["samples"] == 3


FULL = "error: cannot write standard output: No space left on device\n"


@pytest.mark.parametrize(("stream", "code", "error"), [("full", 2, FULL), ("broken", 141, ""), ("closed", 0, "")])
def test_a_lost_stdout_does_not_stop_a_training(stream, code, error, run, place):
    done = run("centerdet", "train", "data.yaml", "--config", "config.yaml", "--out", "run", stdout=stream)
    assert done.code == code
    assert done.err.endswith(error)
    assert (place / "run" / "best.safetensors").exists()


@pytest.mark.parametrize(("target", "code", "error"), [("/dev/full", 2, FULL), ("/dev/null", 0, "")])
def test_what_progress_lost_is_reported_in_the_end(target, code, error):
    program = """
import sys
from centerdet.cli.errors import fail_cleanly
from centerdet.cli.streams import print_progress
@fail_cleanly
def main():
    print_progress("begins")
    print_progress("ends")
    print("all done", file=sys.stderr)
sys.exit(main())
"""
    with open(target, "w") as stdout:
        done = subprocess.run(
            [sys.executable, "-c", program], stdout=stdout, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False
        )
    assert (done.returncode, done.stderr) == (code, f"all done\n{error}")


def test_a_full_stdout_has_one_reason(run, place):
    done = run("centerdet", "check", "data.yaml", "--out", "sheet.png", stdout="full")
    assert (done.code, done.err) == (2, FULL)
    assert (place / "sheet.png").exists()


def test_a_full_disk_leaves_no_part_of_a_parquet_file(run, place):
    done = run(*PREDICT.split(), "--format", "parquet", "--out", "found.parquet", file_size=500)
    assert done.code == 2
    assert done.err.startswith("error: cannot write found.parquet: File too large;")
    assert done.err.count("\n") == 1
    assert not (place / "found.parquet").exists()


def test_folders_that_cannot_be_entered_are_no_images_without_an_object(run, place):
    (place / "train" / "labels").chmod(0o444)
    done = run("centerdet", "check", "data.yaml", "--out", "sheet.png", unprivileged=True)
    assert done.code == 2
    assert done.out.count("cannot be read: Permission denied") == 3


@pytest.mark.parametrize(
    "pattern",
    [
        *("train/images", "train/images/**/*.png", "train/images/*/*.png", "train/**"),
        *("train/images/**/a.png", "train/images/*/a.png", "train/images/**/sub/*.png", "train/images/*/sub/a.png"),
    ],
)
def test_folders_that_cannot_be_listed_are_reported(pattern, run, place):
    for name in ("closed", ".hidden"):
        (place / "train" / "images" / name).mkdir(mode=0)
    for name in ("open", "open/sub"):
        (place / "train" / "images" / name).mkdir(mode=0o755)
        shutil.copy(place / "image.png", place / "train" / "images" / name / "a.png")
    done = run("centerdet", "predict", pattern, "--weights", "weights.safetensors", unprivileged=True)
    assert done.code == 2
    assert "a.png," in done.out
    assert "skipped: cannot list the folder train/images/closed; make it readable, or leave it out\n" in done.err
    assert ("hidden" in done.err) == (pattern == "train/images")


def test_a_closed_stdout_is_an_error_where_the_results_go_there(run, place):
    done = run(*PREDICT.split(), stdout="closed")
    assert (done.code, done.err) == (2, "error: standard output is closed; name a file for the results with --out\n")


ODD_NAMES = [b"\xff\xfe", b"=cmd|", b"+1", b"@x", b"a\nb", b"a\rb", b"a\x1b[31m", b"<b>&\"'", b"a,b", b"x" * 245, b"-x"]


@pytest.fixture
def odd(place):
    """The names of images that are given odd names, with their labels."""
    images, labels = (os.fsencode(place / "train" / kind) for kind in ("images", "labels"))
    for name in ODD_NAMES:
        shutil.copy(images + b"/001.png", images + b"/" + name + b".png")
        shutil.copy(labels + b"/001.txt", labels + b"/" + name + b".txt")
    return sorted(path.name for path in (place / "train" / "images").iterdir())


@pytest.mark.parametrize("format", ["csv", "jsonl", "yolo", "label-studio", "cvat", "labelme"])
def test_any_name_of_an_image_has_a_result(format, run, place, odd):
    arguments = f"predict train/images --weights weights.safetensors --format {format} --out found --save-images drawn"
    done = run("centerdet", *arguments.split())
    assert (done.code, done.err) == (0, "")
    assert sorted(path.name for path in (place / "drawn").iterdir()) == odd
    if format in ("yolo", "labelme"):
        assert len(list((place / "found").iterdir())) == len(odd)
        return
    text = (place / "found").read_text()  # UTF-8
    if format == "csv":
        names = first_cells(place / "found")[1:]
        assert len(names) == len(odd)
        assert not [name for name in names if name.startswith(("=", "+", "-", "@"))]
    elif format == "jsonl":
        names = [json.loads(line)["image"] for line in text.splitlines()]
        assert [Path(name).name for name in names] == odd
    elif format == "label-studio":
        assert len(json.loads(text)) == len(odd)
    else:
        assert text.count("<image ") == len(odd)


def test_names_at_the_start_of_a_cell_are_no_formulas(run, place):
    names = ["=cmd.png", "+1.png", "@x.png", "a.png"]
    for name in names:
        shutil.copy(place / "image.png", place / name)
    done = run("centerdet", "predict", *names, "--weights", "weights.safetensors", "--out", "found.csv")
    assert done.code == 0
    assert first_cells(place / "found.csv")[1:] == ["./=cmd.png", "./+1.png", "./@x.png", "a.png"]


def test_any_name_is_checked_evaluated_and_held_out(run, place, odd):
    done = run(*f"{EVALUATE} --json scores.json --html-report page.html".split())
    assert (done.code, done.err) == (0, "")
    assert json.loads((place / "scores.json").read_text())["samples"] == len(odd)
    assert "<b>&" not in (place / "page.html").read_text()
    data = "format: yolo\ntrain: {images: train/images, labels: train/labels}\nheld_out: {validation: 0.5}\n"
    (place / "data.yaml").write_text(data)
    done = run("centerdet", "check", "data.yaml", "--out", "sheet.png")
    assert done.code == 2  # the same image in both splits, under several names
    assert "the same image is in the split train" in done.out
    assert all(line.isprintable() for line in (done.out + done.err).splitlines())


def test_control_characters_of_arguments_do_not_reach_the_terminal(run, place):
    for arguments in (["predict", "no\x1b[31m\nfile"], ["predict", "image.png", "--x\x1b[31m\n"], ["\x1b[31m\n"]):
        done = run("centerdet", *arguments)
        assert done.code == 2
        assert done.err.count("\n") == 1
        assert done.err.rstrip("\n").isprintable()


def test_control_characters_of_folders_and_configs_do_not_reach_the_terminal(run, place):
    shutil.copy(place / "config.yaml", place / "c\x1b[31m\n.yaml")
    done = run("centerdet", "train", "data.yaml", "--config", "c\x1b[31m\n.yaml", "--out", "run\x1b[31m\n")
    assert done.code == 0, done.err
    assert all(line.isprintable() for line in (done.out + done.err).splitlines())
    assert "run\\x1b[31m" in done.out


def test_links_keep_their_names_and_two_spellings_are_two_rows(run, place):
    (place / "store").mkdir()
    (place / "image.png").rename(place / "store" / "MD5-123.data")
    (place / "linked.png").symlink_to("store/MD5-123.data")
    names = ["linked.png", "store/../linked.png", "store/MD5-123.data"]
    done = run("centerdet", "predict", *names, "--weights", "weights.safetensors", "--save-images", "drawn")
    assert (done.code, done.err) == (0, "")
    assert [row[0] for row in csv.reader(done.out.splitlines())][1:] == ["linked.png", *names[1:]]
    assert sorted(path.name for path in (place / "drawn").rglob("*.png")) == ["MD5-123.png", "linked.png"]


def test_bad_files_do_not_cost_the_others(run, place):
    """Also damage that libpng reports by itself: one line for each file, and no other."""
    content = (place / "image.png").read_bytes()
    damaged = bytearray(content)
    damaged[-3] ^= 1  # the checksum at the end, about which libpng only warns
    bad = {
        "cut.png": content[:-100],
        "text.png": b"no image",
        "empty.jpg": b"",
        "long.png": png((b"tEXt", b"", 0xFFFFFFF0)),
        "tall.png": png(width=1, height=10_000_000),
    }
    for name, data in bad.items():
        (place / "train" / "images" / name).write_bytes(data)
        (place / "train" / "labels" / name).with_suffix(".txt").write_bytes(b"")
    (place / "train" / "images" / "000.png").write_bytes(bytes(damaged))
    os.mkfifo(place / "train" / "images" / "pipe.png")
    bad["pipe.png"] = b""
    for command, result in (
        ("predict train/images --weights weights.safetensors --format jsonl", "000.png"),
        (EVALUATE.removeprefix("centerdet "), "samples  "),
    ):
        done = run("centerdet", *command.split())
        *skipped, last = done.err.splitlines()
        assert done.code == 2
        assert len(skipped) == len(bad), done.err
        assert all(line.startswith("skipped: ") and sum(name in line for name in bad) == 1 for line in skipped)
        assert f"{len(bad)} of 9 images could not be" in last
        assert result in done.out
    sheet = run("visualize.py", "image.png", "train/images/cut.png", "--weights", "weights.safetensors")
    assert (sheet.code, sheet.out) == (2, "1 images drawn to heatmaps.png\n")
    assert "cut.png" in sheet.err


def test_no_image_at_all_is_one_error(run, place):
    for path in (place / "train" / "images").iterdir():
        path.write_bytes(b"no image")
    done = run(*EVALUATE.split())
    assert done.code == 2
    assert done.err.endswith("error: no image of the train split of data.yaml could be read, see above\n")
