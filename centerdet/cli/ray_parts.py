"""Results of ``--engine ray`` as they come: Parquet files in a folder beside the output, from which a run continues.

Rows come in the order of the files. So the parts hold the results of the first files of the list, and a run that was
stopped, or killed, continues with the file of the last row. Once all are there, the parts become the output.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from centerdet.files import make_folder, read_regular, remove_leftovers, write_atomically

if TYPE_CHECKING:
    import pyarrow

NUMBER = "number"  # column of the parts: the row's file, from 0
_SETTINGS = "run.json"
_MAX_BYTES = 2**20  # of the settings


class Parts:
    """The folder of the parts of one output.

    Args:
        out: The output.
        paths: The files, all of them.
        settings: What else the rows depend on, plain values: a run continues only with the same.

    Attributes:
        folder: The folder.
        done: Number of files whose results are there.

    Raises:
        ValueError: If the folder holds something else, or the results of another run.
        OSError: If the folder cannot be made or read.
    """

    def __init__(self, out: Path, paths: Sequence[Path], settings: Mapping[str, Any]) -> None:
        self.folder = out.with_name(f"{out.name}.parts")
        digest = hashlib.sha256(b"\0".join(map(os.fsencode, [Path.cwd(), *paths]))).hexdigest()
        wanted = json.dumps({"files": digest, **settings}, sort_keys=True)
        self._settings = self.folder / _SETTINGS
        make_folder(self.folder)
        remove_leftovers(self.folder)
        if not any(self.folder.iterdir()):
            write_atomically(self._settings, wanted.encode())
        elif not self._holds(wanted):
            raise ValueError(
                f"{self.folder} holds the results of a stopped run with other files, weights or options; run that "
                "command again to continue it, or remove the folder, or name another output with --out"
            )
        self.done = self._keep_whole_files()

    def _holds(self, wanted: str) -> bool:
        """Whether the folder holds the first parts of the wanted run."""
        if not self._settings.exists():
            return False
        text = read_regular(self._settings, max_bytes=_MAX_BYTES).decode(errors="replace")
        return text == wanted and self._files() == [self._part(number) for number in range(len(self._files()))]

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.parquet"))

    def _part(self, number: int) -> Path:
        return self.folder / f"{number:09}.parquet"

    def _keep_whole_files(self) -> int:
        """Drops the rows of the last file, which may lack some; returns the number of files before it."""
        import pyarrow.compute
        import pyarrow.parquet

        last = None
        for path in reversed(self._files()):
            table = pyarrow.parquet.read_table(path)
            last = table[NUMBER][-1].as_py() if last is None else last
            kept = table.filter(pyarrow.compute.less(table[NUMBER], last))
            if len(kept):
                self._write(path, kept)
                break
            path.unlink()
        return last or 0

    def add(self, table: pyarrow.Table) -> None:
        """Keeps rows, with their ``NUMBER``; they are on the disk when this returns."""
        self._write(self._part(len(self._files())), table)

    def _write(self, path: Path, table: pyarrow.Table) -> None:
        import pyarrow
        import pyarrow.parquet

        sink = pyarrow.BufferOutputStream()
        pyarrow.parquet.write_table(table, sink)
        write_atomically(path, sink.getvalue().to_pybytes())

    def tables(self, schema: pyarrow.Schema) -> Iterator[pyarrow.Table]:
        """Yields the rows of all parts, in order, with the columns of a schema."""
        import pyarrow.parquet

        for path in self._files():
            yield pyarrow.parquet.read_table(path).select(schema.names).cast(schema)

    def remove(self) -> None:
        """Removes the folder. The last part goes first: a run that is killed here leaves parts to continue from."""
        for path in [*reversed(self._files()), self._settings]:
            path.unlink()
        shutil.rmtree(self.folder)
