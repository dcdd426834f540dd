"""`python -m dermasense.audit`: what is in a data set, and what is wrong with it.

Research software, not a medical device.
"""

from pathlib import Path
from typing import Any

from dermasense.cli import tool_command

TEXTS = ("out", "against", "against_root", "splits", "data.root", "data.file")
TYPED = {"audit.write": "write", "data.splits": "splits", "overlap": "against"}


def main() -> None:
    """Runs what the command line asks for; see `--help`."""
    tool_command(start, "audit", texts=TEXTS, lists=("audits",), renamed=TYPED)


def start(settings: dict) -> None:
    """Asks every question, writes audit.json and audit.html, and prints the summaries."""
    # torch and scikit-learn take seconds to import: --help need not wait for them.
    from dermasense.auditing.asking import ask, check_settings, make_other, make_subject
    from dermasense.auditing.writing import pictures_of, write_catalog
    from dermasense.files import refuse_to_write_over, write_json
    from dermasense.reporting.audit_page import write_page

    check_settings(settings)
    out = Path(settings["out"])
    if settings["write"] == "catalog":
        table = Path(*(settings["data"].get(key) or "" for key in ("root", "file")))
        refuse_to_write_over([table, settings["splits"]], [out / "catalog.csv"])
    subject = make_subject(settings)
    other = make_other(settings, subject)
    audit = ask(subject, settings, other)
    if settings["write"] == "catalog":
        audit["catalog"] = write_catalog(subject, out / "catalog.csv")
    write_json(out / "audit.json", audit)
    pictures = pictures_of(subject, other) if settings["report"]["images"] else {}
    write_page(out / "audit.html", audit, pictures)
    _show(audit, out)


def _show(audit: dict[str, Any], out: Path) -> None:
    for finding in audit["audits"].values():
        print(f"\n{'! ' if finding.get('alarm') else ''}{finding['title']}")
        for sentence in finding.get("summary", [f"Not done: {finding.get('not_done')}."]):
            print(f"  {sentence}")
    if "catalog" in audit:
        print(f"\n{audit['catalog']['sentence']}")
    print(f"\n{out / 'audit.json'}\n{out / 'audit.html'}")


if __name__ == "__main__":
    main()
