"""A run that another version began: told, not gone on with as if nothing differed."""

import pytest
import yaml

from dermasense import cross_validate
from dermasense.files import read_json, write_json
from tests.test_train_command import TINY

CUT = (*TINY, "debug=limit", "logger=none")


@pytest.fixture(autouse=True)
def another_commit(monkeypatch):
    """The runs of these tests are of another commit than the one that goes on."""
    monkeypatch.setattr("dermasense.older_run.commit", lambda: "fedcba9")


@pytest.fixture
def cut(command, tmp_path):
    """A run folder as a kill just before the end leaves it."""
    run = tmp_path / "run"
    assert command(f"out={run}", *CUT)[0] == 0
    (run / "finished.json").unlink()
    return run


def changed(run, change) -> None:
    settings = yaml.safe_load((run / "config.yaml").read_text())
    change(settings)
    (run / "config.yaml").write_text(yaml.safe_dump(settings))


def test_a_run_of_this_version_goes_on_and_clears_what_a_kill_left(command, cut):
    halves = [cut / ".metrics.json.1.tmp", cut / "checkpoints" / ".last.ckpt.1.tmp"]
    for half in halves:
        half.write_bytes(b"half")
    assert command(f"resume={cut}")[0] == 0
    assert (cut / "finished.json").is_file() and not any(half.exists() for half in halves)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("pixels"), "options differ: pixels"),
        (lambda s: s["loss"].update(sharpness=1), "options differ: loss.sharpness"),
    ],
)
def test_an_earlier_run_is_named_with_its_version(command, cut, change, words):
    changed(cut, change)
    facts = read_json(cut / "environment.json")
    facts |= {"packages": {"dermasense": "0.0.1"}, "commit": "abc1234"}
    write_json(cut / "environment.json", facts)
    before = (cut / "checkpoints" / "last.ckpt").read_bytes()
    code, _, err = command(f"resume={cut}")
    assert code == 2 and err.count("error: ") == 1 and "Traceback" not in err
    assert words in err and "0.0.1 commit abc1234" in err and "begin the run anew" in err
    assert (cut / "checkpoints" / "last.ckpt").read_bytes() == before


def test_an_option_that_is_gone_is_named(command, cut):
    facts = read_json(cut / "environment.json")
    write_json(cut / "environment.json", facts | {"overrides": [*facts["overrides"], "sharpen=1"]})
    code, _, err = command(f"resume={cut}")
    assert code == 2 and "sharpen" in err and "begin the run anew" in err


def test_a_finished_run_of_an_earlier_version_is_still_read(command, cut):
    assert command(f"resume={cut}")[0] == 0
    changed(cut, lambda settings: settings.pop("pixels"))
    code, out, _ = command(f"resume={cut}")
    assert code == 0 and "is finished" in out


def test_words_that_no_longer_compose_do_not_stop_a_run_of_this_very_commit(
    command, cut, monkeypatch
):
    monkeypatch.setattr("dermasense.older_run.commit", lambda: "abc1234")
    facts = read_json(cut / "environment.json")
    facts |= {"commit": "abc1234", "overrides": [*facts["overrides"], "experiment=mine"]}
    write_json(cut / "environment.json", facts)
    assert command(f"resume={cut}")[0] == 0


def test_folds_of_an_earlier_version_are_named(command, call_command, tmp_path):
    place = tmp_path / "cv"
    assert call_command(cross_validate, f"out={place}", "folds=2", *CUT)[0] == 0
    (place / "fold_1" / "finished.json").unlink()
    plan = read_json(place / "cross_validation.json")
    plan["settings"].pop("pixels")
    write_json(place / "cross_validation.json", plan)
    code, _, err = call_command(cross_validate, f"resume={place}")
    assert code == 2 and "options differ: pixels" in err
    (place / "fold_1" / "finished.json").write_text(
        (place / "fold_0" / "finished.json").read_text()
    )
    assert call_command(cross_validate, f"resume={place}")[0] == 0  # all finished: gathered again


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("config.yaml", "name: [quick", "is damaged: no YAML"),
        ("config.yaml", "", "is damaged: it holds no options"),
        ("config.yaml", "a: !!python/object/apply:print ['code ran']", "is damaged: no YAML"),
        ("environment.json", "{", "is damaged: no JSON"),
        ("environment.json", "{}", "is damaged: it does not tell the command"),
        ("environment.json", None, "is damaged: it does not tell the command"),
    ],
)
def test_a_damaged_run_folder_is_one_sentence(command, cut, name, text, words):
    (cut / name).unlink()
    if text is not None:
        (cut / name).write_text(text)
    code, out, err = command(f"resume={cut}")
    assert code == 2 and err.count("\n") == 1 and f"{name} {words}" in err, err
    assert "code ran" not in out
