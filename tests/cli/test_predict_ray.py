"""``centerdet predict --engine ray`` gives what one process gives."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import cv2
import numpy as np
import pyarrow
import pytest
import tifffile

from centerdet.cli import ray_engine
from centerdet.cli.main import main
from centerdet.cli.ray_parts import Parts
from tests.helpers import ROOT, contents, full_disk, make_detector, noisy_bar


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--format", "csv"], "engine ray writes a Parquet file only"),
        (["--format", "parquet", "--save-images", "pictures"], "engine ray writes a Parquet file only"),
        (["--format", "parquet", "--actors", "0"], "at least 1; got 0"),
    ],
)
def test_options_that_do_not_fit(tmp_path, capsys, monkeypatch, more, message):
    monkeypatch.setattr("centerdet.cli.ray_engine.check_ray", lambda: None)
    assert main(["predict", str(tmp_path), "--engine", "ray", *more, "--out", str(tmp_path / "a")]) == 2
    assert message in capsys.readouterr().err


def test_actors_need_ray(tmp_path, capsys, monkeypatch):
    assert main(["predict", str(tmp_path), "--actors", "2"]) == 2
    assert "--actors is the number of processes of --engine ray" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["predict", str(tmp_path), "--engine", "ray", "--format", "parquet", "--out", "a"]) == 2
    assert "engine ray needs the package ray: pip install '.[ray]'" in capsys.readouterr().err


def test_a_ray_that_does_not_start_is_one_line(tmp_path, capsys, monkeypatch):
    def start(**options):
        raise Exception("The current node timed out during startup. This could happen because\nof load.")  # as Ray does

    ended = []
    ray = types.SimpleNamespace(
        is_initialized=lambda: False,
        init=start,
        shutdown=lambda: ended.append(True),
        exceptions=types.SimpleNamespace(RayError=RuntimeError),
    )
    ray.data = types.SimpleNamespace(exceptions=types.SimpleNamespace(SystemException=RuntimeError))
    for name, module in (("ray", ray), ("ray.data", ray.data), ("ray.data.exceptions", ray.data.exceptions)):
        monkeypatch.setitem(sys.modules, name, module)
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((64, 64), np.uint8))
    more = ["--engine", "ray", "--format", "parquet", "--out", str(tmp_path / "a.parquet")]
    assert main(["predict", str(tmp_path / "a.png"), "--weights", "fast", *more]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: Ray did not start: The current node timed out during startup. This could happen")
    assert printed.count("\n") == 1
    assert ended == [True]


@pytest.fixture(scope="module")
def local_ray():
    """Ray on this machine, with two processes."""
    try:
        import ray.data
    except ImportError as error:
        pytest.fail(f"these tests need more packages ({error}): pip install '.[ray]'")
    environment = {"env_vars": {"PYTHONPATH": str(ROOT)}}
    with pytest.MonkeyPatch.context() as patch:
        # Ray lowers its actors' priority: beside other work, one needs more than five minutes to load the detector.
        patch.setenv("RAY_worker_niceness", "0")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=environment)
        yield
        ray.shutdown()


@pytest.fixture
def command(tmp_path):
    """The command for a folder with 60 images, one of them damaged, and a stack; and a weights file."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(60):
        cv2.imwrite(str(folder / f"{number:02}.png"), (noisy_bar(64, number) * 255).astype(np.uint8))
    (folder / "30.png").write_bytes((folder / "30.png").read_bytes()[:1000])
    pages = np.stack([(noisy_bar(64, number)[:, :64] * 255).astype(np.uint8) for number in range(3)])
    tifffile.imwrite(folder / "31.tif", pages, photometric="minisblack")
    make_detector().save(tmp_path / "tiny.safetensors")
    weights = [
        "--weights",
        str(tmp_path / "tiny.safetensors"),
        "--threshold",
        "0.5",
    ]  # about half the images have boxes
    return ["predict", str(folder), *weights, "--format", "parquet"]


def read_rows(path):
    import pyarrow.parquet

    return pyarrow.parquet.read_table(path).to_pylist()


