"""Faults planted in a copy of a data set, and how many of them each audit finds.

    python benchmarks/audit.py synthetic
    python benchmarks/audit.py ham10000 --root <data.root> --lesions 1500
    python benchmarks/audit.py fitzpatrick21 --root <data.root>

The first two copy pictures (one a lesion) into a temporary folder, plant duplicates (re-encoded and
shrunk, brighter, mirrored, turned, cropped), broken files, wrong labels (5 %), an attribute that
gives the label away, an attribute of dice and a slice of tinted pictures with spoilt labels, and
audit the copy. The third asks what the audit says of faults that are known: near-duplicate pairs
by `dermasense.data.duplicates`, whose rank among the neighbours is shown, and rows that the
publisher's own check calls wrongly labelled, whose rank among the doubtful labels is shown. Rows
go to benchmarks/results/audit.csv; nothing of a picture does.
"""

import argparse
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageEnhance
from result_rows import write_beside

from dermasense.auditing.copies import whitened
from dermasense.auditing.duplicates import duplicate_pairs
from dermasense.auditing.embeddings import Embedder
from dermasense.auditing.label_errors import ranked_labels
from dermasense.auditing.shortcuts import Shortcuts
from dermasense.auditing.slices import Slices
from dermasense.auditing.subject import Subject
from dermasense.auditing.unreadable import Unreadable
from dermasense.data.catalog import Catalog
from dermasense.data.sources import fitzpatrick21, ham10000, synthetic
from dermasense.evaluation.bootstrap import wilson
from dermasense.files import read_csv, write_text
from dermasense.provenance import commit, machine

PAGE = Path(__file__).resolve().parent.parent / "docs" / "audit.md"
MARKS = "<!-- numbers: python benchmarks/audit.py -->", "<!-- end -->"
RESULTS = Path(__file__).parent / "results" / "audit.csv"
COLUMNS = (
    "dataset finder planted n n_planted n_found n_right recall recall_low recall_high precision "
    "precision_low precision_high median_rank ranks note command commit machine"
).split()
FLIP, TURN = Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_90


def cropped(picture: Image.Image, share: float, rng: np.random.Generator) -> Image.Image:
    """A window of this share of each side, blown up to the whole."""
    width, height = (round(share * side) for side in picture.size)
    left = int(rng.integers(picture.width - width + 1))
    top = int(rng.integers(picture.height - height + 1))
    window = picture.crop((left, top, left + width, top + height))
    return window.resize(picture.size, Image.Resampling.BICUBIC)


