"""Options that several commands and scripts share, and what they select."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import centerdet
import centerdet.data
from centerdet.cli.output_kinds import is_html_report, is_json_report
from centerdet.cli.outputs import Output, add_overwrite_option, check_outputs, weights_file
from centerdet.noise_level import NoiseLevel, check_noise_level
from centerdet.parallel import MAX_THREADS

if TYPE_CHECKING:
    import torch

    from centerdet.detector.base import BaseDetector

WEIGHTS_HELP = "weights file, or a pretrained name: accurate (default) or fast"


def add_device_option(parser: argparse.ArgumentParser) -> None:
    """Adds ``--device``, for ``select_device``."""
    parser.add_argument("--device", help="torch device, such as cpu or cuda:1 (default: a GPU if there is one)")


def select_device(name: str | None) -> torch.device:
    """Returns the torch device of that name; for ``None``, the GPU if there is one, else the CPU.

    Raises:
        ValueError: If the device does not exist, or torch cannot use it here.
    """
    import torch  # slow to import: only when a command runs, so that --help is fast

    from centerdet.detector.device import check_device

    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return check_device(name)


def add_noise_level_option(parser: argparse.ArgumentParser) -> None:
    """Adds ``--noise-level``, for ``centerdet.load``."""
    parser.add_argument(
        "--noise-level",
        type=_parse_noise_level,
        metavar="LEVEL",
        help="upper bound of the images' background, in (0, 1], or auto: measured in each (default: the weights' own)",
    )


def _parse_noise_level(text: str) -> NoiseLevel:
    try:
        return check_noise_level(text if text == "auto" else float(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must lie in (0, 1] or be auto, got {text!r}") from None


def add_set_option(parser: argparse.ArgumentParser) -> None:
    """Adds ``--set``, for ``training.overrides.apply_overrides``."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="change a setting, for example training.steps=2000; may be repeated",
    )


def add_limit_options(parser: argparse.ArgumentParser) -> None:
    """Adds ``--max-minutes`` and ``--patience``, for ``limit_overrides``."""
    parser.add_argument(
        "--max-minutes",
        metavar="M",
        help="end the run, calibrations included, after about that time, if its steps are not done before",
    )
    parser.add_argument(
        "--patience", metavar="N", help="shorten the rest of the schedule after N validations without improvement"
    )


def limit_overrides(options: argparse.Namespace) -> list[str]:
    """Returns the options of ``add_limit_options`` as arguments of ``--set``, after those of ``--set`` itself."""
    limits = {"max_minutes": options.max_minutes, "patience": options.patience}
    return [*options.set, *(f"training.{name}={value}" for name, value in limits.items() if value is not None)]


def add_threads_option(parser: argparse.ArgumentParser) -> None:
    """Adds ``--threads``, for ``set_threads``."""
    parser.add_argument("--threads", type=int, help="number of CPU threads (default: all cores)")


def set_threads(count: int | None) -> None:
    """Sets the number of torch's CPU threads; ``None`` leaves it unchanged.

    Raises:
        ValueError: If the number is below 1, or above ``MAX_THREADS``.
    """
    import torch

    if count is not None:
        if not 1 <= count <= MAX_THREADS:
            raise ValueError(f"--threads must be at least 1, and at most {MAX_THREADS}, got {count}")
        torch.set_num_threads(count)


def parse_evaluation_options(
    parser: argparse.ArgumentParser, arguments: list[str] | None, *, num_samples: int, seed: int
) -> argparse.Namespace:
    """Adds the options of an evaluation on generated samples to a parser, and parses the command line.

    Args:
        parser: The parser, with the script's other options.
        arguments: The command line; ``None``: that of the process.
        num_samples: Default of ``--num-samples``.
        seed: Default of ``--seed``.

    Raises:
        ValueError: If there are no samples, or the result cannot be written. The check comes before the long work.
    """
    parser.add_argument("--num-samples", type=int, default=num_samples, help="number of samples; default: %(default)s")
    parser.add_argument("--seed", type=int, default=seed, help="seed of the samples; default: %(default)s")
    parser.add_argument("--weights", help=WEIGHTS_HELP)
    add_device_option(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the result to a JSON file")
    add_overwrite_option(parser)
    options = parser.parse_args(arguments)
    if options.num_samples < 1:
        raise ValueError(f"--num-samples must be at least 1, got {options.num_samples}")
    outputs = [
        Output("--json", options.json, is_json_report),
        Output("--html-report", getattr(options, "html_report", None), is_html_report),
    ]
    check_outputs(outputs, weights_file(options.weights), overwrite=options.overwrite)
    return options


def add_command(commands: argparse._SubParsersAction, name: str, summary: str, details: str) -> argparse.ArgumentParser:
    """Adds the parser of a subcommand.

    Args:
        commands: The subcommands of ``centerdet``.
        name: Name of the command.
        summary: One line for the list of commands.
        details: Further text for the command's own ``--help``.
    """
    return commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.\n\n{details}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_data_argument(parser: argparse.ArgumentParser) -> None:
    """Adds the argument that names a data set; the end of ``--help`` describes its file."""
    parser.add_argument("data", type=Path, help="YAML file of the data set, see below")
    _, _, parser.epilog = (centerdet.data.__doc__ or "").partition("\n\n")


def add_detector_options(parser: argparse.ArgumentParser) -> None:
    """Adds ``--weights``, ``--threshold``, ``--noise-level`` and ``--device``, for ``load_detector``."""
    parser.add_argument("--weights", help=f"{WEIGHTS_HELP}, or an exported model (.onnx)")
    parser.add_argument("--threshold", type=float, help="score threshold in [0, 1] (default: the weights' own)")
    add_noise_level_option(parser)
    add_device_option(parser)


def load_detector(options: argparse.Namespace) -> BaseDetector:
    """Loads the detector that the options of ``add_detector_options`` describe."""
    if options.weights and options.weights.endswith(".onnx"):
        from centerdet.export import OnnxDetector
        from centerdet.export.providers import device_providers

        detector = OnnxDetector(options.weights, providers=device_providers(options.device))
        detector.threshold = detector.threshold if options.threshold is None else options.threshold
        return detector if options.noise_level is None else detector.with_noise_level(options.noise_level)
    return centerdet.load(
        options.weights,
        threshold=options.threshold,
        noise_level=options.noise_level,
        device=select_device(options.device),
    )
