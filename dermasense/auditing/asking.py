"""From the settings of the audit command to its answers."""

import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from dermasense.auditing.embeddings import Embedder
from dermasense.auditing.overlap import Overlap
from dermasense.auditing.registry import AUDITS
from dermasense.auditing.subject import Subject
from dermasense.data.catalog import Catalog, read_table
from dermasense.data.loading import load_catalog
from dermasense.data.preprocess import PICTURES
from dermasense.errors import DermaSenseError, check_choice, nearest
from dermasense.hydra_words import conf_folder
from dermasense.terminal import counter

WRITES = (None, "catalog")
log = logging.getLogger(__name__)


def check_settings(settings: dict) -> None:
    """Says what cannot be asked before anything is decoded.

    Raises:
        DermaSenseError: an unknown audit, or a number out of range.
    """
    audits = settings["audits"] = _words(settings["audits"])
    for name in audits:
        check_choice("audits", name, AUDITS)
    if settings["write"] not in WRITES:
        raise DermaSenseError(f"write={settings['write']} is unknown; the one choice is catalog.")


def make_subject(settings: dict) -> Subject:
    """The images to audit.

    Raises:
        DermaSenseError: where the data, the weights or the given split are not there.
    """
    catalog = load_catalog(settings["data"], settings["split"])
    if not len(catalog.frame):
        raise DermaSenseError(f"data={catalog.name}: there are no images; check data.root.")
    model = settings["model"]
    embedder = Embedder.of(
        **{key: model[key] for key in ("backbone", "weights", "image_size", "resize")}
    )
    return Subject(
        _indexed(catalog),
        embedder,
        settings["cache_dir"],
        split_options=settings["split"],
        given_split=_given_split(settings["splits"]),
        folds=settings["folds"],
        resamples=settings["resamples"],
        seed=settings["seed"],
        progress=counter,
    )


def make_other(settings: dict, subject: Subject) -> Subject | None:
    """The set of `against=`, or None.

    Raises:
        DermaSenseError: neither a choice of `data` nor a folder of pictures.
    """
    against = settings["against"]
    if against is None:
        return None
    if Path(against).is_dir():
        catalog = folder_of_pictures(Path(against))
    else:
        root = settings["against_root"]
        catalog = load_catalog(_choice(str(against), root))
    return Subject(_indexed(catalog), subject.embedder, subject.cache_dir, progress=counter)


def folder_of_pictures(folder: Path) -> Catalog:
    """Every picture below a folder, without labels.

    Raises:
        DermaSenseError: where there is none.
    """
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PICTURES)
    if not paths:
        raise DermaSenseError(f"against={folder}: there are no pictures in this folder.")
    names = [str(p.relative_to(folder)) for p in paths]
    frame = pd.DataFrame({"image_id": names, "path": [str(p.absolute()) for p in paths]})
    frame = frame.assign(label="not known", group=names, origin=names)
    return Catalog(folder.name, frame, ("not known",), (), "unknown", "", evaluation_only=True)


def ask(subject: Subject, settings: dict, other: Subject | None = None) -> dict[str, Any]:
    """All findings, as audit.json holds them; an audit that cannot be made says why."""
    audits = [AUDITS[name]() for name in settings["audits"]]
    if other is not None:
        audits.append(Overlap(other))
    catalog, findings = subject.catalog, {}
    for audit in audits:
        began = time.perf_counter()
        try:
            finding = audit(subject).as_dict()
        except DermaSenseError as error:
            finding = {"not_done": str(error).rstrip(".")}
        seconds = round(time.perf_counter() - began, 1)
        findings[audit.name] = {"title": audit.title, **finding, "seconds": seconds}
    return {
        "dataset": catalog.name,
        "images": len(subject.frame),
        "groups": int(subject.frame["group"].nunique()),
        "class_names": list(catalog.class_names),
        "licence": catalog.licence,
        "citation": catalog.citation,
        "note": catalog.note,
        "against": other.catalog.name if other else None,
        "embeddings": {k: settings["model"][k] for k in ("backbone", "weights", "image_size")},
        "seed": subject.seed,
        "folds": subject.folds,
        "resamples": subject.resamples,
        "audits": findings,
    }


def _choice(name: str, root: str | None) -> dict:
    """Resolved options of a choice of the group `data`, with its root where that is named."""
    from hydra import compose
    from omegaconf import OmegaConf

    choices = [path.stem for path in (conf_folder() / "data").glob("*.yaml")]
    if name not in choices:
        raise DermaSenseError(
            f"against={name} is no folder of pictures and no data set; {nearest(name, choices)}"
        )
    config = compose("audit", overrides=[f"data={name}"])
    if root is not None:
        config.data.root = str(root)
    return OmegaConf.to_container(config.data, resolve=True)


def _indexed(catalog: Catalog) -> Catalog:
    return replace(catalog, frame=catalog.frame.reset_index(drop=True))


def _given_split(file: str | None) -> pd.Series | None:
    if file is None:
        return None
    place = Path(file) / "splits.csv" if Path(file).is_dir() else Path(file)
    table = read_table(place, ("image_id", "split"))
    return table.drop_duplicates("image_id").set_index("image_id")["split"]


def _words(value: Any) -> list[str]:
    return [str(each) for each in (value if isinstance(value, list) else [value])]
