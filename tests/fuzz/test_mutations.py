"""Random mutations of good files, by hypothesis: each is read, or refused with one ValueError that names the file.

``FUZZ_SECONDS`` sets the duration; CONTRIBUTING.md has the command for half an hour.
"""

import os
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.test_readers import READERS, contents  # noqa: F401 (a fixture)

SECONDS = float(os.environ.get("FUZZ_SECONDS", "1"))
ODD = [
    b"\0" * 4,
    b"\xff" * 4,
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"9" * 30,
    b"-1",
    b"1e999",
    b"NaN",
    b"[" * 50,
    b"\n",
]
pieces = st.sampled_from(ODD) | st.binary(max_size=8)
# Where (as a fraction of the file, or of its first 300 bytes), how many bytes go, and what takes their place.
changes = st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.integers(0, 40), pieces), min_size=1, max_size=6)


def mutate(content, steps, kept):
    damaged = bytearray(content)
    for place, early, removed, piece in steps:
        start = int(place * (min(300, len(damaged)) if early else len(damaged)))
        damaged[start : start + removed] = piece
    return bytes(damaged[: int(kept * len(damaged))] if kept < 0.2 else damaged)


@pytest.mark.parametrize("name", READERS)
def test_mutated_files_are_read_or_refused(name, contents, tmp_path):  # noqa: F811
    path, (read, _) = tmp_path / name, READERS[name]
    end, count = time.monotonic() + SECONDS / len(READERS), 0

    @given(changes, st.floats(0, 1))
    @settings(
        max_examples=200 if SECONDS > 10 else 25,
        deadline=None,
        database=None,
        derandomize=SECONDS <= 10,
        suppress_health_check=list(HealthCheck),
    )
    def run(steps, kept):
        nonlocal count
        count += 1
        path.write_bytes(mutate(contents[name], steps, kept))
        try:
            read(path)
        except ValueError as error:
            assert str(path) in str(error)  # noqa: PT017
            assert len(str(error).splitlines()) == 1  # noqa: PT017

    run()
    while time.monotonic() < end and SECONDS > 10:
        run()  # with other random numbers
    print(f"{name}: {count} files")  # with -s
