"""What is told of a drive counts everything, however much of it is listed."""

from backupman.engine import reconcile_report
from backupman.engine.comparing import Finding, Found
from backupman.engine.reconcile_report import Item, Review, sentence


def test_what_could_be_put_right_is_counted_beyond_what_is_listed() -> None:
    review = Review("Away", right=1)
    for number in range(reconcile_report._TOLD + 2):
        review.tell(Item(Found(Finding.ABSENT, f"shop/{number}", "its upload has failed")))
    assert len(review.items) == reconcile_report._TOLD
    assert review.mendable
    assert sentence(review) == "Away: 1 copy is as recorded; of 1,002 more the upload has failed"
