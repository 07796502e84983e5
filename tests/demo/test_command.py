"""`cloze-demo` with what it cannot serve: one sentence and status 2, before any page."""

import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cloze.cli.demo import main, own_words
from cloze.demo import server
from tests.demo.world import pretrained_folder

Run = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command in this process; the sentence that it ends with."""
    monkeypatch.chdir(tmp_path)

    def command(*words: object) -> str:
        monkeypatch.setattr(sys, "argv", ["cloze-demo", *map(str, words), "hardware.threads=1"])
        assert main() == 2
        told = capsys.readouterr().err
        assert told.startswith("error: ")
        assert told.count("\n") == 1
        return told

    return command


def test_bad_input_is_one_sentence(refused: Run, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text(" \n\n")
    (tmp_path / "latin.txt").write_bytes("\xe9t\xe9".encode("latin-1"))
    (tmp_path / "many.txt").write_text("\n".join(map(str, range(20_001))))
    (tmp_path / "no_bert").mkdir()
    model = pretrained_folder(tmp_path / "model")
    assert "runs/tiny-pydocs/model" in refused()  # the default, which is not there
    assert "absent/model" in refused("model=absent/model")
    assert "no_bert/config.json is missing" in refused("model=no_bert", "port=0")
    assert "cloze-demo needs a trained model: give model=FOLDER" in refused("model=tiny")
    assert "unknown key 'prot'; did you mean 'port'?" in refused(f"model={model}", "++prot=3")
    assert "port=70000: must be from 0" in refused(f"model={model}", "port=70000")
    assert "port is 'x', but must be a whole number" in refused(f"model={model}", "port=x")
    assert "host=no.such.host.invalid: is no address" in refused(f"model={model}", "host=no.such.host.invalid")
    assert "top_k=0: must be at least 1" in refused(f"model={model}", "top_k=0")
    assert "hardware: prediction works on one device" in refused(f"model={model}", "hardware.devices=2")
    assert "sentences=empty.txt: is empty" in refused(f"model={model}", "sentences=empty.txt")
    assert "sentences=latin.txt: cannot be read (it is not UTF-8)" in refused(f"model={model}", "sentences=latin.txt")
    assert "has 20,001 sentences, but the page takes 20,000" in refused(f"model={model}", "sentences=many.txt")
    assert "sentences=no.txt: cannot be read (No such file" in refused(f"model={model}", "sentences=no.txt")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        told = refused(f"model={model}", f"port={port}")
    assert f"port={port}: cannot be taken on 127.0.0.1 (Address already in use); give another one" in told


def test_without_the_extra(refused: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "find_spec", lambda _: None)
    assert "needs the package nicegui, which is not installed: pip install -e '.[demo]'" in refused(
        "model=absent/model"
    )


def test_sentences_are_not_for_hydra() -> None:
    """Which has a group of that name."""
    words = ["model=a b/c", "sentences=my list, [1].txt", "port=3"]
    assert own_words(words) == ("my list, [1].txt", ["model=a b/c", "port=3"])
    assert own_words(["sentences=a", "++sentences=null"]) == (None, [])
