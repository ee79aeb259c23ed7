import pytest

from tests.helpers import train_tiny


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    """The folder and the report of an uninterrupted small run; tests only read the folder."""
    directory = tmp_path_factory.mktemp("finished")
    return directory, train_tiny(directory)
