"""A batch in pieces on a CPU: the bits of the whole, whatever the cores."""

import io

import numpy as np
import pytest
import torch
from torch import nn

from dermasense.inference.onnx_session import PIECE, CpuSession, open_session, piece_size

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def graph():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 5, stride=4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(4))
    net.eval()(torch.zeros(1, 3, 160, 160))
    file = io.BytesIO()
    axes = {"x": {0: "n"}, "y": {0: "n"}}
    torch.onnx.export(
        net,
        (torch.zeros(1, 3, 160, 160),),
        file,
        input_names=["x"],
        output_names=["y"],
        dynamic_axes=axes,
        dynamo=False,
    )
    return file.getvalue()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_pieces_give_the_numbers_of_each_picture_alone(graph, threads):
    batch = np.random.default_rng(0).normal(size=(7, 3, 160, 160)).astype(np.float32)
    session = CpuSession(graph, threads)
    assert piece_size(7, batch[0].size, threads) < 7
    (whole,) = session.run(batch)
    alone = [session.run(batch[row : row + 1])[0] for row in range(7)]
    assert np.array_equal(whole, np.concatenate(alone))
    assert np.array_equal(session.run(batch, ["y"])[0], whole)


def test_a_session_opens_when_it_is_first_run(graph, monkeypatch):
    opened = []

    def noted(graph, threads, **options):
        opened.append(threads)
        return open_session(graph, threads, **options)

    monkeypatch.setattr("dermasense.inference.onnx_session.open_session", noted)
    batch = np.zeros((4, 3, 160, 160), np.float32)
    session = CpuSession(graph, 2)
    assert opened == []
    for pictures, expected in ((4, [1]), (1, [1, 2]), (4, [1, 2]), (1, [1, 2])):
        session.run(batch[:pictures])
        assert opened == expected


def test_pieces_are_a_picture_each_where_it_is_large():
    assert piece_size(16, 3 * 224 * 224, 2) == piece_size(16, 3 * 600 * 600, 1) == 1
    assert piece_size(16, 3 * 144 * 144, 2) == 3


def test_few_or_small_samples_stay_together():
    assert piece_size(1, 3 * 224 * 224, 2) == 1  # all cores on the one picture
    assert piece_size(3, 3 * 600 * 600, 4) == 3
    assert piece_size(64, 1280, 2) == 64 and PIECE > 64 * 1280


def test_every_core_has_its_piece():
    assert piece_size(8, 3 * 96 * 96, 4) == 2
