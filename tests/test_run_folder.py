"""Where things lie in a run folder."""

from dermasense.run_folder import RunFolder, bundle_in, run_around


def test_the_out_of_fold_table_is_the_first_repeats_where_there_are_several(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.out_of_fold == folder.predictions("oof") == tmp_path / "predictions_oof.parquet"
    (tmp_path / "repeat_0").mkdir()
    assert folder.out_of_fold == tmp_path / "repeat_0" / "predictions_oof.parquet"


def test_a_run_and_its_bundle_tell_of_each_other(tmp_path):
    run, alone = tmp_path / "run", tmp_path / "alone"
    for folder in (run / "bundle", alone):
        folder.mkdir(parents=True)
    assert bundle_in(run) == bundle_in(run / "bundle") == run / "bundle"
    assert run_around(run) == run_around(run / "bundle") == run
    assert bundle_in(alone) == run_around(alone) == alone


def test_a_run_may_itself_be_called_bundle(tmp_path):
    run = tmp_path / "bundle"
    (run / "bundle").mkdir(parents=True)
    assert run_around(run) == run_around(run / "bundle") == run