def check_rows(folder, capsys):
    """Compares ``ray.parquet`` with ``one.parquet``, row by row, and its error with the one that was printed."""
    wanted, found = read_rows(folder / "one.parquet"), read_rows(folder / "ray.parquet")
    failed = [row for row in found if row["error"]]
    assert [row["image"] for row in failed] == [f"{folder}/in/30.png"]
    assert failed[0]["error"] in capsys.readouterr().err
    rows = [{name: row[name] for name in wanted[0]} for row in found if not row["error"]]
    assert len(rows) == 62
    assert {row["x"] is None for row in rows} == {True, False}
    for row, expected in zip(rows, wanted, strict=True):
        assert {name: pytest.approx(value, abs=1e-4) for name, value in expected.items()} == row


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of Ray
def test_ray_gives_the_rows_of_one_process(local_ray, command, tmp_path, capsys):
    assert main([*command, "--out", str(tmp_path / "one.parquet")]) == 2
    for _ in range(2):  # it replaces its own result
        more = ["--engine", "ray", "--actors", "2", "--batch-size", "3", "--out", str(tmp_path / "ray.parquet")]
        assert main([*command, *more]) == 2
    check_rows(tmp_path, capsys)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_killed_actor_costs_no_result(local_ray, command, tmp_path, capsys):
    assert main([*command, "--out", str(tmp_path / "one.parquet")]) == 2
    killed = []
    killer = threading.Thread(target=lambda: killed.append(kill_an_actor()))
    killer.start()
    more = ["--engine", "ray", "--actors", "2", "--batch-size", "3", "--out", str(tmp_path / "ray.parquet")]
    assert main([*command, *more]) == 2
    killer.join()
    assert killed[0]
    check_rows(tmp_path, capsys)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_killed_command_continues_where_it_was(local_ray, command, tmp_path, capsys, monkeypatch):
    assert main([*command, "--out", str(tmp_path / "one.parquet")]) == 2
    more = ["--engine", "ray", "--actors", "1", "--batch-size", "1", "--out", str(tmp_path / "ray.parquet")]
    run = f"from centerdet.cli import main, ray_engine; ray_engine.PART_ROWS = 8; main.main({[*command, *more]})"
    parts = tmp_path / "ray.parquet.parts"
    printed = kill_after_three_parts([sys.executable, "-c", run], parts)
    before = {path.name: path.stat().st_mtime_ns for path in sorted(parts.glob("*.parquet"))[:-1]}
    assert len(before) >= 2, f"the command made {len(before)} whole parts: {printed}"
    assert not (tmp_path / "ray.parquet").exists()
    kept = []
    monkeypatch.setattr(
        Parts, "remove", lambda self: kept.append({p.name: p.stat().st_mtime_ns for p in self._files()})
    )
    assert main([*command, *more]) == 2
    printed = capsys.readouterr()
    assert re.search(r"continues after \d\d of 61 files", printed.err)
    assert before.items() <= kept[0].items()
    monkeypatch.undo()
    assert main([*command, *more]) == 2  # nothing is left to do but to write the output
    capsys.readouterr()
    assert main([*command, "--out", str(tmp_path / "one.parquet")]) == 2
    check_rows(tmp_path, capsys)
    assert not parts.exists()


def kill_after_three_parts(run, parts, seconds=300):
    """Runs a command and kills it at its third part; returns what it printed. Starts it again if Ray did not start."""
    for _ in range(3):
        process, end = subprocess.Popen(run, cwd=ROOT, stderr=subprocess.PIPE, text=True), time.monotonic() + seconds
        while len(list(parts.glob("*.parquet"))) < 3 and time.monotonic() < end and process.poll() is None:
            time.sleep(0.01)
        process.kill()
        printed = process.communicate()[1]
        if "error: Ray did not start" not in printed:
            break
    return printed


def part(*numbers):
    return pyarrow.table({"number": numbers, "value": [10 * number for number in numbers]})


