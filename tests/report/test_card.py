"""The model card in the hub's own reader."""

import re
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard

from cloze.report.card import write_card
from cloze.report.page.page import render
from tests.report.run_folders import HOSTILE, pretraining, task


def test_the_card_of_a_pretrained_model(tmp_path: Path) -> None:
    folder = pretraining(tmp_path / "wiki")
    write_card(folder)
    found = ModelCard.load(folder / "model" / "README.md")
    assert found.data.to_dict() == {
        "library_name": "transformers",
        "language": "en",
        "pipeline_tag": "fill-mask",
        "tags": ["bert", "cloze", "fill-mask"],
    }
    assert "\n# license: to be chosen by you" in (folder / "model" / "README.md").read_text("utf-8")
    for text in ("345,678", "600 optimizer steps", "AdamW, lr 0.001", "held out", "70.0%"):
        assert text in found.content, text
    assert "command" not in found.content  # it says where the owner keeps files
    assert 'pipeline("fill-mask", "FOLDER")("The function returns a [MASK].")' in found.content


def test_the_average_of_the_weights_has_a_card_with_its_own_figures(tmp_path: Path) -> None:
    folder = pretraining(tmp_path / "wiki", average={"kind": "ema", "decay": 0.99, "start": None})
    (folder / "model_average").mkdir()
    for name in ("model", "model_average"):
        (folder / name / "config.json").write_text('{"model_type": "electra"}', "utf-8")
    metrics = (folder / "metrics.csv").read_text("utf-8").splitlines()
    lines = [f"{metrics[0]},val_average/masked_lm_loss", *(f"{line}," for line in metrics[1:-1]), f"{metrics[-1]},1.25"]
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n", "utf-8")
    write_card(folder)
    last, average = ((folder / name / "README.md").read_text("utf-8") for name in ("model", "model_average"))
    assert "An ELECTRA that fills in words" in last
    assert "Its weights are the average of those of many steps." in average
    assert "- average of weights: kind ema, decay 0.99" in average
    assert re.search(r"\| masked-token loss, held out +\| 1\.250 ", average)
    assert "Its weights are" not in last
    assert "average of weights:" not in last


@pytest.mark.parametrize("place", ["model", "corpus/tokenizer"])
def test_the_card_and_the_page_name_the_token_for_masks_of_the_model(tmp_path: Path, place: str) -> None:
    folder = pretraining(tmp_path / "wiki")
    (folder / place).mkdir(exist_ok=True)
    (folder / place / "tokenizer_config.json").write_text('{"mask_token": {"content": "<mask>"}}', "utf-8")
    samples = (folder / "samples.txt").read_text("utf-8")
    (folder / "samples.txt").write_text(samples.replace("[MASK]", "<mask>"), "utf-8")
    write_card(folder)
    assert '("The function returns a <mask>.")' in (folder / "model" / "README.md").read_text("utf-8")
    for folders in ([folder], [folder, pretraining(tmp_path / "other")]):
        page = render(folders)
        assert "<mark>&lt;mask&gt;</mark>" in page
        assert ("<mark>[MASK]</mark>" in page) == (len(folders) > 1)


def test_the_card_of_a_task_has_its_scores(tmp_path: Path) -> None:
    folder = task(tmp_path / "sst2" / "0")
    write_card(folder)
    found = ModelCard.load(folder / "model" / "README.md")
    assert found.data.pipeline_tag == "text-classification"
    assert found.data.metrics == ["accuracy"]
    assert found.data.model_name == "sst2-0"
    scores = [(score.dataset_name, score.dataset_split, score.metric_type, score.metric_value)
              for score in found.data.eval_results or []]  # fmt: skip
    assert scores == [("glue/sst2", "dev", "accuracy", 0.75), ("glue/sst2", "test", "accuracy", 0.6875)]
    for text in ("| dev ", "0.7500", "- train: train.tsv", "<https://gluebenchmark.com/tasks>", 'pipeline("text-class'):
        assert text in found.content, text
    assert "/secret" not in found.content


@pytest.mark.parametrize("part", ["module", "features"])
def test_the_card_of_a_users_own_task_names_no_pipeline(tmp_path: Path, part: str) -> None:
    folder = task(tmp_path / "ratings")
    config = yaml.safe_load((folder / "config.yaml").read_text("utf-8"))
    config["task"][part] = {"_target_": "ratings.Classification"}
    (folder / "config.yaml").write_text(yaml.safe_dump(config), "utf-8")
    write_card(folder)
    found = ModelCard.load(folder / "model" / "README.md")
    assert found.data.pipeline_tag == "feature-extraction"
    assert "answers in the terms of ratings.Classification" in found.content
    assert "cloze-finetune task=NAME stage=predict" in found.content
    assert "pipeline(" not in found.content


@pytest.mark.parametrize(
    ("sentences", "language"),
    [
        ({"_target_": "cloze.text.sentences.Chinese"}, "zh"),
        ({"_target_": "cloze.text.sentences.Unicode", "language": "de"}, "de"),
        ({"_target_": "cloze.text.sentences.Unicode", "language": "en"}, None),
        ({"_target_": "other"}, None),
    ],
)
def test_the_language_stands_there_where_it_is_known(
    sentences: dict[str, str], language: str | None, tmp_path: Path
) -> None:
    folder = pretraining(tmp_path / "run", corpus={"name": "text"}, sentences=sentences)
    write_card(folder)
    assert ModelCard.load(folder / "model" / "README.md").data.language == language


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    folder = pretraining(tmp_path / "run", corpus={"name": f"`{HOSTILE}\n---\nlicense: mit"}, rows=10)
    write_card(folder)
    content = (folder / "model" / "README.md").read_text("utf-8")
    assert set(yaml.safe_load(content.split("---\n")[1])) == {"library_name", "pipeline_tag", "tags"}
    assert content.count("\n---\n") == 1


def test_no_model_no_card(tmp_path: Path) -> None:
    write_card(pretraining(tmp_path / "run", finished=False))
    assert not (tmp_path / "run" / "model").exists()
