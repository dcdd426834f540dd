"""Which trial of a sweep is best, on the validation split alone."""

from collections.abc import Mapping
from types import MappingProxyType

NONE: Mapping[str, str] = MappingProxyType({})

# Ranks trials whose own monitors are not one and the same quantity.
COMMON = "val_balanced_accuracy"


def ranked(rows: list[dict], objectives: Mapping[str, str] = NONE) -> tuple[list[dict], str]:
    """Rows, best first, those without a score last; and what ranked them.

    Args:
        rows: of `collect`.
        objectives: metrics that a search made best, if it was one, each with "max" or "min". Where
            there are several, trials of the Pareto front (no other is at least as good in all and
            better in one) come first and have `pareto` True.

    Returns:
        Also "val_<metric>" of the first objective; "best_score" where the trials' own monitor is
        what counts, or `COMMON` where they monitor different quantities.
    """
    by = _measure(rows, objectives)
    lower = less_is_better(by, rows, objectives)
    if len(objectives) > 1:
        rows = [{**row, "pareto": _in_front(row, rows, objectives)} for row in rows]

    def place(row: dict) -> tuple[bool, bool, float]:
        score = row.get(by)
        return score is None, not row.get("pareto", True), (score or 0.0) * (1 if lower else -1)

    return sorted(rows, key=place), by


def notes_on(rows: list[dict], by: str) -> list[str]:
    """What must be said beside the table: of what the numbers are, and what does not compare."""
    finished = [row for row in rows if row["status"] == "finished"]
    notes = list(dict.fromkeys(row["note"] for row in finished if row["note"]))
    if by == COMMON and any(row["measure"] != finished[0]["measure"] for row in finished):
        notes.append(f"the trials monitor different quantities, so {COMMON} ranks them.")
    first = finished[0] if finished else {}
    if any(row[key] != first[key] for row in finished for key in ("data", "protocol")):
        notes.append("numbers of different data or split protocols do not compare.")
    return notes


def _measure(rows: list[dict], objectives: Mapping[str, str]) -> str:
    finished = [row for row in rows if row["status"] == "finished"]
    same = all(row["measure"] == finished[0]["measure"] for row in finished)
    monitors = {row["monitor"] for row in finished}
    if objectives and not (len(objectives) == 1 and monitors <= set(objectives)):
        return f"val_{next(iter(objectives))}"
    return "best_score" if same else COMMON


def less_is_better(by: str, rows: list[dict], objectives: Mapping[str, str]) -> bool:
    """Whether the smallest value of what ranks trials is the best one."""
    if by != "best_score":
        return by != COMMON and objectives[by.removeprefix("val_")] == "min"
    return next((row["better"] == "min" for row in rows if row["status"] == "finished"), False)


def _in_front(row: dict, rows: list[dict], objectives: Mapping[str, str]) -> bool:
    own = _losses(row, objectives)
    if own is None:
        return False
    others = [loss for other in rows if (loss := _losses(other, objectives)) is not None]
    return not any(
        all(a <= b for a, b in zip(other, own, strict=True)) and other != own for other in others
    )


def _losses(row: dict, objectives: Mapping[str, str]) -> list[float] | None:
    """The objectives of a finished trial, less being better; None where one is not defined."""
    values = [row.get(f"val_{metric}") for metric in objectives]
    if row["status"] != "finished" or None in values:
        return None
    signs = [1 if better == "min" else -1 for better in objectives.values()]
    return [sign * value for sign, value in zip(signs, values, strict=True)]
