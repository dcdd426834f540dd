"""What several tests of training look at."""

import pytest

from dermasense.data import growing_file


@pytest.fixture
def built(monkeypatch):
    """Contents of the files that were filled, in the order in which they were begun."""
    names = []
    real = growing_file.GrowingFile._fill

    def spy(self, missing, compute):
        names.append(self.content)
        return real(self, missing, compute)

    monkeypatch.setattr(growing_file.GrowingFile, "_fill", spy)
    return names
