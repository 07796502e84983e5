"""The page of measurements is the rendering of its rows and notes: nobody edits it by hand."""

from benchmarks.results import PAGE, page


def test_page_is_made_of_rows_and_notes() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m benchmarks.results --keep"
