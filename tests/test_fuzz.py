"""What nobody should give is taken or refused in a sentence; and the harness sees what is not."""

import time
from pathlib import Path

import pytest

from dermasense.errors import DermaSenseError


@pytest.fixture(scope="module")
def fuzz():
    import fuzz

    return fuzz


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "examples"),
    [("pictures", 150), ("tables", 40), ("predictions", 60), ("bundles", 16), ("options", 16)],
)
def test_every_input_is_taken_or_refused(fuzz, work, monkeypatch, target, examples):
    monkeypatch.setattr("sys.argv", ["fuzz"])
    place = work / target
    place.mkdir()
    for number in range(examples):
        how, said = fuzz.attempt(target, number, place, limit=60)
        assert how in ("taken", "refused"), f"fuzz.py --targets {target} --only {number}\n{said}"


@pytest.mark.parametrize(
    ("call", "how"),
    [
        (lambda: None, "taken"),
        (lambda: 1 / 0, "traceback"),
        (lambda: time.sleep(5), "hang"),
        (lambda: exit(2), "refused"),
        (lambda: exit(1), "traceback"),
    ],
)
def test_a_fault_is_seen(fuzz, tmp_path, monkeypatch, call, how):
    monkeypatch.setitem(fuzz.TARGETS, "pictures", lambda rng, work: call())
    assert fuzz.attempt("pictures", 0, tmp_path, limit=1)[0] == how


@pytest.mark.parametrize(("words", "how"), [("one sentence.", "refused"), ("a\nb", "traceback")])
def test_a_refusal_is_one_sentence(fuzz, tmp_path, monkeypatch, words, how):
    def refuse(rng, work):
        raise DermaSenseError(words)

    monkeypatch.setitem(fuzz.TARGETS, "pictures", refuse)
    assert fuzz.attempt("pictures", 0, tmp_path)[0] == how


def test_a_process_that_dies_is_a_crash_and_the_next_goes_on(fuzz, tmp_path, monkeypatch):
    dying = tmp_path / "dying.py"
    dying.write_text(
        "import json, os, signal, sys\n"
        "_, _, _, _, first, last, _, said = sys.argv\n"
        "with open(said, 'a') as notes:\n"
        "    for number in range(int(first), int(last)):\n"
        "        print(json.dumps({'begun': number}), file=notes, flush=True)\n"
        "        if number == 3:\n"
        "            os.kill(os.getpid(), signal.SIGSEGV)\n"
        "        end = {'ended': number, 'how': 'taken', 'said': '', 'peak_mb': 1}\n"
        "        print(json.dumps(end), file=notes, flush=True)\n"
    )
    monkeypatch.setattr(fuzz, "SCRIPT", str(dying))
    found = fuzz.fuzz("pictures", 6)
    assert (found["tried"], found["crashes"]) == (6, 1)
    assert [fault["ended"] for fault in found["faults"]] == [3]


def test_rows_of_other_targets_stay(fuzz, tmp_path):
    table = tmp_path / "fuzz.csv"
    fuzz.write_rows(table, [{"target": "a", "tried": 1}, {"target": "b", "tried": 2}], "first")
    fuzz.write_rows(table, [{"target": "b", "tried": 3}], "second")
    rows = fuzz.read_csv(table)
    assert [(row["target"], row["tried"], row["command"]) for row in rows] == [
        ("a", "1", "first"),
        ("b", "3", "second"),
    ]


def test_the_committed_tables_hold_no_fault(fuzz):
    results = Path(__file__).resolve().parents[1] / "benchmarks" / "results"
    rows = fuzz.read_csv(results / "fuzz.csv")
    assert {*fuzz.TARGETS} < {row["target"] for row in rows}
    for row in rows:
        assert {row["crashes"], row["hangs"], row["tracebacks"]} == {"0"}, row
    assert {row["bit_equal"] for row in fuzz.read_csv(results / "kill.csv")} == {"True"}
