"""Where things lie in a run folder."""

from dermasense.run_folder import RunFolder


def test_the_out_of_fold_table_is_the_first_repeats_where_there_are_several(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.out_of_fold == folder.predictions("oof") == tmp_path / "predictions_oof.parquet"
    (tmp_path / "repeat_0").mkdir()
    assert folder.out_of_fold == tmp_path / "repeat_0" / "predictions_oof.parquet"
