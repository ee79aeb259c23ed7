"""The commands on images of one's own: a function that adds each one's parser, and one that runs it.

What they need is imported where they run: ``--help`` should not wait for it.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import centerdet
import centerdet.data
from centerdet.command import add_command, pick_device, set_threads, write_json
from centerdet.files import check_folder, write_atomically

if TYPE_CHECKING:
    from centerdet.finder import Finder


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", type=Path, help="the data set's YAML file, see below")
    _, _, parser.epilog = centerdet.data.__doc__.partition("\n\n")


def _add_detector_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", type=Path, help="a run's, or an exported model (.onnx); default: the shipped ones")
    parser.add_argument("--threshold", type=float, help="in [0, 1]; default: the one stored with the weights")
    parser.add_argument("--device", help="a torch device (default: a GPU if there is one)")


def _load(options: argparse.Namespace) -> Finder:
    if options.weights and options.weights.suffix == ".onnx":
        from centerdet.export import OnnxDetector

        detector = OnnxDetector(options.weights)
        detector.threshold = detector.threshold if options.threshold is None else options.threshold
        return detector
    return centerdet.load(options.weights, threshold=options.threshold, device=pick_device(options.device))


def add_check(commands: argparse._SubParsersAction) -> None:
    """Adds ``centerdet check``."""
    parser = add_command(
        commands,
        "check",
        "find everything that is wrong with a data set",
        "Prints one line for each fault, and draws images with their labels onto one sheet.\n"
        "The exit code is 2 if there is any fault.",
    )
    _add_data(parser)
    parser.add_argument("--out", type=Path, default=Path("check.png"), help="the sheet; default: %(default)s")
    parser.add_argument("--tiles", type=int, default=36, help="images on the sheet; default: %(default)s")
    parser.set_defaults(run=_check)


def _check(options: argparse.Namespace) -> None:
    from centerdet.data.check import check_dataset

    if options.tiles < 1:
        raise ValueError(f"--tiles must be at least 1, got {options.tiles}")
    check_folder(options.out)
    faults, sheet = check_dataset(options.data, tiles=options.tiles, progress=True)
    if sheet is not None:
        import cv2

        write_atomically(options.out, cv2.imencode(".png", sheet[..., ::-1])[1].tobytes())
    print("\n".join(faults) or "no fault found")
    if sheet is not None:
        print(f"labels drawn to {options.out}")
    if faults:
        raise ValueError(f"{len(faults)} faults in {options.data}; they are listed above")


def add_train(commands: argparse._SubParsersAction) -> None:
    """Adds ``centerdet train``."""
    parser = add_command(
        commands,
        "train",
        "train a detector on a data set",
        "Learns from the data set's split 'train'; chooses the best weights, calibrates their scores and sets their\n"
        "threshold on its split 'validation'. The detector is best.safetensors in the run's folder.",
    )
    _add_data(parser)
    parser.add_argument(
        "--config", type=Path, help="how to train; configs/images.yaml has all settings (default: the values there)"
    )
    parser.add_argument(
        "--init", metavar="WEIGHTS", help="start from these weights, or from the 'shipped' ones, not from scratch"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/images"), help="folder of the run; default: %(default)s")
    parser.add_argument("--resume", action="store_true", help="continue the run in that folder")
    parser.add_argument("--device", help="a torch device (default: a GPU if there is one)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all cores)")
    parser.set_defaults(run=_train)


def _train(options: argparse.Namespace) -> None:
    from centerdet.config import ImagesConfig, read_images_config
    from centerdet.data.learn import learn_dataset

    set_threads(options.threads)
    config = read_images_config(options.config) if options.config else ImagesConfig()
    start = None
    if options.init is not None:
        start = centerdet.load(None if options.init == "shipped" else options.init)
    report = learn_dataset(
        options.data,
        config,
        directory=options.out,
        start=start,
        device=pick_device(options.device),
        resume=options.resume,
    )
    print(f"{options.out / 'best.safetensors'}, on the validation images that chose it:\n{report}")


def add_evaluate(commands: argparse._SubParsersAction) -> None:
    """Adds ``centerdet evaluate``."""
    parser = add_command(
        commands,
        "evaluate",
        "score a detector on a data set",
        "AP is the fraction with rotated IoU > 0.7 of the images that have a true or a found box.",
    )
    _add_data(parser)
    parser.add_argument("--split", choices=("train", "validation", "test"), default="test", help="default: %(default)s")
    _add_detector_options(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the scores there, too")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write a page with pictures (HTML) there")
    parser.set_defaults(run=_evaluate)


def _evaluate(options: argparse.Namespace) -> None:
    from centerdet.data.dataset import load_dataset
    from centerdet.metrics import collect_all
    from centerdet.report import summarise
    from centerdet.report_page import render_page

    for path in (options.json, options.report):
        if path:
            check_folder(path)
    dataset, detector = load_dataset(options.data, options.split), _load(options)
    everything = collect_all(detector, dataset, progress=True)
    report = summarise(everything.above(detector.threshold))
    print(report)
    if options.json:
        write_json(options.json, report.to_dict())
    if options.report:
        page = render_page(detector, everything, dataset, title=f"{options.data}, {options.split}")
        write_atomically(options.report, page.encode())


def add_predict(commands: argparse._SubParsersAction) -> None:
    """Adds ``centerdet predict``."""
    parser = add_command(
        commands,
        "predict",
        "find the object in each of many image files",
        "Answers come in the files' order, each as soon as it is known. A file that cannot be used is reported and\n"
        "passed over; if there are any, the exit code is 2 in the end.",
    )
    parser.add_argument("images", nargs="+", help="files, folders (with their subfolders) or globs")
    _add_detector_options(parser)
    parser.add_argument("--format", choices=("csv", "jsonl", "yolo"), default="csv", help="default: %(default)s")
    parser.add_argument("--out", type=Path, help="file to write (default: standard output); for yolo: a folder")
    parser.add_argument("--overlay", type=Path, metavar="DIR", help="save a picture of each answer there")
    parser.add_argument("--batch-size", type=int, default=32, help="images looked at together; default: %(default)s")
    parser.set_defaults(run=_predict)


def _predict(options: argparse.Namespace) -> None:
    from tqdm import tqdm

    from centerdet.data.answer_files import answer_names, draw_answer, open_writer
    from centerdet.data.predict import answer, expand

    if options.batch_size < 1:
        raise ValueError(f"--batch-size must be at least 1, got {options.batch_size}")
    detector = _load(options)
    paths = expand(options.images)
    pictures = answer_names(paths, ".png", options.overlay) if options.overlay else {}
    failures = 0

    def failed(message: str) -> None:
        nonlocal failures
        failures += 1
        tqdm.write(f"skipped: {message}", file=sys.stderr)

    with ExitStack() as stack:
        writer = stack.enter_context(open_writer(options.out, options.format, paths))
        bar = stack.enter_context(tqdm(total=len(paths), unit="image", disable=None))
        for path, image, found in answer(detector, paths, failed=failed, batch_size=options.batch_size):
            writer.write(path, image, found)
            if options.overlay:
                draw_answer(pictures[path], detector, image, found)
            bar.update()
    if failures:
        raise ValueError(f"{failures} of {len(paths)} images could not be used; the others are answered")
