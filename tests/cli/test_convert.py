"""`cloze-convert` as users run it."""

import re
import sys
from pathlib import Path

import pytest

from cloze.cli import convert
from cloze.cli.command import BAD_INPUT
from tests import processes
from tests.checkpoint.folders import their_folder


def test_a_folder_becomes_another(tmp_path: Path) -> None:
    their_folder("BertForSequenceClassification", tmp_path / "a", num_hidden_layers=1)
    words = [sys.executable, "-m", "cloze.cli.convert", "from=a", "to=out/b", "format=onnx"]
    done = processes.run(words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    read, written = done.stdout.splitlines()
    assert read.startswith("read     a: BertForSequenceClassification: encoder, pooler, classifier; no masked_lm_head")
    assert "onnxruntime is at most " in written
    assert {file.name for file in (tmp_path / "out/b").iterdir()} == {
        "model.onnx", "config.json", "cloze.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"
    }  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["b"]
    assert "Warning" not in done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "the key 'from' has no value: add from=..."),
        (["from=a"], "the key 'to' has no value: add to=..."),
        (["from=a", "to=b", "format=tf"], "format is 'tf', but must be one of hf, google, onnx"),
        (["from=a", "to=b", "from_=c"], "unknown key 'from_'; did you mean 'from'?"),
        (["from=./nowhere", "to=b"], "nowhere: there is no such folder; give the folder of a model, or hub:NAME"),
        (["from=[]", "to=b"], "from=[] names no model: give one, or several whose mean is taken"),
        (["from=[./nowhere,a]", "to=b"], "nowhere: there is no such folder; give the folder of a model, or hub:NAME"),
        (["from=a", "to=a"], "to=a exists already: give another folder, or remove it"),
    ],
)
def test_bad_input_is_one_sentence(
    tmp_path: Path,
    words: list[str],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["cloze-convert", *words])
    assert convert.main() == BAD_INPUT
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert sentence in line
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_help_shows_an_example_of_each_format(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["cloze-convert", "--help"])
    assert convert.main() == 0
    page = capsys.readouterr().out
    assert "format=google" in page
    assert "format=onnx" in page
    assert re.search(r"^  from .*\n.*\(must be given\)", page, re.MULTILINE)
