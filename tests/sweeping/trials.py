"""Training that takes no time, in the place of the real one, for tests of what leads it."""

import math

from dermasense.files import write_json

EPOCHS = 4


def instant(settings: dict, run, after_epoch=None) -> float:
    """Leaves what a run leaves; the score falls with the distance of its rate from 0.01."""
    rate = next(iter(settings["phases"].values()))["lr"]
    score = 1 / (1 + abs(math.log10(rate) + 2))
    history = []
    for epoch in range(1, EPOCHS + 1):
        history.append({"epoch": epoch, "val_balanced_accuracy": score * epoch / EPOCHS})
        if after_epoch:
            after_epoch(history)
    # What answers well is not what is calibrated well: two objectives that disagree.
    val = {"balanced_accuracy": score, "ece": rate, "top1": score, "nll": None, "n": 9}
    write_json(run.metrics, {"protocol": "grouped", "note": "", "val": val, "test": val})
    write_json(run.finished, {"seconds": 1.0, "best": {"score": score}})
    return score
