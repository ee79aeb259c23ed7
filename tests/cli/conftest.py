"""Images and data sets for the tests of the commands."""

import cv2
import numpy as np
import pytest

import centerdet
from tests.helpers import BOXES, write_dataset


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """A folder of 20 scenes of the task, as 8-bit files, and the files' names in order; some have no object."""
    folder, names = tmp_path_factory.mktemp("scenes"), []
    for index, (image, _) in enumerate(centerdet.benchmark_scenes(8, 20)):
        names.append(f"{index:02}.png")
        cv2.imwrite(str(folder / names[-1]), (image * 255).round().astype(np.uint8))
    return folder, names


@pytest.fixture
def dataset(tmp_path):
    """A data set with a train and a validation split, which share images."""
    write_dataset(tmp_path, "yolo", split="train")
    return write_dataset(tmp_path, "yolo", boxes=[*BOXES[1:], None], split="validation")