class TestParts:
    paths = tuple(Path(f"{number}.png") for number in range(9))

    def open(self, folder, paths=paths, **settings):
        return Parts(folder / "out.parquet", paths, settings)

    def test_a_run_continues_with_the_file_of_the_last_row(self, tmp_path):
        parts = self.open(tmp_path)
        assert parts.done == 0
        for rows in ((0, 1, 2), (3, 4, 4), (4, 4), (4,)):  # a stack, perhaps with further frames
            parts.add(part(*rows))
        again = self.open(tmp_path)
        assert again.done == 4
        again.add(part(4, 4, 5))
        schema = pyarrow.schema([("value", pyarrow.float64())])
        rows = [value for table in again.tables(schema) for value in table["value"].to_pylist()]
        assert rows == [0, 10, 20, 30, 40, 40, 50]
        again.remove()
        assert list(tmp_path.iterdir()) == []

    def test_a_run_with_other_files_or_settings_does_not_continue(self, tmp_path):
        self.open(tmp_path, threshold=0.5).add(part(0, 1))
        for changed in ({"threshold": 0.4}, {"threshold": 0.5, "paths": self.paths[1:]}):
            with pytest.raises(ValueError, match="results of a stopped run with other files, weights or options"):
                self.open(tmp_path, **changed)
        assert self.open(tmp_path, threshold=0.5).done == 1

    def test_the_same_relative_paths_in_another_folder_are_other_files(self, tmp_path, monkeypatch):
        self.open(tmp_path).add(part(0, 1))
        monkeypatch.chdir(tmp_path)
        with pytest.raises(ValueError, match="results of a stopped run with other files"):
            self.open(tmp_path)

    def test_a_run_that_was_killed_at_its_beginning_starts_again(self, tmp_path):
        (tmp_path / "out.parquet.parts").mkdir()
        assert self.open(tmp_path).done == 0
        assert self.open(tmp_path).done == 0

    @pytest.mark.parametrize("removed", range(5))
    def test_a_run_that_is_killed_while_it_removes_the_parts_continues(self, tmp_path, monkeypatch, removed):
        parts = self.open(tmp_path)
        for rows in ((0, 1), (2, 3), (4, 5)):
            parts.add(part(*rows))
        unlink, count = Path.unlink, iter(range(removed))

        def unlink_some(path):
            if next(count, None) is None:
                raise KeyboardInterrupt
            unlink(path)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", unlink_some)
            patch.setattr("shutil.rmtree", unlink_some)
            with pytest.raises(KeyboardInterrupt):
                parts.remove()
        again = self.open(tmp_path)
        first = [value for table in again.tables(pyarrow.schema([("value", pyarrow.int64())])) for value in table[0]]
        assert [value.as_py() for value in first] == [10 * number for number in range(again.done)]

    def test_parts_without_the_first_rows_are_refused(self, tmp_path):
        parts = self.open(tmp_path)
        for rows in ((0, 1), (2, 3)):
            parts.add(part(*rows))
        (tmp_path / "out.parquet.parts" / "000000000.parquet").unlink()
        with pytest.raises(ValueError, match="remove the folder"):
            self.open(tmp_path)

    def test_a_folder_of_other_origin_is_left_alone(self, tmp_path):
        (tmp_path / "out.parquet.parts").mkdir()
        (tmp_path / "out.parquet.parts" / "mine.parquet").write_bytes(b"1")
        with pytest.raises(ValueError, match="remove the folder, or name another output"):
            self.open(tmp_path)
        assert (tmp_path / "out.parquet.parts" / "mine.parquet").read_bytes() == b"1"


class TestFullDisk:
    """A full disk keeps an earlier output and the parts, from which the same command continues."""

    rows = tuple({"image": f"{number}.png", "number": number} for number in range(5000))
    paths = tuple(Path(row["image"]) for row in rows)

    @pytest.mark.parametrize("room", [0, 5000])  # bytes: of the output's beginning, and before its end
    def test_when_the_output_is_written(self, room, tmp_path):
        out = tmp_path / "out.parquet"
        out.write_bytes(b"earlier")
        parts = Parts(out, self.paths, {})
        parts.add(pyarrow.Table.from_pylist(list(self.rows), schema=ray_engine._schema()))
        before = contents(parts.folder)
        with full_disk(room), pytest.raises(OSError, match=r"^cannot write .*out.parquet: File too large$"):
            ray_engine._write_output(parts, out)
        assert out.read_bytes() == b"earlier"
        assert contents(parts.folder) == before
        again = Parts(out, self.paths, {})  # without the last file, which may lack rows
        assert ray_engine._write_output(again, out) == (4999, 0)
        assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]

    def test_when_a_part_is_written(self, tmp_path, monkeypatch):
        def add_rows(options, paths, parts):
            parts.add(pyarrow.table({"number": [0]}))

        monkeypatch.setattr(ray_engine, "load_detector", lambda options: None)
        monkeypatch.setattr(ray_engine, "_settings", lambda options: {})
        monkeypatch.setattr(ray_engine, "_add_rows", add_rows)
        with (
            full_disk(200),
            pytest.raises(OSError, match=r"cannot write .*/0{9}.parquet: File too large; .* continues from .*parts$"),
        ):
            ray_engine.predict_with_ray(None, self.paths, tmp_path / "out.parquet")
        assert [path.name for path in (tmp_path / "out.parquet.parts").iterdir()] == ["run.json"]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_an_actor_that_cannot_start_ends_the_command(local_ray, command, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("centerdet.cli.ray_engine.load_detector", lambda options: None)  # only in this process
    (tmp_path / "tiny.safetensors").unlink()  # as on a machine that does not have it
    assert main([*command, "--engine", "ray", "--actors", "1", "--out", str(tmp_path / "ray.parquet")]) == 2
    printed = capsys.readouterr().err
    assert "error: Ray failed: ValueError: cannot load weights" in printed
    assert "Traceback" not in printed


def kill_an_actor(seconds=60):
    """Kills the first actor of this process's Ray that appears; returns its process, or ``None``."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                is_actor = (folder / "cmdline").read_bytes().startswith(b"ray::MapWorker")
                if is_actor and os.getpid() in ancestors(int(folder.name)):
                    os.kill(int(folder.name), signal.SIGKILL)
                    return int(folder.name)
            except OSError:  # it has ended
                continue
        time.sleep(0.01)
    return None


def ancestors(process):
    """The processes that a process descends from."""
    found = []
    while process > 1:
        process = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
        found.append(process)
    return found
