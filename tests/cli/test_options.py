"""Options that commands share: help, devices, threads, evaluations."""

import argparse
import re
import textwrap

import pytest
import torch

from centerdet.cli.main import main
from centerdet.cli.options import parse_evaluation_options, select_device, set_threads
from centerdet.data.config import read_data_config


def test_devices_and_threads_that_do_not_exist_are_refused():
    assert select_device("cpu") == torch.device("cpu")
    assert select_device(None).type in ("cpu", "cuda")
    with pytest.raises(ValueError, match="cannot use device 'abacus'"):
        select_device("abacus")
    before = torch.get_num_threads()
    set_threads(None)
    assert torch.get_num_threads() == before
    for count in (0, 1025):
        with pytest.raises(ValueError, match=f"--threads must be at least 1, and at most 1024, got {count}"):
            set_threads(count)


def test_evaluation_options_are_checked_before_the_work(tmp_path):
    def parse(*arguments):
        return parse_evaluation_options(argparse.ArgumentParser(), list(arguments), num_samples=7, seed=3)

    options = parse()
    assert vars(options) == {
        "num_samples": 7,
        "seed": 3,
        "weights": None,
        "device": None,
        "json": None,
        "overwrite": False,
    }
    with pytest.raises(ValueError, match="--num-samples must be at least 1, got 0"):
        parse("--num-samples", "0")
    with pytest.raises(ValueError, match="there is no writable folder"):
        parse("--json", str(tmp_path / "nowhere" / "report.json"))


@pytest.mark.parametrize("command", ["check", "train", "evaluate"])
def test_help_describes_the_file_of_a_dataset(command, capsys, tmp_path):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    text = capsys.readouterr().out
    example = re.search(r"\n\n(    format: .*?)\n\n", text, re.DOTALL).group(1)
    (tmp_path / "data.yaml").write_text(textwrap.dedent(example))
    assert read_data_config(tmp_path / "data.yaml").intensity_range == (0, 4095)
