"""Every command meets every kind of bad file: one clear error, nothing crashes or hangs, and no file changes.

Each case runs in a process of its own with 1 GiB of memory and 30 seconds. By default, each file of each command meets
four kinds, in turn, so that every kind is met; ``-m slow`` adds the others.
"""

import os
import random
import re
import socket

import pytest

from tests.fuzz.conftest import snapshot

# Name: script, arguments, and the files that it reads.
COMMANDS = {
    "predict": ("centerdet predict image.png --weights weights.safetensors --out found.csv", "image.png WEIGHTS"),
    "predict-jpg": ("centerdet predict image.jpg --weights weights.safetensors --out found.csv", "image.jpg"),
    "predict-tif": ("centerdet predict image.tif --weights weights.safetensors --format jsonl", "image.tif"),
    "predict-bmp": ("centerdet predict image.bmp --weights weights.safetensors --format jsonl", "image.bmp"),
    "predict-npy": ("centerdet predict image.npy --weights weights.safetensors --format yolo --out txt", "image.npy"),
    "predict-onnx": ("centerdet predict image.png --weights model.onnx", "model.onnx"),
    "check": ("centerdet check data.yaml --out sheet.png", "data.yaml IMAGE LABEL"),
    "evaluate": (
        "centerdet evaluate data.yaml --split train --weights weights.safetensors --json scores.json",
        "data.yaml IMAGE LABEL WEIGHTS",
    ),
    "train": (
        "centerdet train data.yaml --config config.yaml --init weights.safetensors --out run",
        "data.yaml config.yaml IMAGE LABEL WEIGHTS",
    ),
    "export": ("centerdet export model.onnx --weights weights.safetensors", "WEIGHTS"),
    "main": ("main.py --num-samples 2 --weights weights.safetensors --json scores.json", "WEIGHTS"),
    "train.py": ("train.py --config scenes.yaml --out run", "scenes.yaml"),
    "visualize": ("visualize.py image.png --weights weights.safetensors --out sheet.png", "image.png WEIGHTS"),
}
PATHS = {"WEIGHTS": "weights.safetensors", "IMAGE": "train/images/001.png", "LABEL": "train/labels/001.txt"}
TRUNCATED = [f"truncated {tenth}/10" for tenth in range(1, 10)]
FLIPPED = [f"flipped {seed}" for seed in range(10)]
REPLACED = [
    "missing",
    "empty",
    "folder",
    "fifo",
    "device",
    "socket",
    "unreadable",
    "loop",
    "dangling",
    "wrong",
    "sparse",
]
DAMAGED = [*TRUNCATED, *FLIPPED]
WITHOUT_OBJECT = {("LABEL", "missing"), ("LABEL", "empty")}  # no error: the image has no object
CONFIGS = ("config.yaml", "scenes.yaml")
TEXTS = ("data.yaml", *CONFIGS, "LABEL")  # a damaged text may be a good text: training would begin


def cases():
    """Every command with every file that it reads and every kind of damage."""
    pairs = [(command, name) for command, (_, names) in COMMANDS.items() for name in names.split()]
    for number, (command, name) in enumerate(pairs):
        chosen = {(REPLACED * 2)[3 * number % len(REPLACED) + step] for step in range(3)}
        chosen.add(DAMAGED[2 * number % len(DAMAGED)])
        for kind in (*REPLACED, *DAMAGED):
            is_impossible = name == "model.onnx" and kind in DAMAGED
            if is_impossible or (command.startswith("train") and is_usable(name, kind)):
                continue
            marks = [] if kind in chosen else [pytest.mark.slow]
            yield pytest.param(command, name, kind, id=f"{command}-{name}-{kind}", marks=marks)


def is_usable(name, kind):
    """Whether training may begin with such a file, and take long."""
    return (
        (name, kind) in WITHOUT_OBJECT
        or (name in TEXTS and kind in DAMAGED)
        or (name in CONFIGS and kind == "empty")  # the defaults
    )


def spoil(path, kind):
    """Puts a bad file in the place of a good one."""
    content = path.read_bytes() if path.exists() else b""
    path.unlink(missing_ok=True)
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "socket":
        place = os.open(path.parent, os.O_RDONLY)  # the address of a socket has at most 108 bytes
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(f"/proc/self/fd/{place}/{path.name}")
        os.close(place)
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "dangling":
        path.symlink_to("nowhere")
    elif kind != "missing":
        path.write_bytes(damage(content, kind))
        if kind == "sparse":
            os.truncate(path, 20 * 10**9)
        path.chmod(0o000 if kind == "unreadable" else 0o666)


def damage(content, kind):
    if kind.startswith("truncated"):
        return content[: len(content) * int(kind[10]) // 10]
    if kind.startswith("flipped"):
        rng, changed = random.Random(kind), bytearray(content)
        for _ in range(3):
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        return bytes(changed)
    return {"empty": b"", "wrong": b"\x7fELF \xff\0 {[(" * 40}.get(kind, content)


@pytest.mark.parametrize(("command", "name", "kind"), list(cases()))
def test_a_bad_file_is_one_clear_error(command, name, kind, run, place):
    path = place / PATHS.get(name, name)
    spoil(path, kind)
    before = snapshot(place)
    script, *arguments = COMMANDS[command][0].split()
    done = run(script, *arguments, unprivileged=kind == "unreadable")
    allowed = {0, 2} if kind in DAMAGED else {0} if (name, kind) in WITHOUT_OBJECT else {2}
    assert done.code in allowed, done.err
    after = snapshot(place)
    assert {path: after.get(path) for path in before} == before
    if done.code == 2:
        assert_one_clear_error(done, path.stem if name in ("LABEL", "IMAGE") else path.name)


def assert_one_clear_error(done, name):
    """The last line on stderr is the error; images that are skipped have a line each, all others none."""
    *others, last = done.err.splitlines()
    assert re.fullmatch(r"error: \S.{20,600}", last), done.err
    assert all(line.startswith(("skipped: ", "warning: ")) for line in others), done.err
    assert len(others) <= 1, done.err
    assert name in done.err + done.out, done.err
    assert "Traceback" not in done.err
