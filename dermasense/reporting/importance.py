"""How much each option moved the score of a sweep, as bars."""

from collections.abc import Mapping, Sequence
from html import escape

from dermasense.reporting.drawing import BLUE, GREY, framed
from dermasense.reporting.parallel import Axis

LEAST = 10  # finished trials, below which a forest of them says nothing
ALIKE = "All finished trials score alike, so no option moved the score."


def importances(axes: Sequence[Axis], scores: Sequence[float]) -> dict[str, float]:
    """Share of the score's variance that each option explains, its part of interactions left out.

    fANOVA over a random forest (Hutter et al. 2014), by Optuna, over the trials that have all
    options.

    Args:
        axes: of the options, a place a trial.
        scores: of the trials.

    Returns:
        Option -> share, largest first, together 1.

    Raises:
        ImportError: where Optuna is not installed.
        RuntimeError: where no tree of the forest finds a variance of the scores.
    """
    import optuna
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study()
    spaces = {}
    for axis in axes:
        if axis.values is None:
            spaces[axis.name] = CategoricalDistribution([words for _, words in axis.ticks])
        else:
            known = [value for value in axis.values if value is not None]
            spaces[axis.name] = FloatDistribution(min(known), max(known), log=axis.logarithmic)
    for trial, score in enumerate(scores):
        params = {axis.name: _value(axis, trial) for axis in axes}
        if None not in params.values():
            made = optuna.trial.create_trial(params=params, distributions=spaces, value=score)
            study.add_trial(made)
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return optuna.importance.get_param_importances(study, evaluator=evaluator)


def why_none(options: int, scores: Sequence[float]) -> str:
    """Why a sweep has no picture of importance, in a sentence; "" where it can have one.

    Args:
        options: how many vary.
        scores: of the finished trials.
    """
    finished = len(scores)
    if options < 2:
        return "One option varies, so there is nothing to compare its importance with."
    if finished < LEAST:
        return (
            f"The importance of options is estimated from {LEAST} finished trials on; "
            f"there are {finished}."
        )
    # Scores that differ by rounding alone would be shared out among the options as if they told.
    if max(scores) - min(scores) <= 1e-9 * max(map(abs, scores)):
        return ALIKE
    return ""


def importance_bars(shares: Mapping[str, float], metric: str, n: int) -> str:
    """The drawing, as SVG text.

    Args:
        shares: as `importances` gives them.
        metric: what they moved.
        n: finished trials behind it.
    """
    left, wide, row = 200, 300, 26
    height = 60 + row * len(shares)
    alt = f"Importance for {metric} over {n} trials: " + ", ".join(
        f"{name} {share:.2f}" for name, share in shares.items()
    )
    parts = [
        f'<text x="4" y="16" fill="#1b1f24" font-weight="600">What moved {escape(metric)}</text>',
        f'<text x="4" y="34" fill="{GREY}">share of its variance over {n} finished trials</text>',
    ]
    for place, (name, share) in enumerate(shares.items()):
        down = 50 + row * place
        parts.append(
            f'<text x="{left - 8}" y="{down + 13}" text-anchor="end" fill="#1b1f24">'
            f"{escape(name)}</text>"
            f'<rect x="{left}" y="{down}" width="{wide * share:.1f}" height="18" fill="{BLUE}"/>'
            f'<text x="{left + wide * share + 6:.1f}" y="{down + 13}" fill="{GREY}">{share:.2f}'
            "</text>"
        )
    return framed(parts, (560, height), alt)


def _value(axis: Axis, trial: int) -> float | str | None:
    if axis.values is not None:
        return axis.values[trial]
    place = axis.places[trial]
    return next((words for at, words in axis.ticks if at == place), None)
