"""Tables of the same images by the picture alone and with attributes, of one run or of folds."""

from collections.abc import Callable, Sequence

from dermasense.errors import DermaSenseError
from dermasense.evaluation.metadata_head import MetadataHead
from dermasense.evaluation.out_of_fold import out_of_fold
from dermasense.evaluation.predictions import Predictions, read_predictions
from dermasense.run_folder import RunFolder

NAMES = ("image_alone", "image_and_metadata")


def judged_tables(
    runs: Sequence[RunFolder], attributes: Sequence[str], tell: Callable[[str], None]
) -> tuple[dict[str, Predictions], list[MetadataHead]]:
    """Fits a head with and one without the attributes on each run's validation part.

    Args:
        runs: with predictions of validation and test; those of folds are put together out of fold.
        attributes: columns of the tables.
        tell: gets a line on what each attribute was taken as, and in which runs.

    Returns:
        The judged table of each of `NAMES`, and each run's head with the attributes.

    Raises:
        DermaSenseError: no attributes, one that there is not, or of which nothing is left in any
            run.
    """
    if not attributes:
        raise DermaSenseError("attributes= names none; give columns such as age,sex,localization.")
    judged: dict[str, list[Predictions]] = {name: [] for name in NAMES}
    heads: list[MetadataHead] = []
    taken: dict[str, list[str]] = {}  # what an attribute was taken as -> the runs
    for run in runs:
        test = read_predictions(run.predictions("test"))
        val = read_predictions(run.predictions("val"), test.class_names)
        fitted = [MetadataHead.fit(val, some) for some in ((), attributes)]
        for name, head in zip(NAMES, fitted, strict=True):
            judged[name].append(head.apply(test))
        heads.append(fitted[1])
        for line in fitted[1].encoding.told(val.frame):
            taken.setdefault(line, []).append(run.path.name)
    for line in sorted(taken):
        tell(line if len(taken[line]) == len(runs) else f"{line}; in {', '.join(taken[line])}")
    for name in attributes:
        if all(head.encoding.lacks(name) for head in heads):
            raise DermaSenseError(
                f"attributes={name}: nothing is left of it, as is said above; mend the column and "
                "train again, or leave it out."
            )
    tables = {
        name: out_of_fold(parts) if len(parts) > 1 else parts[0] for name, parts in judged.items()
    }
    return tables, heads
