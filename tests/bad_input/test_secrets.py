"""Passwords and tokens stand in no file of a run and in no message."""

from pathlib import Path

import pytest
import yaml

from cloze.runtime.redaction import is_secret, masked, masked_text
from tests.bad_input.session import Session
from tests.bad_input.world import CORPUS, TINY

PASSWORD, TOKEN = "hunter2-and-more", "hf_abcdefghijklmnop"


def harmful(folder: Path, *secrets: str) -> list[str]:
    """The files of a folder that hold one of these."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [str(file) for file in files if any(secret.encode() in file.read_bytes() for secret in secrets)]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("token", True),
        ("HF_TOKEN", True),
        ("WANDB_API_KEY", True),
        ("AWS_SECRET_ACCESS_KEY", True),
        ("AWS_ACCESS_KEY_ID", True),
        ("logger.wandb.api_key", True),
        ("storage.secret", True),
        ("password", True),
        ("max_tokens", False),
        ("data.batch_tokens", False),
        ("hardware.micro_batch_tokens", False),
        ("tokenizer", False),
        ("mask_token", False),
        ("keep_last", False),
        ("seed", False),
    ],
)
def test_which_keys_are_secret(key: str, expected: bool) -> None:
    assert is_secret(key) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x.token=abc run=a", "x.token=*** run=a"),
        ("x.token='a b' run=a", "x.token=*** run=a"),
        ("x={token: abc, n: 1}", "x={token: ***, n: 1}"),
        ("x.password is 'abc', but must be a number", "x.password is ***, but must be a number"),
        ("https://me:abc@host/a.txt", "https://***@host/a.txt"),
        ("s3://key:abc@bucket/a", "s3://***@bucket/a"),
        ("https://host/a?X-Amz-Signature=abc&part=1", "https://host/a?X-Amz-Signature=***&part=1"),
        ("hub:me/model@main data.batch_tokens=4096", "hub:me/model@main data.batch_tokens=4096"),
    ],
)
def test_texts(text: str, expected: str) -> None:
    assert masked_text(text) == expected


def test_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    config = {"a": {"token": 12, "max_tokens": 5}, "b": ["https://me:abc@host"], "note": f"x {TOKEN}", "secret": None}
    expected = {"a": {"token": "***", "max_tokens": 5}, "b": ["https://***@host"], "note": "x ***", "secret": None}
    assert masked(config) == expected


@pytest.mark.slow
def test_a_run_writes_none_down_and_goes_on_all_the_same(session: Session) -> None:
    words = [
        *CORPUS,
        *TINY,
        "run=secret",
        "checkpoint.every_steps=1",
        "callbacks.mark._target_=tests.bad_input.mark.Mark",
    ]
    words += [f"callbacks.mark.api_key={PASSWORD}", f"callbacks.mark.address=https://me:{PASSWORD}@host/x"]
    words += ["callbacks.mark.note=${oc.env:HF_TOKEN}", "logger=tensorboard"]
    environment = {"HF_TOKEN": TOKEN, "WANDB_API_KEY": PASSWORD, "AWS_SECRET_ACCESS_KEY": PASSWORD}
    first = session.run("train.py", *words, env=environment)
    assert first["status"] == 0, first["error"]
    folder = session.folder / "runs" / "secret"
    assert not harmful(folder, PASSWORD, TOKEN)
    text = (folder / "config.yaml").read_text(encoding="utf-8")
    assert "callbacks.mark.api_key=***" in text.splitlines()[0]  # the command
    mark = yaml.safe_load(text)["callbacks"]["mark"]
    assert (mark["api_key"], mark["address"], mark["note"]) == ("***", "https://***@host/x", "***")
    told = first["output"] + first["error"]
    assert PASSWORD not in told
    assert TOKEN not in told
    (folder / "model" / "config.json").unlink()
    for file in (folder / "model").iterdir():
        file.unlink()
    (folder / "model").rmdir()
    again = session.run("train.py", *words, env=environment)
    assert again["status"] == 0, again["error"]
    assert "resuming from" in again["error"]


@pytest.mark.slow
def test_offline_weights_and_biases_gets_none(session: Session) -> None:
    pytest.importorskip("wandb")
    words = [*CORPUS, *TINY, "run=w", "logger=wandb", "callbacks.mark._target_=tests.bad_input.mark.Mark"]
    own = {"WANDB_API_KEY": TOKEN, "WANDB_MODE": "offline"}
    result = session.run("train.py", *words, f"callbacks.mark.api_key={PASSWORD}", env=own)
    assert result["status"] == 0, result["error"]
    records = list((session.folder / "runs" / "w" / "wandb").glob("offline-run-*/*.wandb"))
    assert records[0].stat().st_size > 4000  # it is written at the end
    assert not harmful(session.folder / "runs" / "w", PASSWORD, TOKEN)


def test_a_message_tells_none(session: Session) -> None:
    answer = session.run("train.py", f"trainer.api_key={PASSWORD}", f"trainer.max_steps=https://me:{PASSWORD}@host")
    assert answer["status"] == 2
    assert PASSWORD not in answer["error"]
    answer = session.run("train.py", f"callbacks.mark.password={PASSWORD} and 'more")
    assert answer["status"] == 2
    assert PASSWORD not in answer["error"], answer["error"]
