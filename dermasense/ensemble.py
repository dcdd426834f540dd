"""`python -m dermasense.ensemble`: several models as one, weighed, judged, and saved as a bundle.

Research software, not a medical device.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from dermasense.cli import tool_command
from dermasense.errors import DermaSenseError, check_choice


def main() -> None:
    """Runs what the command line asks for; see `--help`."""
    tool_command(start, "ensemble", texts=("out", "protocol"), lists=("runs", "predictions", "val"))


def start(settings: dict) -> None:
    """Reads the members, weighs them, saves the ensemble, judges it and says where all lies."""
    # torch and pandas take seconds to import: --help need not wait for them.
    from dermasense.ensemble_members import from_runs, from_tables
    from dermasense.evaluation.ensembling import AVERAGES, METHODS, METRICS
    from dermasense.files import refuse_to_write_over
    from dermasense.reporting.ensembled import weigh
    from dermasense.run_folder import RunFolder

    for key, valid in (("method", METHODS), ("average", AVERAGES), ("metric", METRICS)):
        check_choice(key, settings[key], valid)
    runs, tables = _places(settings["runs"]), _places(settings["predictions"])
    if bool(runs) == bool(tables):
        raise DermaSenseError(
            "name the members by runs=<run folder>,<run folder> (or by predictions= tables, not "
            "both)."
        )
    protocol, validation = settings["protocol"], _places(settings["val"])
    out = Path(settings["out"])
    RunFolder(out).refuse_a_run(goes_on=False)
    written = [out, *(RunFolder(out).predictions(part) for part in ("test", "val", "oof"))]
    refuse_to_write_over([*tables, *validation], written)
    material = from_runs(runs, protocol) if runs else from_tables(tables, validation, protocol)
    how = {key: settings[key] for key in ("method", "average", "metric")}
    weighed = weigh(material.fit, len(material.names), **how, folded=material.folded)
    metrics = {}
    if material.judged:
        options = {"resamples": settings["resamples"], "seed": settings["seed"]}
        metrics = _judge(out, material, weighed, how | options)
    if runs:
        _save(out, material, weighed, how, metrics)
    _show(out, material, weighed, metrics)


def _places(value: Any) -> list[str]:
    if value is None:
        return []
    return [str(each) for each in (value if isinstance(value, list) else [value])]


def _judge(out: Path, material: Any, weighed: Any, options: dict) -> dict:
    from dermasense.reporting.ensembled import report_ensemble

    return report_ensemble(
        out,
        material.names,
        material.fit,
        material.judged,
        weighed,
        protocol=material.protocol,
        note=material.note,
        folded=material.folded,
        origin=_origin(material, weighed, options["average"]),
        **options,
    )


def _used(material: Any, weighed: Any) -> list[tuple[str, tuple, float]]:
    """Name, runs and weight of the members that the ensemble holds: those that weigh anything."""
    whole = zip(material.names, material.runs, weighed.weights, strict=True)
    return [member for member in whole if member[2] > 0]


def _terms(bundles: Sequence[Mapping]) -> dict[str, str]:
    """Whose images stand behind all of them, and on what terms; each once."""
    licences = [(each.get("licence") or "unknown").split("; ") for each in bundles]
    citations = dict.fromkeys(each["citation"] for each in bundles if each.get("citation"))
    return {
        "licence": "; ".join(dict.fromkeys(chain.from_iterable(licences))),
        "citation": "; ".join(citations),
    }


def _origin(material: Any, weighed: Any, average: str) -> Any:
    """What a report may say of all members together; None for tables."""
    from dataclasses import replace

    from dermasense.provenance import environment
    from dermasense.reporting.subject import read_origin

    if not material.runs[0]:
        return None
    origins = [read_origin(runs[0]) for _, runs, _ in _used(material, weighed)]
    first = origins[0]
    sizes = sorted({each.settings["model"]["image_size"] for each in origins})
    settings = {
        "name": "ensemble",
        "data": {"name": "+".join(dict.fromkeys(each.dataset for each in origins))},
        "model": {
            "backbone": f"An ensemble of {len(origins)} models",
            "image_size": " and ".join(map(str, sizes)),
        },
        "head": {"name": f"average of {'log-' if average == 'log' else ''}probabilities"},
    }
    return replace(
        first,
        settings=settings,
        history=[],
        environment=environment("ensemble"),
        bundle=first.bundle | _terms([each.bundle for each in origins]),
        # Each fold has a training split of its own.
        training={} if material.folded else first.training,
        groups_are=first.groups_are if len({each.groups_are for each in origins}) == 1 else "",
    )


def _save(out: Path, material: Any, weighed: Any, how: dict, metrics: dict) -> None:
    """The bundle, and what its members have seen, for whoever learns from it or is judged by it."""
    from dermasense.ensemble_members import merged_splits
    from dermasense.files import write_csv
    from dermasense.inference.ensemble_writing import save_ensemble
    from dermasense.models.bundle import read_description
    from dermasense.models.origin import handed_on

    members = [
        (f"{name}_{number}" if len(runs) > 1 else name, run.bundle, weight / len(runs))
        for name, runs, weight in _used(material, weighed)
        for number, run in enumerate(runs)
    ]
    told = [read_description(bundle) for _, bundle, _ in members]
    seen = {name for each in told for name in handed_on(each)["trained_on"]}
    trained_on = {key: told[0][key] for key in ("training_data",) if key in told[0]}
    test = {k: v for k, v in metrics.items() if isinstance(v, dict) and set(v) >= {"value", "low"}}
    info = {
        **trained_on,
        **_terms(told),
        "note": material.note,
        "protocol": material.protocol,
        "weights_provenance": {
            "source": f"an ensemble of {len(members)} members, see ensemble.json",
            "trained_on": sorted(seen - set(trained_on.values())),
        },
        "ensemble": {**how, "weights": weighed.how},
        "metrics": {"test": test} if test else {},
    }
    save_ensemble(out / "bundle", members, average=how["average"], info=info)
    frame = merged_splits([run for runs in material.runs for run in runs])
    write_csv(out / "splits.csv", frame.to_dict("records"), list(frame.columns))


def _show(out: Path, material: Any, weighed: Any, metrics: dict) -> None:
    from dermasense.reporting.tables import aligned, interval_table, number

    pairs = zip(material.names, weighed.weights, strict=True)
    rows = [[name, f"{weight:.3f}"] for name, weight in pairs]
    print(aligned(["member", "weight"], rows))
    print(f"weights: {weighed.how}\n")
    if metrics:
        print(interval_table({"ensemble": metrics}))
        (pair,) = metrics["gain"]
        best = metrics["ensemble"]["best_member"]
        on = "these images" if material.folded else "validation"
        beside = f"the best member on {on}" if best else "the first member"
        rows = [
            [key, *[number(value[end]) for end in ("value", "low", "high")], str(value["n"])]
            for key, value in pair["differences"].items()
        ]
        print(f"\nensemble minus {pair['first']}, {beside}:")
        print(aligned(["", "value", "low", "high", "n"], rows))
        print(f"\n{out / 'metrics.json'}\n{out / 'report.html'}")
    else:
        print(f"Not judged: {material.why_not}.")
    if (out / "bundle").is_dir():
        print(f"{out / 'bundle'}")


if __name__ == "__main__":
    main()
