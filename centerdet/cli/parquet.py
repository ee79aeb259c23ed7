"""Results of ``centerdet predict`` as a Parquet file, for tables that are too large for CSV; needs pyarrow."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from centerdet.cli.output_kinds import CSV_COLUMNS, PARQUET_MARK
from centerdet.cli.streams import escape_bytes
from centerdet.data.predict import FileResult
from centerdet.files import writes_through

if TYPE_CHECKING:
    import pyarrow

GROUP_ROWS = 10_000  # rows of a row group, which are in memory until it is written


@contextmanager
def open_parquet(path: Path | None) -> Iterator[Callable[[FileResult], None]]:
    """Gives a function that adds an image's result to a Parquet file, which is complete once the context ends.

    Args:
        path: The file. An existing one is removed, not changed. A stopped run leaves a readable file with the results
            so far; a killed one leaves none that can be read.

    Raises:
        ValueError: As ``check_parquet``.
        OSError: If the file cannot be written.
    """
    path = check_parquet(path)
    import pyarrow
    import pyarrow.parquet

    schema = parquet_schema()
    rows: list[dict[str, object]] = []
    path.unlink(missing_ok=True)
    with _removed_on_error(path):
        writer = pyarrow.parquet.ParquetWriter(path, schema)

    def write_group() -> None:
        writer.write_table(pyarrow.Table.from_pylist(rows, schema=schema))
        rows.clear()

    def write(result: FileResult) -> None:
        rows.append(parquet_row(result))
        if len(rows) == GROUP_ROWS:
            with _removed_on_error(path):
                write_group()

    try:
        yield write
    finally:  # after an error of the caller, too: the results so far stay readable
        with _removed_on_error(path), writer:
            write_group()


@contextmanager
def _removed_on_error(path: Path) -> Iterator[None]:
    """Names the file in errors of writing, and removes it: without its end, no program can read it."""
    try:
        yield
    except OSError as error:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise OSError(f"cannot write {path}: {reason}; it is removed, since it would not be readable") from error


def parquet_schema(*more: tuple[str, pyarrow.DataType]) -> pyarrow.Schema:
    """Returns the columns of the file, and more of them, with the mark of this library."""
    import pyarrow

    types = {"image": pyarrow.string(), "has_heading": pyarrow.bool_(), "frame": pyarrow.int64()}
    columns = [*CSV_COLUMNS[:-1], "has_heading", CSV_COLUMNS[-1]]
    fields = [(name, types.get(name, pyarrow.float64())) for name in columns]
    return pyarrow.schema([*fields, *more], metadata={"origin": PARQUET_MARK})


def parquet_row(result: FileResult) -> dict[str, object]:
    """Returns the values of an image's row."""
    values = result.to_dict()
    return {**values, **(values["box"] or {}), "image": escape_bytes(values["image"])}


def check_parquet(path: Path | None) -> Path:
    """Returns the path of a Parquet file that can be made.

    Raises:
        ValueError: If no file is named, it is a device or pipe, or pyarrow is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise ValueError("format parquet needs the package pyarrow: pip install '.[parquet]'") from None
    if path is None:
        raise ValueError("format parquet needs a file: name it with --out")
    if writes_through(path):
        raise ValueError(f"format parquet needs a file of its own, got the device or pipe {path}; name another")
    return path
