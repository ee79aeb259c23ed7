import pytest

from centerdet.export.runtime import OnnxDetector


@pytest.fixture
def detector(exported):
    return exported[0]


@pytest.fixture
def model(exported):
    return OnnxDetector(exported[1])
