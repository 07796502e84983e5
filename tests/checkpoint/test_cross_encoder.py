"""Folders of re-rankers: the scores of sentence-transformers' own, and what we write for all of its versions."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from cloze.checkpoint.cross_encoder import FEATURES, RERANKING
from cloze.checkpoint.modules import fine_tuned_model
from cloze.checkpoint.pretrained import read_pretrained
from cloze.checkpoint.record import import_path
from cloze.checkpoint.task_models import save_task_model
from cloze.cli.predict import main
from cloze.data.finetuning.reranking import RerankingFeatures
from cloze.errors import InputError
from cloze.tasks.reranking import Reranking

FOLDERS = ("st600_cross_encoder_sigmoid", "st600_cross_encoder_identity")


def copied(name: str, shared_data: Path, folder: Path) -> Path:
    shutil.copytree(shared_data / "fixtures" / name, folder, copy_function=shutil.copyfile)
    folder.chmod(0o755)
    return folder


def saved(found: Path, folder: Path) -> Path:
    """The same model as cloze writes it."""
    pretrained = read_pretrained(found)
    model = fine_tuned_model(pretrained)
    assert model is not None
    assert pretrained.head is not None
    save_task_model(
        model, pretrained.tokenizer, folder, head=pretrained.head, labels=[], problem_type="regression",
        record=pretrained.record, tokenizer_files=pretrained.tokenizer_files,
    )  # fmt: skip
    return folder


def test_classes_are_named_as_they_are() -> None:
    assert (import_path(Reranking), import_path(RerankingFeatures)) == (RERANKING, FEATURES)


@pytest.mark.parametrize("name", FOLDERS)
def test_scores_are_those_of_sentence_transformers(
    name: str, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = json.loads((shared_data / "fixtures/st600_expected.json").read_text())["folders"][name]
    rows = [json.dumps({"text": query, "text_pair": passage}) for query, passage in expected["pairs"]]
    (tmp_path / "pairs.jsonl").write_text("\n".join(rows) + "\n")
    own = saved(shared_data / "fixtures" / name, tmp_path / "own")
    for folder, output in ((shared_data / "fixtures" / name, "theirs.jsonl"), (own, "own.jsonl")):
        words = [f"model={folder}", f"input={tmp_path}/pairs.jsonl", f"output={tmp_path}/{output}"]
        monkeypatch.setattr(sys, "argv", ["cloze-predict", *words, "hardware.threads=1"])
        assert main() == 0
        said = [json.loads(line) for line in (tmp_path / output).read_text().splitlines()]
        assert [row["prediction"] for row in said] == pytest.approx(expected["predict"], abs=1e-6)
        assert "truncated to 32 tokens" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "activation"), [*zip(FOLDERS, ("Sigmoid", "Identity"), strict=True)])
def test_a_folder_is_written_in_both_spellings(name: str, activation: str, shared_data: Path, tmp_path: Path) -> None:
    folder = saved(shared_data / "fixtures" / name, tmp_path / "own")

    def read(file: str) -> dict[str, Any]:
        return json.loads((folder / file).read_text())  # type: ignore[no-any-return]

    assert read("config.json")["sentence_transformers"]["activation_fn"].endswith(activation)
    said = read("config_sentence_transformers.json")
    assert (said["model_type"], said["activation_fn"].rpartition(".")[2]) == ("CrossEncoder", activation)
    assert read("tokenizer_config.json")["model_max_length"] == 32
    before, after = (read_pretrained(each) for each in (shared_data / "fixtures" / name, folder))
    assert all(torch.equal(tensor, after.state[key]) for key, tensor in before.state.items())


@pytest.mark.parametrize(
    ("settings", "activation"),
    [
        (
            {"sentence_transformers": {"version": "4.1.0", "activation_fn": "torch.nn.modules.linear.Identity"}},
            "identity",
        ),
        ({"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}, "identity"),
        ({"sentence_transformers": {"version": "4.1.0"}}, "sigmoid"),
        ({}, None),
    ],
)
def test_earlier_spellings_are_read(
    settings: dict[str, Any], activation: str | None, shared_data: Path, tmp_path: Path
) -> None:
    folder = copied(FOLDERS[0], shared_data, tmp_path / "model")
    (folder / "config_sentence_transformers.json").unlink()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | settings))
    record = read_pretrained(folder).record
    assert (record.module.arguments or {}).get("activation") == activation
    assert record.module.target == (None if activation is None else RERANKING)


def test_what_is_not_read_is_refused(shared_data: Path, tmp_path: Path) -> None:
    folder = copied(FOLDERS[0], shared_data, tmp_path / "model")
    file = folder / "config_sentence_transformers.json"
    said = json.loads(file.read_text())
    file.write_text(json.dumps(said | {"activation_fn": "torch.nn.modules.activation.Tanh"}))
    with pytest.raises(InputError, match=r"the activation is 'torch\.nn\.modules\.activation\.Tanh', but only"):
        read_pretrained(folder)
    file.write_text(json.dumps(said | {"prompts": {"query": "find: "}, "default_prompt_name": "query"}))
    with pytest.raises(InputError, match="the default prompt 'query' of a re-ranker is not read"):
        read_pretrained(folder)
