"""The average of the weights is timm's, bit by bit, whatever is frozen; it keeps to its decay."""

import pytest
import torch
from hydra import compose, initialize_config_dir
from timm.utils import ModelEmaV3

from dermasense.hydra_words import conf_folder
from dermasense.training.average import WeightAverage, warmed_up
from tests.training.tiny import cuttable_classifier


@pytest.mark.parametrize("unfreeze", [0, 2, "blocks:1", "all"])
def test_it_is_the_average_over_the_whole_network(unfreeze):
    model = cuttable_classifier().train()
    model.freeze(unfreeze)
    ours, theirs = WeightAverage(model, 0.9), ModelEmaV3(model)
    trains = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trains, lr=0.1)
    for step in range(1, 6):
        pictures = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)
        loss = torch.nn.functional.cross_entropy(model(pictures), torch.tensor([0, 1, 2, 0]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ours.update(model, step=step)
        theirs.decay = warmed_up(0.9, step)
        theirs.update(model)
    expected = theirs.module.state_dict()
    moved = 0
    for name, value in ours.module.state_dict().items():
        assert torch.equal(value, expected[name]), name
        moved += not torch.equal(value, cuttable_classifier().state_dict()[name])
    assert moved


def test_the_decay_is_reached_and_kept():
    assert [warmed_up(0.9, step) for step in (1, 2, 79, 80, 10**6)] == [
        *(2 / 11, 3 / 12, 80 / 89),
        *(0.9, 0.9),
    ]
    assert warmed_up(0.995, 1789) < 0.995 == warmed_up(0.995, 1790)


IMAGES = {"ham10000": 7010, "fitzpatrick21": 2002}  # about as many train


@pytest.mark.parametrize("name", sorted(p.stem for p in (conf_folder() / "experiment").iterdir()))
def test_an_experiment_has_its_decay_before_its_last_phase_ends(name):
    with initialize_config_dir(str(conf_folder()), version_base=None):
        config = compose("train", overrides=[f"experiment={name}"])
    if config.ema_decay is not None:
        *_, last = config.phases.values()
        steps = (
            last.epochs * IMAGES[config.data.source._target_.split(".")[-2]] // config.batch_size
        )
        assert warmed_up(config.ema_decay, steps) == config.ema_decay
