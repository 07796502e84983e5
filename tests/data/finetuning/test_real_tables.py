"""The tables of real data sets, through the files under `conf/task/`: official numbers of rows and labels.

Row counts: the data sets' papers and the hub's cards. Counts of labels: `cut | sort | uniq -c` on the files themselves.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from cloze.data.finetuning.tables import ChoiceTables, TextTables

CONF = Path(__file__).resolve().parents[3] / "conf" / "task"


def columns(task: str, root: Path) -> dict[str, Any]:
    """The section `data` of a task, without what names its class."""
    text = (CONF / f"{task}.yaml").read_text(encoding="utf-8").replace("${datasets}", str(root))
    return {key: value for key, value in yaml.safe_load(text)["data"].items() if key != "_target_"}


@pytest.mark.parametrize(
    ("task", "rows", "labels"),
    [
        ("glue/sst2", (67349, 872, 1821), {"dev": {"1": 444, "0": 428}}),
        ("glue/cola", (8551, 1043, 1063), {"train": {"1": 6023, "0": 2528}, "dev": {"1": 721, "0": 322}}),
        ("glue/mrpc", (3668, 408, 1725), {"train": {"1": 2474, "0": 1194}, "dev": {"1": 279, "0": 129}}),
        ("glue/rte", (2490, 277, 3000), {"dev": {"entailment": 146, "not_entailment": 131}}),
        ("glue/qnli", (None, 5463, 5463), {"dev": {"entailment": 2702, "not_entailment": 2761}}),
        ("chnsenticorp", (9600, 1200, 1200), {"dev": {"1": 593, "0": 607}}),
        ("afqmc", (34334, 4316, 3861), {"dev": {"0": 2978, "1": 1338}}),
    ],
)
def test_classes(shared_data: Path, task: str, rows: tuple[int | None, ...], labels: Mapping[str, Any]) -> None:
    source = TextTables(**columns(task, shared_data))
    assert source.splits == ["train", "dev", "test"]
    for split, count in zip(source.splits, rows, strict=True):
        if count is not None:
            examples = source.read(split)
            assert len(examples) == count
            if split in labels:
                assert Counter(example.label for example in examples) == labels[split]
    if task.startswith("glue"):
        assert {example.label for example in source.read("test")} == {None}
    assert not source.counts


def test_scores(shared_data: Path) -> None:
    source = TextTables(**columns("glue/stsb", shared_data))
    scores = [example.label for example in source.read("train")]
    assert (len(scores), min(scores), max(scores)) == (5749, 0.0, 5.0)  # type: ignore[type-var]
    assert [len(source.read(split)) for split in ("dev", "test")] == [1500, 1379]


def test_stray_quotes_stay_in_the_text(shared_data: Path) -> None:
    source = TextTables(**columns("glue/mrpc", shared_data))
    lines = (shared_data / "glue" / "MRPC" / "dev.tsv").read_text(encoding="utf-8-sig").splitlines()
    for example, line in zip(source.read("dev"), lines[1:], strict=True):
        assert [example.label, example.text, example.text_pair] == [
            line.split("\t")[place].strip() for place in (0, 3, 4)
        ]
    assert any('"' in example.text for example in source.read("dev"))


def test_choices(shared_data: Path) -> None:
    source = ChoiceTables(**columns("codah", shared_data))
    examples = {split: source.read(split) for split in source.splits}
    assert {split: len(found) for split, found in examples.items()} == {"train": 1665, "dev": 556, "test": 555}
    assert {len(example.choices) for example in examples["train"]} == {4}
    assert {example.label for example in examples["test"]} == {0, 1, 2, 3}
    swag = columns("swag", shared_data) | {"dev": None}
    swag |= {
        split: str(shared_data / "multiple_choice" / "swag_sample" / f"{split}.csv") for split in ("train", "test")
    }
    source = ChoiceTables(**swag)
    assert [len(source.read(split)) for split in ("train", "test")] == [91, 7]
    first = source.read("train")[0]
    assert first.text == "Students lower their eyes nervously. "[:-1]
    assert first.choices[0] == "She pats her shoulder, then saunters toward someone."


def test_the_official_columns_of_the_sets_that_are_not_at_hand(tmp_path: Path) -> None:
    """Headers as in the archives of gluebenchmark.com; the fields in between are filled with dots."""
    headers = {
        "QQP/train.tsv": "id qid1 qid2 question1 question2 is_duplicate",
        "QQP/test.tsv": "id question1 question2",
        "MNLI/train.tsv": "index promptID pairID genre sentence1_binary_parse sentence2_binary_parse sentence1_parse"
        " sentence2_parse sentence1 sentence2 label1 gold_label",
        "MNLI/dev_mismatched.tsv": "index promptID pairID genre sentence1_binary_parse sentence2_binary_parse"
        " sentence1_parse sentence2_parse sentence1 sentence2 label1 label2 label3 label4 label5 gold_label",
        "MNLI/test_matched.tsv": "index promptID pairID genre sentence1_binary_parse sentence2_binary_parse"
        " sentence1_parse sentence2_parse sentence1 sentence2",
        "WNLI/train.tsv": "index sentence1 sentence2 label",
        "diagnostic/diagnostic.tsv": "index sentence1 sentence2",
    }
    values = {"question1": "A?", "question2": "B?", "sentence1": "A?", "sentence2": "B?"}
    values |= {"is_duplicate": "1", "gold_label": "neutral", "label": "1"}
    for name, header in headers.items():
        file = tmp_path / "glue" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        cells = [values.get(column, ".") for column in header.split()]
        broken = "1\t2\n" if name == "QQP/train.tsv" else ""
        file.write_text("\t".join(header.split()) + "\n" + "\t".join(cells) + "\n" + broken, encoding="utf-8")
    wanted = [
        ("qqp", "train", "1"),
        ("qqp", "test", None),
        ("mnli", "train", "neutral"),
        ("mnli", "dev_mismatched", "neutral"),
        ("mnli", "test_matched", None),
        ("wnli", "train", "1"),
        ("ax", "test", None),
    ]
    for task, split, label in wanted:
        source = TextTables(**columns(f"glue/{task}", tmp_path))
        (example,) = source.read(split)
        assert (example.text, example.text_pair, example.label) == ("A?", "B?", label)
        assert source.counts.total() == ((task, split) == ("qqp", "train"))