COPIES = {
    "re-encoded and shrunk": lambda p, rng: p.resize([round(0.8 * side) for side in p.size]),
    "brighter": lambda p, rng: ImageEnhance.Brightness(p).enhance(1.25),
    "mirrored": lambda p, rng: p.transpose(FLIP),
    "turned by 90": lambda p, rng: p.transpose(TURN),
    "cropped to 85 %": lambda p, rng: cropped(p, 0.85, rng),
    "cropped to 70 %": lambda p, rng: cropped(p, 0.70, rng),
    "cropped to 85 % and mirrored": lambda p, rng: cropped(p, 0.85, rng).transpose(FLIP),
}
BREAKS = {
    "cut to 60 %": lambda data: data[: len(data) * 6 // 10],
    "cut in the header": lambda data: data[:100],
    "zero bytes": lambda data: b"",
    "text": lambda data: b"404 not found\n" * 20,
    "absent": lambda data: None,
}
EACH = 40  # planted faults of a kind


class Planter:
    """Writes pictures into a folder and keeps the table of them."""

    def __init__(self, catalog: Catalog, folder: Path, seed: int) -> None:
        self.catalog, self.folder = catalog, folder
        self.rng = np.random.default_rng(seed)
        self.rows: list[dict] = []

    def add(self, name: str, label: str, data: bytes | Image.Image | None) -> None:
        """One image, in a group of its own."""
        path = self.folder / f"{name}.jpg"
        if isinstance(data, bytes):
            path.write_bytes(data)
        elif data is not None:
            data.save(path, quality=75)
        row = {"image_id": name, "path": str(path), "label": label, "group": name}
        self.rows.append(row | {"origin": name})

    def subject(self, embedder: Embedder, **attributes) -> Subject:
        """What is audited."""
        frame = pd.DataFrame(self.rows).assign(**attributes)
        catalog = replace(self.catalog, name="planted", frame=frame, attributes=tuple(attributes))
        return Subject(catalog, embedder, str(self.folder / "cache"))


def one_a_lesion(catalog: Catalog, lesions: int) -> pd.DataFrame:
    """The first image of each lesion, at most so many, drawn at random."""
    frame = catalog.frame.drop_duplicates("group")
    return frame.sample(min(lesions, len(frame)), random_state=0).reset_index(drop=True)


def planted_files(catalog: Catalog, lesions: int, embedder: Embedder) -> list[dict]:
    """Duplicates, broken files, wrong labels and telling attributes in one copy."""
    chosen = one_a_lesion(catalog, lesions)
    with tempfile.TemporaryDirectory() as folder:
        planter = Planter(catalog, Path(folder), 0)
        rng = planter.rng
        names = list(catalog.class_names)
        wrong = set(rng.permutation(len(chosen))[: round(0.05 * len(chosen))].tolist())
        for i, row in chosen.iterrows():
            others = [name for name in names if name != row["label"]]
            label = str(rng.choice(others)) if i in wrong else row["label"]
            planter.add(f"o{i}", label, Path(row["path"]).read_bytes())
        truth: dict[str, list[tuple[str, str]]] = {}
        order = iter(rng.permutation(len(chosen)))
        for kind, change in COPIES.items():
            for _ in range(EACH):
                i = int(next(order))
                with Image.open(chosen["path"][i]) as picture:
                    copy = change(picture.convert("RGB"), rng)
                planter.add(f"c{i}", planter.rows[i]["label"], copy)
                truth.setdefault(kind, []).append((f"o{i}", f"c{i}"))
        broken: dict[str, list[str]] = {}
        for kind, spoil in BREAKS.items():
            for i in rng.permutation(len(chosen))[:EACH]:
                name = f"{'b' + kind.replace(' ', '')}{i}"
                planter.add(name, chosen["label"][i], spoil(Path(chosen["path"][i]).read_bytes()))
                broken.setdefault(kind, []).append(name)
        truthful = [row["label"] if rng.random() < 0.8 else "x" for row in planter.rows]
        dice = rng.integers(0, 6, len(truthful))
        subject = planter.subject(embedder, gives_away=truthful, dice=dice)
        rows = _broken(subject, broken) + _copies(subject, truth)
        rows += _labels(
            subject, {f"o{i}" for i in wrong}, {c for t in truth.values() for _, c in t}
        )
        return rows + _attributes(subject)


def planted_slice(catalog: Catalog, lesions: int, embedder: Embedder) -> list[dict]:
    """Tinted pictures, an eighth of all, six in ten of which get a label at random."""
    chosen = one_a_lesion(catalog, lesions)
    with tempfile.TemporaryDirectory() as folder:
        planter = Planter(catalog, Path(folder), 1)
        rng, names = planter.rng, list(catalog.class_names)
        inside = set(rng.permutation(len(chosen))[: len(chosen) // 8].tolist())
        for i, row in chosen.iterrows():
            data, label = Path(row["path"]).read_bytes(), row["label"]
            if i in inside:
                with Image.open(row["path"]) as picture:
                    pixels = np.asarray(picture.convert("RGB"), float) * (0.75, 0.85, 1.25)
                data = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
                label = str(rng.choice(names)) if rng.random() < 0.6 else label
            planter.add(f"o{i}", label, data)
        found = Slices()(planter.subject(embedder))
        worse = [row for row in found.rows if row["high"] is not None and row["high"] < 0]
        members = {name for row in worse for name in row["members"]}
        planted = {f"o{i}" for i in inside}
        return [
            _row(
                "slices", "tinted pictures, six in ten labels drawn at random", len(chosen),
                planted, members, note=f"{len(worse)} of {len(found.rows)} slices called worse",
            )
        ]  # fmt: skip


def _broken(subject: Subject, broken: dict[str, list[str]]) -> list[dict]:
    found = {row["image_id"] for row in Unreadable()(subject).rows}
    n, every = len(subject.frame), {name for names in broken.values() for name in names}
    rows = [_row("unreadable", kind, n, set(names), found & set(names) | found - every)
            for kind, names in broken.items()]  # fmt: skip
    return [*rows, _row("unreadable", "all kinds", n, every, found)]


def _copies(subject: Subject, truth: dict[str, list[tuple[str, str]]]) -> list[dict]:
    ids = subject.frame["image_id"]
    pairs = duplicate_pairs(subject)
    found = {tuple(sorted((ids[i], ids[j]))) for i, j in pairs[["first", "second"]].to_numpy()}
    every = {tuple(sorted(pair)) for kind in truth.values() for pair in kind}
    n, rows = len(subject.readable), []
    for kind, planted in truth.items():
        own = {tuple(sorted(pair)) for pair in planted}
        rows.append(_row("duplicates", kind, n, own, found & own))
    note = "copies that were there before the planting count as wrong"
    rows.append(_row("duplicates", "all kinds", n, every, found, note=note))
    for row in rows[:-1]:  # what was found beside the planted has no kind
        row |= dict.fromkeys(("precision", "precision_low", "precision_high"))
    return rows


def _labels(subject: Subject, wrong: set[str], copies: set[str]) -> list[dict]:
    order, _, candidates = ranked_labels(subject)
    ids = subject.answers.frame["image_id"].to_numpy()
    # A copy carries the label of its original: it is no mistake of its own, nor right.
    ranked = [name for name in ids[order] if name not in copies]
    found = [name for name in ids[order[:candidates]] if name not in copies]
    first = ranked[: len(wrong)]
    place = {name: rank for rank, name in enumerate(ranked, start=1)}
    ranks = sorted(place[name] for name in wrong)
    right = (subject.answers.logits.argmax(1) == subject.answers.labels).mean()
    note = f"the probe agrees with {right:.3f} of the planted labels"
    planted = "5 % of labels drawn wrong"
    n = len(ranked)
    return [
        _row("label_errors", planted, n, wrong, set(found), ranks, f"candidates; {note}"),
        _row("label_errors", planted, n, wrong, set(first), ranks,
             f"the first {len(wrong)}; chance {len(wrong) / n:.3f}"),
    ]  # fmt: skip


def _attributes(subject: Subject) -> list[dict]:
    rows = {row["attribute"]: row for row in Shortcuts()(subject).rows}
    called = {name for name, row in rows.items() if row["verdict"] == "like a leak"}
    return [
        _row(
            "shortcuts", f"{name}: {what}", len(subject.probed),
            {name} if name == "gives_away" else set(), called & {name},
            note=f"balanced accuracy {rows[name]['balanced_accuracy']} "
            f"({rows[name]['low']} to {rows[name]['high']}), verdict: {rows[name]['verdict']}",
        )
        for name, what in (("gives_away", "the label in 8 of 10 rows"), ("dice", "a die"))
    ]  # fmt: skip


def known_faults(root: str, cache: str, embedder: Embedder) -> list[dict]:
    """fitzpatrick21: where the known pairs and the wrongly labelled rows rank."""
    catalog = fitzpatrick21.catalog(root, cache)
    subject = Subject(catalog, embedder, cache)
    frame, n = subject.frame, len(subject.frame)
    known = set()
    for _, rows in frame.groupby("group").groups.items():
        known |= {(int(i), int(j)) for i in rows for j in rows if i < j}
    pairs = {(int(i), int(j)) for i, j in duplicate_pairs(subject)[["first", "second"]].to_numpy()}
    vectors = whitened(subject.embeddings)
    ranks = []
    for i, j in sorted(known):
        both = [(vectors @ vectors[a] > vectors[a] @ vectors[b]).sum() for a, b in ((i, j), (j, i))]
        ranks.append(
            int(min(both))
        )  # the picture itself is before its neighbours: 1 is the nearest
    order, _, candidates = ranked_labels(subject)
    ids = subject.answers.frame["image_id"].to_numpy()[order]
    wrong = set(frame["image_id"][frame["qc"] == "3 Wrongly labelled"])
    place = sorted(rank for rank, name in enumerate(ids, start=1) if name in wrong)
    near = sum(rank <= 6 for rank in ranks)
    right = float((subject.answers.logits.argmax(1) == subject.answers.labels).mean())
    return [
        _row("duplicates", "known near-duplicate pairs", n, known, pairs, sorted(ranks),
             f"pairs of dermasense.data.duplicates, other views of a scene among them; {near} of "
             f"{len(known)} are among the 6 nearest by embedding; ranks of neighbours")
        | {"ranks": ""},
        _row("label_errors", "qc 3 Wrongly labelled", n, wrong, set(ids[:candidates]), place,
             f"ranks among {n} labels; the probe is right on {right:.3f}"),
    ]  # fmt: skip


def _row(finder: str, planted: str, n: int, truth: set, found: set, ranks=(), note="") -> dict:
    right = len(truth & found)
    row = {"finder": finder, "planted": planted, "n": n, "n_planted": len(truth)}
    row |= {"n_found": len(found), "n_right": right, "note": note}
    for name, of in (("recall", len(truth)), ("precision", len(found))):
        if of:
            low, high = wilson(right / of, of)
            row |= {name: right / of, f"{name}_low": low, f"{name}_high": high}
    if len(ranks):
        row |= {"median_rank": float(np.median(ranks))}
        row |= {"ranks": " ".join(map(str, ranks)) if len(ranks) <= 20 else ""}
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}


def page_with_table(page: str) -> str:
    """docs/audit.md with the table between its two marks made from the committed rows."""
    lines = ["| data | finder | planted or known | found | recall | precision |", "|---" * 6 + "|"]
    for row in read_csv(RESULTS):
        if row["finder"] == "unreadable" and row["planted"] != "all kinds":
            continue  # all alike
        found = f"{row['n_right']} of {row['n_planted']}"
        planted = row["planted"]
        if row["finder"] == "label_errors":  # which of the ranking counts as found
            planted += f" ({row['note'].split(';')[0]})"
        cells = [row["dataset"], row["finder"], planted, found]
        cells += [_with_ends(row, name) for name in ("recall", "precision")]
        lines.append(f"| {' | '.join(cells)} |")
    before, _, rest = page.partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    return "\n".join([before + MARKS[0], "", *lines, "", MARKS[1] + after])


def _with_ends(row: dict, name: str) -> str:
    if not row[name]:
        return "-"
    value, low, high = (float(row[f"{name}{end}"]) for end in ("", "_low", "_high"))
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", choices=("synthetic", "ham10000", "fitzpatrick21"))
    parser.add_argument("--root", default="outputs/cache/synthetic")
    parser.add_argument("--lesions", type=int, default=1500)
    parser.add_argument("--plant", choices=("files", "slice", "all"), default="all")
    parser.add_argument("--cache", default=os.environ.get("DERMASENSE_CACHE", "outputs/cache"))
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    embedder = Embedder.of(backbone="tf_efficientnet_lite0", weights="package", image_size=224)
    if asked.dataset == "fitzpatrick21":
        found = known_faults(asked.root, asked.cache, embedder)
    else:
        if asked.dataset == "synthetic":
            catalog = synthetic.catalog(asked.root, n_lesions=asked.lesions)
        else:
            catalog = ham10000.catalog(asked.root)
        found = []
        if asked.plant in ("files", "all"):
            found += planted_files(catalog, asked.lesions, embedder)
        if asked.plant in ("slice", "all"):
            found += planted_slice(catalog, asked.lesions, embedder)
    command = f"python benchmarks/audit.py {asked.dataset}"
    command += "" if asked.dataset == "synthetic" else " --root DIR"
    command += "" if asked.dataset == "fitzpatrick21" else f" --lesions {asked.lesions}"
    about = {"command": command, "commit": commit(), "machine": machine()}
    new = [{"dataset": asked.dataset, **row, **about} for row in found]
    write_beside(asked.out, new, COLUMNS, same=("dataset", "finder"))
    print(pd.DataFrame(new, columns=COLUMNS[1:15]).to_string())
    if asked.out == RESULTS and PAGE.exists():
        write_text(PAGE, page_with_table(PAGE.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
