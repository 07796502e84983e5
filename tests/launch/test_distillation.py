"""`module=distillation teacher=FOLDER`: a student goes through all of pre-training, and its teacher stays outside."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from cloze.checkpoint.conversion import convert
from tests.command import Command
from tests.launch.stories import NO_DROPOUT, SMALL, apart, checkpoint, command, play, same, watch
from tests.tiny import save_tiny

STOPPED = 143
LONGER = [
    *(*SMALL, "trainer.max_steps=6", "trainer.validate_every=3", "hardware.micro_batch_tokens=128"),
    *("objective.max_length=32", "data.batch_tokens=256"),
]
ALL = [f"module.{name}=1" for name in ("hidden", "embeddings", "attention", "queries", "keys", "values")]
STUDENT = ["module=distillation", "teacher=runs/teacher", "model.num_hidden_layers=2", *ALL]


@pytest.mark.slow
def test_a_student_is_stopped_resumed_cut_over_ranks_and_evaluated(small_corpus: list[str], tmp_path: Path) -> None:
    words = [*small_corpus, *LONGER]
    student, exact = [*words, *STUDENT], [*words, *STUDENT, *NO_DROPOUT, "module.init_layers=[2,4]"]
    alone = [*words, "run=alone", *STUDENT[:3], "module.values=1", "trainer.max_steps=2"]
    alone += [f"module.{name}=0" for name in ("soft_targets", "masked_lm", "cosine")]
    end = "resume=runs/parts/checkpoints/step-00000005.ckpt"
    play(
        tmp_path,
        command([*words, "run=teacher", "model.num_hidden_layers=4", "trainer.max_steps=2"]),
        command([*student, "run=whole"]),
        command([*student, "run=parts", watch(told=[4, 1])]),
        command([*student, "run=parts"]),
        command([*exact, "run=one"]),
        command([*exact, "run=two"], ranks=2),
        command([*exact, "run=fsdp"], ranks=2, strategy="fsdp"),
        command(alone, ranks=2),
        command([*words[:3], *words[4:], "stage=evaluate", "init=runs/whole", "run=evaluated"]),
        command([*student, "run=dry", "--dry-run"]),
        statuses=[0, 0, STOPPED, 0, 0, 0, 0, 0, 0, 0],
    )
    runs = tmp_path / "runs"
    assert same(checkpoint(runs / "whole", 6), checkpoint(runs / "parts", 6))
    for cut in ("two", "fsdp"):
        assert apart(checkpoint(runs / "one", 6), checkpoint(runs / cut, 6)) < 1e-4

    # What only training reads is in the checkpoint and not in the folder; of the teacher there is nothing in either.
    saved = checkpoint(runs / "whole", 6)
    names = {name.removeprefix("/state_dict/model.") for name in saved if name.startswith("/state_dict/")}
    assert {
        name for name in names if not name.startswith(("encoder", "masked_lm_head", "pooler", "next_sentence"))
    } == {
        "training_only.hidden.weight",
        "training_only.embeddings.weight",
    }
    assert not any("blocks.2." in name for name in names)
    convert(runs / "whole/checkpoints/step-00000006.ckpt", tmp_path / "converted")
    for folder in (runs / "whole/model", tmp_path / "converted"):
        assert not (folder / "head.safetensors").exists()
    ours, theirs = (load_file(one / "model.safetensors") for one in (runs / "whole/model", tmp_path / "converted"))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)

    with (runs / "whole/metrics.csv").open(encoding="utf-8") as file:
        last = [row for row in csv.DictReader(file) if row["val/loss"]][-1]
    evaluated = json.loads((runs / "evaluated/results.json").read_text())["heldout"]
    assert evaluated["masked_lm_loss"] == pytest.approx(float(last["val/masked_lm_loss"]), rel=1e-5)
    assert {"val/soft_targets_loss", "val/cosine_loss", "val/attention_loss", "val/keys_loss"} <= last.keys()
    dry = (tmp_path / "9.0.log").read_text(encoding="utf-8")
    assert "teacher     runs/teacher: BERT, 4 layers of 32, weights " in dry
    assert "for one that knows nothing" not in dry

    # Another teacher in the same place, or a copy of the same in another one.
    shutil.copytree(runs / "teacher/model", tmp_path / "copy")
    changed = runs / "teacher/model/model.safetensors"
    weights = load_file(changed)
    weights["bert.embeddings.LayerNorm.bias"][0] += 1
    save_file(weights, changed, {"format": "pt"})
    play(
        tmp_path,
        command([*student, "run=again", end]),
        command([*student, "run=moved", end, "teacher=copy"]),
        statuses=[2, 0],
    )
    assert "was taught by runs/teacher with the weights" in (tmp_path / "0.0.log").read_text(encoding="utf-8")
    assert 'teacher: was "runs/teacher", is "copy"' in (tmp_path / "1.0.log").read_text(encoding="utf-8")


def test_a_teacher_that_cannot_be_asked_is_refused_before_the_corpus_is_prepared(
    train: Command, small_text: Path, tmp_path: Path
) -> None:
    words = ["corpus=text", f"corpus.files={small_text}", "preparation.workers=0", "module=distillation"]
    shape = ["model=tiny", "model.hidden_size=32", "model.intermediate_size=64"]

    def refused(*more: str) -> str:
        done = train(*words, *shape, *more, "run=refused")
        assert done.returncode == 2, done.stderr
        assert not (tmp_path / "data").exists()
        assert not (tmp_path / "runs").exists()
        return str(done.stderr)

    save_tiny(tmp_path / "teacher")
    save_tiny(tmp_path / "other", ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz"])
    given, short = ["teacher=teacher", "tokenizer=folder"], "objective.max_length=64"
    assert "would be trained on the corpus: give the teacher's, tokenizer=folder tokenizer.vocab=teacher" in refused(
        given[0], short
    )
    assert "(31 tokens, the teacher's 58)" in refused(*given, "tokenizer.vocab=other", short)
    assert "objective.max_length is 128, but teacher=teacher has only 64 positions" in refused(
        *given, "tokenizer.vocab=teacher"
    )


@pytest.mark.slow
def test_a_task_is_learned_from_a_teacher_stopped_resumed_and_cut_over_ranks(
    small_table: list[str], tmp_path: Path
) -> None:
    shared = [word for word in small_table if not word.startswith(("model", "tokenizer"))]
    save_tiny(tmp_path / "small", num_hidden_layers=1, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    save_tiny(tmp_path / "large", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    words = [*shared, "trainer.max_steps=6", "trainer.validate_every=3", "checkpoint.every_steps=1"]
    student = [*words, "model=./small", "teacher=runs/teacher/model"]
    script = "finetune.py"
    play(
        tmp_path,
        command([*words, "model=./large", "run=teacher"], script=script),
        command([*student, "run=whole"], script=script),
        command([*student, "run=parts", watch(told=[2, 1])], script=script),
        command([*student, "run=parts"], script=script),
        command([*student, "run=two"], ranks=2, script=script),
        command([*words, "model=./small", "run=alone"], script=script),
        command([*student, "run=dry", "--dry-run"], script=script),
        command([*student, "run=other", "teacher=./large"], script=script),
        statuses=[0, 0, STOPPED, 0, 0, 0, 0, 2],
    )
    runs = tmp_path / "runs"
    whole, parts, two, alone = (
        load_file(runs / name / "model/model.safetensors") for name in ("whole", "parts", "two", "alone")
    )
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert max(float((whole[name] - two[name]).abs().max()) for name in whole) < 1e-5
    assert any(not torch.equal(whole[name], alone[name]) for name in whole)
    assert whole.keys() == alone.keys()
    refusal = "holds a BertForPreTraining, but teaches the task classification"
    assert refusal in (tmp_path / "7.0.log").read_text(encoding="utf-8")
    settings = json.loads((runs / "teacher/model/config.json").read_text())
    settings |= {"id2label": {"0": "no", "1": "yes"}, "label2id": {"no": 0, "yes": 1}}
    (runs / "teacher/model/config.json").write_text(json.dumps(settings))
    play(tmp_path, command([*student, "run=labels"], script=script), statuses=[2])
    refusal = "teacher=runs/teacher/model has the labels 'no', 'yes', but the task 'bad', 'good': they must be the same"
    assert refusal in (tmp_path / "0.0.log").read_text(encoding="utf-8")
