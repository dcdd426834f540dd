"""The decisions that every report shows: two kinds of sets, an alarm, a referral."""

import logging

from dermasense.errors import DermaSenseError
from dermasense.evaluation.calibration.temperature import Temperature
from dermasense.evaluation.decisions import Decision
from dermasense.evaluation.decisions.class_conditional import ClassConditional
from dermasense.evaluation.decisions.lac import Lac
from dermasense.evaluation.decisions.referral import Referral
from dermasense.evaluation.decisions.risk_control import RiskControl
from dermasense.evaluation.malignant import malignant_classes
from dermasense.evaluation.predictions import Predictions

log = logging.getLogger(__name__)


def decisions_summary(
    test: Predictions, validation: Predictions, *, resamples: int = 500, seed: int = 0
) -> dict[str, dict]:
    """Methods with their usual options, after a temperature, all fitted on validation.

    One number (the temperature) is fitted on the lesions that also calibrate the sets; the
    simulation in the tests shows that the coverage stays nominal.

    Args:
        test, validation: tables of one model.
        resamples, seed: of the bootstrap over groups.

    Returns:
        Method -> {fitted, judged}, or {not_done: the reason}.
    """
    validation = validation.in_order(test.class_names)
    temperature = Temperature().fit(validation)
    validation, test = temperature.apply(validation), temperature.apply(test)
    methods: list[Decision] = [Lac(), ClassConditional(), Referral()]
    ill = tuple(malignant_classes(test.class_names))
    if ill and len(ill) < len(test.class_names):
        methods.append(RiskControl(classes=ill))
    found: dict[str, dict] = {}
    for method in methods:
        try:
            fitted = method.fit(validation)
            judged = fitted.judge(test, resamples=resamples, seed=seed)
            found[method.name] = {"fitted": fitted.as_dict(), "judged": judged}
        except DermaSenseError as error:
            found[method.name] = {"not_done": str(error)}
        except ImportError as error:  # MAPIE is for fitting alone; a report goes without it
            log.warning("%s: %s", method.name, error)
            found[method.name] = {"not_done": f"MAPIE is not installed ({error})"}
    return found
