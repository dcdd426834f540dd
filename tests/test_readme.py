"""README and docs: numbers come from committed tables, commands and links are real."""

import itertools
import re
import shlex
from pathlib import Path

import pytest
import readme_table
from hydra.core.override_parser.overrides_parser import OverridesParser

from dermasense.cluster.words import launcher_word
from dermasense.hydra_errors import compose_or_explain

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_table_of_results_is_what_the_tables_give():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme_table.readme_with_table(readme) == readme


def test_a_row_says_what_it_costs_and_where_a_figure_of_others_is_from():
    rows = readme_table.table().splitlines()
    many = [row for row in rows if "`ham_many" in row]
    assert many and all("; 3 networks, 54 passes, 45 GFLOPs |" in row for row in many)
    others = {row["system"]: row["source"] for row in readme_table.published()}
    for system in readme_table.PUBLISHED:
        (row,) = (row for row in rows if system in row)
        source = others[system]
        assert (f"({source})" if source.startswith("http") else "source not found again") in row


def test_what_the_detector_warns_of_is_what_its_table_says():
    rows = readme_table.read_csv(readme_table.RESULTS / "ood.csv")
    used = {row["out"]: row for row in rows if row["method"] == "residual (used)"}
    words = " ".join((ROOT / "docs" / "use.md").read_text(encoding="utf-8").split())
    share = {name: f"{100 * float(row['warned_out']):.0f} %" for name, row in used.items()}
    drawn = ("blank", "noise", "screenshots (drawn)", "like X-rays (drawn)")
    assert {share[name] for name in drawn} == {"100 %"} and "of 100 % of blank pictures" in words
    for said in (
        f"{share['sample pictures']} of everyday pictures",
        f"{share['faces']} of faces",
        f"{share['clinical photographs']} of clinical photographs",
        f"{100 * float(used['faces']['warned_in']):.0f} % of its own test pictures",
        *(f"`{row['experiment']}`" for row in used.values()),
    ):
        assert said in words, said


def test_what_the_originals_recipes_cost_is_what_the_table_says():
    rows = readme_table.read_csv(readme_table.RESULTS / "ham10000.csv")
    grouped = {row["experiment"]: row for row in rows if row["protocol"] == "grouped"}
    made = [grouped[name] for name in ("b1_se_lite", "b4_weighted_lite")]
    first, second = (round(float(row["seconds"]) / 60) for row in made)
    words = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"`b1_se_lite` and `b4_weighted_lite`: {first} and {second} minutes on one core" in words
    assert all(row["machine"].endswith("1 cores") for row in made)


def commands() -> list[list[str]]:
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("`", "\n")
        for line in text.splitlines():
            words = line.split("#")[0].split()
            if words[1:3] == ["-m", "dermasense.train"] and "resume=" not in line:
                words = shlex.split(line, comments=True)
                found.append([launcher_word(word) for word in words[3:] if word[:2] != "--"])
    return found


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_composes(words):
    for trial in trials_of(words):
        assert compose_or_explain("train", trial).phases


def trials_of(words: list[str]) -> list[list[str]]:
    """Every trial that a multirun of these words would run; the words alone where none sweeps."""
    parsed = OverridesParser.create().parse_overrides(words)
    return [list(trial) for trial in itertools.product(*map(_values, parsed))]


def _values(override) -> list[str]:
    if not override.is_sweep_override():
        return [override.input_line]
    if override.is_interval_sweep():
        values = [override.value().start]
    else:
        values = override.sweep_string_iterator()
    return [f"{override.get_key_element()}={value}" for value in values]


def test_the_trials_of_a_command_are_all_its_combinations():
    assert trials_of(["loss.gamma=0,1", "phases=a,b", "head.hidden=[2,3]"]) == [
        ["loss.gamma=0", "phases=a", "head.hidden=[2,3]"],
        ["loss.gamma=0", "phases=b", "head.hidden=[2,3]"],
        ["loss.gamma=1", "phases=a", "head.hidden=[2,3]"],
        ["loss.gamma=1", "phases=b", "head.hidden=[2,3]"],
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_make_help_names_every_target():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in ("setup", "demo", "test", "check", "help"):
        assert re.search(rf"^{target}:.*##", makefile, re.MULTILINE), target
