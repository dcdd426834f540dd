"""audit.html: the answers of an audit in one file for any screen, no script and no network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dermasense.files import write_text
from dermasense.reporting.markup import Html, count, document, el, joined, table
from dermasense.reporting.parts.opening import DEVICE
from dermasense.reporting.thumbnail import thumbnail

SIDE = 160  # px of a thumbnail
SHOWN, PICTURED = 20, 18  # rows of a table, and of those the ones with thumbnails
HIDDEN = ("members",)  # keys that audit.json alone holds
# Values that need no words below a picture.
USUAL = {"turn": "as it is", "share": 1.0, "split": "None"}
MORE_STYLE = """
.pair { display: flex; gap: 2px; }
.pair img { flex: 1; min-width: 0; height: 7rem; object-fit: contain; }
section > p { overflow-wrap: anywhere; }
"""


def write_page(path: Path, audit: Mapping[str, Any], pictures: Mapping[str, str]) -> Path:
    """Write the page of an audit.

    Args:
        path: the HTML file.
        audit: as audit.json holds it.
        pictures: path of a picture by image_id (of the other set: "<its name>/<image_id>"); empty
            for a page without thumbnails.

    Returns:
        `path`.
    """
    findings = audit["audits"]
    title = f"Audit of {audit['dataset']}"
    nav = el(
        "nav",
        *[el("a", f["title"], href=f"#{name}") for name, f in findings.items()],
        aria_label="Contents",
    )
    sections = [_section(name, f, pictures, audit) for name, f in findings.items()]
    main = el(
        "main", el("h1", title), el("p", DEVICE, cls="device"), _opening(audit), nav, *sections
    )
    write_text(path, document(title, joined([main, _footer(audit)]), MORE_STYLE))
    return path


def _opening(audit: Mapping[str, Any]) -> Html:
    findings = audit["audits"]
    cards = [
        (
            "Images",
            f"{audit['images']:,}",
            f"in {count(len(audit['class_names']), 'class', 'classes')}",
        ),
        ("Groups", f"{audit['groups']:,}", "lesions, or what must not cross a split"),
    ]
    for name, label, key, words in (
        ("unreadable", "Broken files", "unreadable", "cannot be decoded in full"),
        ("duplicates", "Copies", "pairs", "pairs that show the same picture"),
        ("label_errors", "Labels to look at", "candidates", "a probe speaks against them"),
        ("slices", "Weak slices", "worse", "worse than their classes explain"),
    ):
        information = findings.get(name, {}).get("information")
        if information is not None:
            cards.append((label, f"{information[key]:,}", words))
    items = [el("li", el("span", a), el("b", b), el("small", c)) for a, b, c in cards]
    alarms = [f["title"] for f in findings.values() if f.get("alarm")]
    left_out = [f["title"] for f in findings.values() if "not_done" in f]
    if alarms:
        words = f"Look at: {', '.join(alarms)}."
    elif not left_out:
        words = "Nothing here asks for attention."
    elif len(left_out) < len(findings):
        words = "Nothing in the audits that were made asks for attention."
    else:
        words = "No audit was made."
    if left_out:
        words += f" Not done: {', '.join(left_out)}."
    note = [el("p", audit["note"], cls="warning")] if audit["note"] else []
    return joined([*note, el("ul", *items, cls="cards"), el("p", words)])


def _section(
    name: str, finding: Mapping[str, Any], pictures: Mapping[str, str], audit: Mapping[str, Any]
) -> Html:
    head = el("h2", finding["title"], id=name)
    if "not_done" in finding:
        return el("section", head, el("p", f"Not done: {finding['not_done']}.", cls="soft"))
    body = [el("p", sentence) for sentence in finding["summary"]]
    tables = [_table(rows, caption) for caption, rows in finding["tables"].items() if rows]
    if tables:
        body.append(el("div", *tables, cls="plots"))
    rows = finding["rows"]
    far = f"{audit['against']}/" if name == "overlap" else ""
    cases = [_case(row, pictures, far) for row in rows[:PICTURED] if "image_id" in row]
    if any(cases):
        body.append(el("div", *cases, cls="pictures"))
    if rows:
        left = (
            f" The first {SHOWN} of {len(rows):,}; audit.json has all." if len(rows) > SHOWN else ""
        )
        body.append(_table(rows[:SHOWN], f"All that was found, the worst first.{left}"))
    return el("section", head, *body)


def _table(rows: list[dict], caption: str) -> Html:
    keys = [key for key in rows[0] if key not in HIDDEN]
    words = [i for i, key in enumerate(keys) if any(isinstance(row.get(key), str) for row in rows)]
    cells = [[_cell(key, row.get(key)) for key in keys] for row in rows]
    return table([key.replace("_", " ") for key in keys], cells, caption=caption, words=words)


def _cell(key: str, value: Any) -> str:
    if value is None:
        return "-"
    if key == "share" and isinstance(value, float):
        return f"{100 * value:.1f} %"
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _case(row: Mapping[str, Any], pictures: Mapping[str, str], far: str) -> Html | None:
    """One or two thumbnails with what is said about them; None where there is no picture."""
    places = [pictures.get(row["image_id"])]
    if row.get("other") is not None:
        places.append(pictures.get(f"{far}{row['other']}"))
    sources = [thumbnail(place, SIDE) for place in places]
    if not any(sources):
        return None
    shown = [
        el("img", src=source, alt=str(name), loading="lazy") if source else el("p", "no picture")
        for source, name in zip(sources, (row["image_id"], row.get("other")), strict=False)
    ]
    words = ", ".join(
        f"{key.replace('_', ' ')} {_cell(key, value)}"
        for key, value in row.items()
        if key not in (*HIDDEN, "image_id", "other", "groups", "origin")
        and value not in ("", None, USUAL.get(key))
    )
    ids = " and ".join(str(row[key]) for key in ("image_id", "other") if row.get(key) is not None)
    caption = el("figcaption", words, el("br"), el("small", ids))
    return el("figure", el("div", *shown, cls="pair"), caption)


def _footer(audit: Mapping[str, Any]) -> Html:
    how = audit["embeddings"]
    words = (
        f"Embeddings: {how['backbone']} at {how['image_size']} px, weights {how['weights']}, "
        f"frozen. Probe: logistic regression, {audit['folds']} folds. Intervals: 95 % unless "
        f"said otherwise, bootstrap over groups, {audit['resamples']:,} resamples, seed "
        f"{audit['seed']}. Licence of the images: {audit['licence']}."
    )
    return el("footer", el("p", el("small", words)), el("p", el("small", DEVICE)))
