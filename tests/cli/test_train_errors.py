"""Bad input ends in one line on stderr and exit status 2, before any work and with nothing left behind."""

from pathlib import Path

import pytest

from tests.command import Command


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["modle=mini"], "unknown key 'modle'; did you mean 'model'?"),
        (["model=minni"], "unknown option 'model=minni'; did you mean 'model=mini'?"),
        (["model=null"], "'model=null' chooses nothing"),
        (["trainer.max_stps=3"], "unknown key 'trainer.max_stps'; did you mean 'trainer.max_steps'?"),
        (["+optimizer.typo=3"], "unknown key 'optimizer.typo'"),
        (["lr=1"], "unknown key 'lr'; did you mean 'optimizer.lr'?"),
        (["optimizer.lr=fast"], "optimizer.lr is 'fast', but must be a number"),
        (["trainer.max_steps=abc"], "trainer.max_steps is 'abc', but must be a whole number or null"),
        (["trainer.max_tokens=1e9"], "exactly one length of training"),
        (["hardware.precision=bf16"], "did you mean 'bf16-"),
        (["corpus=text"], "the key 'corpus.files' has no value: add corpus.files=..."),
        (["corpus=text", "corpus.files=nowhere.txt"], "nowhere.txt"),
        (["model.num_attention_heads=3"], "num_attention_heads=3"),
        (["hardware=gpu"], "hardware"),
        (["run=${nope}"], "Interpolation key 'nope' not found"),
        (["foo"], "cannot read 'foo'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_one_sentence_and_exit_status_2(train: Command, tmp_path: Path, words: list[str], message: str) -> None:
    if words == ["hardware=gpu"]:
        torch = pytest.importorskip("torch")
        if torch.cuda.is_available():
            pytest.skip("there is a GPU")
    result = train(*words)
    assert result.returncode == 2, result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    assert message in lines[0]
    assert not (tmp_path / "runs").exists()
