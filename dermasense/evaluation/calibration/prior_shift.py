"""Prior shift: undo the class shares that a resampled or weighted training put into the logits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from dermasense.errors import DermaSenseError
from dermasense.evaluation.predictions import Predictions


@dataclass(frozen=True)
class PriorShift:
    """Logits z_c + strength * log(target share_c / trained share_c) (Saerens et al. 2002, eq. 4).

    For a model that saw classes as often as `trained` says (all alike under a balanced sampler,
    SMOTE or balanced weights) and meets them as often as validation holds them. A temperature
    cannot do this: it treats all classes alike. It moves answers towards frequent classes: accuracy
    and NLL gain, balanced accuracy usually falls.

    Args:
        trained: how often each class was seen in training, after resampling or weighting, shape
            (C,), any scale; None means all alike.
        strength: 1 is the full correction, 0 none. Below 0 rare classes are favoured: -1 takes the
            prior out of true probabilities, whose largest then maximises balanced accuracy (Menon
            et al. 2021, post-hoc logit adjustment), and -.5 is half way.
        class_names, offset: the fitted numbers.
    """

    trained: Sequence[float] | None = None
    strength: float = 1.0
    class_names: tuple[str, ...] = ()
    offset: tuple[float, ...] = ()

    def fit(self, validation: Predictions) -> Self:
        """The offsets towards the class shares of a validation table.

        One image is added to each class, so that a class that validation lacks is not ruled out.

        Raises:
            DermaSenseError: `trained` has another length, or a share that is not above 0.
        """
        classes = len(validation.class_names)
        trained = np.ones(classes) if self.trained is None else np.asarray(self.trained, float)
        if trained.shape != (classes,) or trained.min() <= 0:
            raise DermaSenseError(
                f"trained={list(trained)} does not fit the classes "
                f"{', '.join(validation.class_names)}; give one number above 0 for each."
            )
        target = np.bincount(validation.labels, minlength=classes) + 1.0
        offset = np.log(target / target.sum()) - np.log(trained / trained.sum())
        offset = tuple((self.strength * offset).tolist())
        return replace(self, class_names=validation.class_names, offset=offset)

    def apply(self, predictions: Predictions) -> Predictions:
        """The table with shifted logits, its classes in the order of the fit.

        Raises:
            DermaSenseError: not fitted, or fitted on other classes.
        """
        if not self.class_names:
            raise DermaSenseError("Fit the prior shift on a validation table before it is applied.")
        table = predictions.in_order(self.class_names)
        return table.with_logits(self.logits(table.logits))

    def logits(self, logits: np.ndarray) -> np.ndarray:
        """Shifted logits of logits (N, C) in the class order of the fit."""
        return logits + np.array(self.offset)

    @property
    def n_fitted(self) -> int:
        """C."""
        return len(self.class_names)

    def as_dict(self) -> dict:
        """name, strength and the offset of each class."""
        classes = dict(zip(self.class_names, self.offset, strict=True))
        return {"name": "prior_shift", "strength": self.strength, "offsets": classes}
