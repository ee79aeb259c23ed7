"""``centerdet predict --engine ray``: Ray Data spreads the files over processes, on one machine or a cluster.

Each process (an actor) loads the detector once, and reads the files that it gets. The results go back to the command,
which writes one Parquet file in the order of the files.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import centerdet
from centerdet.cli.options import load_detector
from centerdet.cli.outputs import weights_file
from centerdet.cli.parquet import parquet_row, parquet_schema
from centerdet.cli.ray_parts import NUMBER, Parts
from centerdet.cli.ray_session import ray_started
from centerdet.cli.streams import escape_bytes, one_line
from centerdet.data.predict import FileError, predict_each
from centerdet.files import replacement

if TYPE_CHECKING:
    import pyarrow
    from ray.data import Dataset

PART_ROWS = 2000  # of a part: less than a minute's work of a core is lost
_BATCHES_PER_CALL = 4  # of files that an actor gets at a time: few enough that slow files hold nobody up


def check_ray() -> None:
    """Raises a ``ValueError`` if Ray Data is not installed."""
    try:
        import ray.data  # noqa: F401
    except ImportError:
        raise ValueError("engine ray needs the package ray: pip install '.[ray]'") from None


def predict_with_ray(options: argparse.Namespace, paths: Sequence[Path], out: Path) -> tuple[int, int]:
    """Finds the objects in files, and writes a Parquet file with a column ``error``.

    The rows so far are in the folder of ``Parts``, from which the same command continues after a stop.

    Args:
        options: Of ``centerdet predict``: those of the detector, ``batch_size`` and ``actors``.
        paths: The files; all machines must reach them, and the weights, under these names.
        out: The file to write; an earlier one stays until all results are there.

    Returns:
        Numbers of rows and of errors.

    Raises:
        ValueError: If the weights or options are wrong, or the folder of the parts holds another run.
        OSError: If Ray fails, or a file cannot be written.
    """
    from tqdm import tqdm

    load_detector(options)  # a wrong option is an error here, not in the actors
    parts = Parts(out, paths, _settings(options))
    if parts.done:
        tqdm.write(f"continues after {parts.done:,} of {len(paths):,} files, from {parts.folder}", file=sys.stderr)
    try:
        if parts.done < len(paths):
            _add_rows(options, paths, parts)
        return _write_output(parts, out)
    except OSError as error:
        raise OSError(f"{error}; the same command continues from {parts.folder}") from error


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """Returns what the rows depend on, besides the files."""
    digests = [
        hashlib.sha256(path.read_bytes()).hexdigest() for path in weights_file(options.weights) if path.is_file()
    ]
    return {
        "version": centerdet.__version__,
        "weights": [options.weights, *digests],
        "threshold": options.threshold,
        "noise_level": options.noise_level,
    }


def _add_rows(options: argparse.Namespace, paths: Sequence[Path], parts: Parts) -> None:
    """Computes the rows of the files that are not done."""
    import ray.data.exceptions
    from tqdm import tqdm

    with ray_started(), tqdm(total=len(paths), initial=parts.done, unit="image", disable=None) as bar:
        try:
            dataset = _plan(options, paths, parts.done)
            for table in dataset.iter_batches(batch_size=PART_ROWS, batch_format="pyarrow"):
                parts.add(table)
                bar.update(table[NUMBER][-1].as_py() + 1 - bar.n)
        except (ray.exceptions.RayError, ray.data.exceptions.SystemException) as error:
            raise OSError(f"Ray failed: {str(error).strip().splitlines()[-1]}") from None


def _write_output(parts: Parts, out: Path) -> tuple[int, int]:
    """Makes one file of all parts, and removes them; returns the numbers of rows and of errors."""
    import pyarrow.parquet

    schema = parquet_schema(("error", pyarrow.string()))
    rows, errors = 0, 0
    try:
        with replacement(out, folder=parts.folder) as file, pyarrow.parquet.ParquetWriter(file, schema) as writer:
            for table in parts.tables(schema):
                writer.write_table(table)
                rows, errors = rows + len(table), errors + len(table) - table["error"].null_count
    except OSError as error:
        raise OSError(f"cannot write {out}: {os.strerror(error.errno) if error.errno else error}") from error
    parts.remove()
    return rows, errors


def _plan(options: argparse.Namespace, paths: Sequence[Path], first: int) -> Dataset:
    """Returns the rows of all files from the first one that is not done, in order, to be computed as they are read."""
    import ray.data

    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    resources = ray.cluster_resources()
    gpus = 0 if options.device == "cpu" else int(resources.get("GPU", 0))
    actors = options.actors or gpus or max(1, int(resources["CPU"]))
    files = ray.data.from_items(
        [{NUMBER: number, "path": os.fsencode(path)} for number, path in enumerate(paths)][first:]
    )
    return files.map_batches(
        _Predictor,
        fn_constructor_args=(options, str(Path.cwd())),
        compute=ray.data.ActorPoolStrategy(size=actors),
        batch_size=_BATCHES_PER_CALL * options.batch_size,
        num_gpus=1 if gpus else 0,
    )


class _Predictor:
    """An actor: loads the detector once, then finds the objects in the files that it gets.

    Args:
        options: Of ``centerdet predict``.
        folder: The folder that the command runs in: relative paths start there.
    """

    def __init__(self, options: argparse.Namespace, folder: str) -> None:
        os.chdir(folder)
        self._detector, self._batch_size = load_detector(options), options.batch_size

    def __call__(self, batch: dict[str, NDArray[np.object_]]) -> pyarrow.Table:
        import pyarrow

        paths = [Path(os.fsdecode(path)) for path in batch["path"]]
        place = {path: int(number) for path, number in zip(reversed(paths), batch[NUMBER][::-1], strict=True)}
        rows: list[tuple[int, int, int, dict[str, object]]] = []  # first what they are sorted by
        for outcome in predict_each(self._detector, paths, batch_size=self._batch_size):
            row = _error_row(outcome) if isinstance(outcome, FileError) else parquet_row(outcome)
            row[NUMBER] = place[outcome.path]
            rows.append((place[outcome.path], outcome.frame or 0, len(rows), row))
        return pyarrow.Table.from_pylist([row for *_, row in sorted(rows)], schema=_schema())


def _error_row(error: FileError) -> dict[str, object]:
    name = escape_bytes(error.path.as_posix())
    return {"image": name, "frame": error.frame, "error": one_line(error.message)}


def _schema() -> pyarrow.Schema:
    import pyarrow

    return parquet_schema(("error", pyarrow.string()), (NUMBER, pyarrow.int64()))
