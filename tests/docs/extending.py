"""The page on parts of one's own as the tests see it: its files, and its commands."""

import mailbox
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from email.message import EmailMessage
from pathlib import Path

from tests.conftest import REPOSITORY

PAGE = (REPOSITORY / "docs" / "extending.md").read_text(encoding="utf-8")
FILE = re.compile(r"`([\w/]+\.(?:py|yaml))`:\n\n```\w+\n(.*?)```", re.DOTALL)
SENTENCES = ("the printer is out of paper again", "the invoice of last month has two errors")


def write(folder: Path) -> None:
    """Every file of the page, in a folder."""
    for name, text in FILE.findall(PAGE):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def commands() -> Iterator[tuple[str, str]]:
    """The blocks of commands, for `tests.docs.shell`, whose processes have the path already."""
    for block in re.findall(r"^```bash\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE):
        yield "bash", block.replace("PYTHONPATH=. ", "")


def write_data(folder: Path) -> None:
    """The mailbox and the database that the page has."""
    box = mailbox.mbox(folder / "inbox.mbox")
    for number in range(60):
        mail = EmailMessage()
        mail["Subject"], mail["From"] = f"number {number}", "someone@example.org"
        mail.set_content("\n".join(f"{SENTENCES[n % 2]}, number {number}." for n in range(6)))
        if number % 9 == 0:
            mail.add_attachment(b"\x00\x01", maintype="application", subtype="octet-stream", filename="a.bin")
        box.add(mail)
    box.close()
    with closing(sqlite3.connect(folder / "tickets.db")) as connection, connection:
        connection.execute("CREATE TABLE tickets (id INTEGER, split TEXT, text TEXT, queue TEXT)")
        rows = [
            (n, "dev" if n % 4 == 0 else "train", f"{SENTENCES[n % 2]} ({n})", ("hardware", "billing")[n % 2])
            for n in range(48)
        ]
        connection.executemany("INSERT INTO tickets VALUES (?, ?, ?, ?)", rows)
