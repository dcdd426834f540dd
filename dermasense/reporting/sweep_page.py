"""sweep.html: the trials of a sweep, how options and scores go together, which options matter."""

from collections.abc import Sequence
from pathlib import Path

from dermasense.reporting.importance import ALIKE, importance_bars, importances, why_none
from dermasense.reporting.markup import Html, el, figure, joined, table
from dermasense.reporting.page import write_page
from dermasense.reporting.parallel import axis_of, number_axis, parallel_coordinates
from dermasense.reporting.parts import Part
from dermasense.reporting.tables import COLUMNS, number

_METRICS = ("top1", "balanced_accuracy", "macro_f1", "nll", "ece")
_CHOSEN = (
    "The best of many trials looks better on the validation split than it is: judge it on the test "
    "split, once. Differences smaller than the interval of a metric may be luck."
)


def write_sweep_page(
    path: Path,
    rows: Sequence[dict],
    options: Sequence[str],
    scores: Sequence[tuple[str, str, bool]],
    *,
    command: str,
    notes: Sequence[str],
) -> Path:
    """Write the page, and its drawings into `figures` beside it.

    Args:
        path: the HTML file.
        rows: trials, best first, as `dermasense.sweeping.ranking.ranked` gives them.
        options: those that vary.
        scores: (key of a row, name, whether less is better) of what the sweep made best, the
            ranking one first.
        command: that trains the best trial again; "" where there is none.
        notes: what must be said beside the numbers.
    """
    parts = {"trials": _trials(rows, options)}
    finished = [row for row in rows if row["status"] == "finished"]
    scored = [row for row in finished if row.get(scores[0][0]) is not None]
    if options and scored:
        parts["parallel"] = _parallel(scored, options, scores[0])
        parts["importance"] = _importance(finished, options, scores)
    opening = [el("p", _counts(rows))]
    if command:
        opening.append(el("p", "Best trial, by the validation split: ", el("code", command)))
    opening += [el("p", note, cls="warning") for note in notes]
    title = f"Sweep {path.parent.name}"
    return write_page(path, title, joined(opening), parts, [_CHOSEN], path.parent / "figures")


def _counts(rows: Sequence[dict]) -> str:
    states = [row["status"] for row in rows]
    counts = [f"{states.count(state)} {state}" for state in dict.fromkeys(states)]
    return f"{len(rows)} trials: {', '.join(counts)}."


def _trials(rows: Sequence[dict], options: Sequence[str]) -> Part:
    front = any("pareto" in row for row in rows)
    shown = [COLUMNS[metric] for metric in _METRICS]
    head = ["trial", "state", "best score", *shown, "n", *(["Pareto"] if front else []), *options]
    lines = [
        [
            row["trial"],
            row["status"],
            number(row.get("best_score")),
            *[number(row.get(f"val_{metric}")) for metric in _METRICS],
            number(row.get("val_n")),
            *(["yes" if row.get("pareto") else ""] if front else []),
            *[short(row["overrides"].get(key)) for key in options],
        ]
        for row in rows
    ]
    caption = "Validation split, best first. Best score: the metric that picked a trial's weights."
    words = (1, *range(len(head) - len(options), len(head)))
    reasons = [
        el("li", f"Trial {row['trial']} {row['status']}: {row['reason']}")
        for row in rows
        if row["reason"]
    ]
    listed = el("ul", *reasons) if reasons else None
    return Part("Trials", joined([table(head, lines, caption=caption, words=words), listed]))


def _parallel(
    known: Sequence[dict], options: Sequence[str], score_of: tuple[str, str, bool]
) -> Part:
    key, name, lower = score_of
    axes = [axis_of(o, [row["overrides"].get(o) for row in known]) for o in options]
    score = number_axis(name, [row[key] for row in known], up=not lower)
    svg = parallel_coordinates(axes, score, best=0)
    caption = f"Finished trials; the axis on the right is {name} on the validation split."
    return Part("Options and scores", figure(svg, caption), {"parallel_coordinates": svg})


def _importance(
    finished: Sequence[dict], options: Sequence[str], scores: Sequence[tuple[str, str, bool]]
) -> Part:
    figures: dict[str, str] = {}
    words: list[Html] = []
    for key, name, _ in scores:
        known = [row for row in finished if row.get(key) is not None]
        axes = [axis_of(o, [row["overrides"].get(o) for row in known]) for o in options]
        # What only differed among trials that did not finish has no importance here.
        axes = [axis for axis in axes if len(set(axis.places)) > 1 and None not in axis.places]
        if why := why_none(len(axes), [row[key] for row in known]):
            words.append(el("p", f"{name}: {why}"))
            continue
        try:
            shares = importances(axes, [row[key] for row in known])
        except ImportError:
            why = "The importance of options needs Optuna: pip install 'dermasense[sweep]'."
            words.append(el("p", why))
            break
        except RuntimeError:  # Optuna's word for a forest without variance
            words.append(el("p", f"{name}: {ALIKE}"))
            continue
        file = "importance" if len(scores) == 1 else f"importance_{name}"
        figures[file] = importance_bars(shares, name, len(known))
        words.append(figure(figures[file], "fANOVA over a random forest (Hutter et al. 2014)."))
    return Part("Importance", joined(words), figures)


def short(word: str | None) -> str:
    """A value of an option, a long number to four digits."""
    if word is None:
        return ""
    try:
        return word if len(word) <= 8 else f"{float(word):.4g}"
    except ValueError:
        return word
