"""One folder of bad input for all tests of a process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bad_input.session import Session


@pytest.fixture(scope="session")
def session(tmp_path_factory: pytest.TempPathFactory, small_text: Path) -> Iterator[Session]:
    session = Session(tmp_path_factory.mktemp("bad"), small_text)
    try:
        yield session
    finally:
        session.close()
