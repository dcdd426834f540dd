"""The average of the weights is timm's, bit by bit, whatever is frozen."""

import pytest
import torch
from timm.utils import ModelEmaV3

from dermasense.training.average import WeightAverage
from tests.training.tiny import cuttable_classifier


@pytest.mark.parametrize("unfreeze", [0, 2, "blocks:1", "all"])
def test_it_is_the_average_over_the_whole_network(unfreeze):
    model = cuttable_classifier().train()
    model.freeze(unfreeze)
    ours, theirs = WeightAverage(model, 0.9), ModelEmaV3(model, decay=0.9, use_warmup=True)
    trains = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trains, lr=0.1)
    for step in range(1, 6):
        pictures = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)
        loss = torch.nn.functional.cross_entropy(model(pictures), torch.tensor([0, 1, 2, 0]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ours.update(model, step=step)
        theirs.update(model, step=step)
    expected = theirs.module.state_dict()
    moved = 0
    for name, value in ours.module.state_dict().items():
        assert torch.equal(value, expected[name]), name
        moved += not torch.equal(value, cuttable_classifier().state_dict()[name])
    assert moved
