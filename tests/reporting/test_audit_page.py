"""The audit's page: a pure function of audit.json, with or without pictures."""

from PIL import Image

from dermasense.reporting.audit_page import write_page


def audit(**findings):
    return {
        "dataset": "a <set>", "images": 3, "groups": 2, "class_names": ["x", "y"], "note": "",
        "licence": "none", "against": None, "seed": 0, "folds": 5, "resamples": 100,
        "embeddings": {"backbone": "net", "weights": "none", "image_size": 32},
        "audits": {
            name: {"title": name.title(), "summary": ["It was looked at."], "rows": rows,
                   "information": {"pairs": len(rows)}, "tables": {}, "alarm": bool(rows)}
            for name, rows in findings.items()
        },
    }  # fmt: skip


ROW = {"image_id": "<1>", "other": "2", "labels": "x | y", "members": ["secret"], "rank": 1}


def test_names_are_escaped_and_long_keys_stay_in_the_json(tmp_path):
    page = write_page(tmp_path / "a.html", audit(duplicates=[ROW]), {}).read_text()
    assert "&lt;1&gt;" in page and "<1>" not in page and "a &lt;set&gt;" in page
    assert "secret" not in page and "data:image" not in page
    assert "Look at: Duplicates." in page


def test_pictures_stand_where_they_can_be_read(tmp_path):
    Image.new("RGB", (400, 300), "red").save(tmp_path / "1.png")
    pictures = {"<1>": str(tmp_path / "1.png"), "2": str(tmp_path / "absent.png")}
    page = write_page(tmp_path / "a.html", audit(duplicates=[ROW]), pictures).read_text()
    assert page.count("data:image/jpeg") == 1 and "no picture" in page and "rank 1" in page


def test_an_audit_that_was_not_made_says_why(tmp_path):
    found = audit()
    found["audits"]["leak"] = {"title": "Leak", "not_done": "no groups", "seconds": 0.1}
    page = write_page(tmp_path / "a.html", found, {}).read_text()
    assert "Not done: no groups." in page and "No audit was made. Not done: Leak." in page
    found["audits"] |= audit(duplicates=[])["audits"]
    page = write_page(tmp_path / "a.html", found, {}).read_text()
    assert "Nothing in the audits that were made asks for attention. Not done: Leak." in page
    found["audits"].pop("leak")
    page = write_page(tmp_path / "a.html", found, {}).read_text()
    assert "Nothing here asks for attention." in page
    found["audits"] |= audit(duplicates=[ROW])["audits"]
    found["audits"]["leak"] = {"title": "Leak", "not_done": "no groups", "seconds": 0.1}
    page = write_page(tmp_path / "a.html", found, {}).read_text()
    assert "Look at: Duplicates. Not done: Leak." in page


def test_many_rows_are_cut_and_say_so(tmp_path):
    rows = [ROW | {"image_id": f"i{k}"} for k in range(100)]
    page = write_page(tmp_path / "a.html", audit(duplicates=rows), {}).read_text()
    assert "The first 20 of 100" in page and "i19" in page and "i20" not in page
