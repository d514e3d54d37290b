"""An output under review whose ledger changes meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from batch.cli import main
from batch.outputs.spec import Output
from batch.review.queue import Filters, Order, Place
from batch.review.reviewed import Reviewed
from tests.support.review import make_output


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return make_output(tmp_path)


def test_a_page_that_is_open_knows_no_more_what_was_forgotten(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though its ledger would be large, and is read again only now and then."""
    monkeypatch.setattr("batch.review.reviewed.AT_ONCE_SECONDS", 0.0)
    monkeypatch.setattr("batch.review.reviewed.REST", 1e9)
    with Reviewed(Output.of(out)) as reviewed:
        _, images = reviewed.page(Order.FOLDER, Filters(), Place(), 50)
        image = next(image for image in images if image.mask == "cut.png")
        done = CliRunner().invoke(main, ["forget", str(out), image.path, "--purge"])
        assert done.exit_code == 0, done.output
        assert reviewed.image(image.row) is None
        assert len(reviewed.page(Order.FOLDER, Filters(), Place(), 50)[1]) == len(images) - 1
