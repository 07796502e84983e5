"""What people mistype: one sentence that says what was meant, exit status 2, and no heavy import on the way."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.conftest import REPOSITORY

MISTAKES: list[tuple[str, str]] = [
    # keys
    ("train modle=mini", "unknown key 'modle'; did you mean 'model'?"),
    ("train trainer.max_stps=3", "unknown key 'trainer.max_stps'; did you mean 'trainer.max_steps'?"),
    ("train lr=1", "unknown key 'lr'; did you mean 'optimizer.lr'?"),
    ("train mask_rate=0.2", "unknown key 'mask_rate'; did you mean 'objective.mask_rate'?"),
    ("train max_steps=10", "unknown key 'max_steps'; did you mean 'trainer.max_steps'?"),
    ("train hiden_size=128", "unknown key 'hiden_size'; did you mean 'model.hidden_size'?"),
    ("train +optimizer.weigth_decay=0.1", "did you mean 'optimizer.weight_decay'?"),
    ("train ++optimiser.lr=1", "unknown key 'optimiser'; did you mean 'optimizer'?"),
    ("train model.lr=3", "unknown key 'model.lr'; did you mean 'optimizer.lr'?"),
    ("train optimizer.devices=2", "unknown key 'optimizer.devices'; did you mean 'hardware.devices'?"),
    ("train data.max_length=64", "unknown key 'data.max_length'; did you mean 'objective.max_length'?"),
    ("train hardware.batch_tokens=64", "did you mean 'data.batch_tokens'?"),
    ("train callbacks.sampels.sentences=[a]", "'callbacks.sampels' is a section, but must be a node"),
    ("train optimizer.lr.max=3", "optimizer.lr"),
    ("train trainer.gradient_clp=1", "did you mean 'trainer.gradient_clip'?"),
    ("finetune task.epoch=3", "unknown key 'task.epoch'; did you mean 'task.epochs'?"),
    ("finetune task.data.trian=a.csv", "unknown key 'task.data.trian'"),
    ("finetune adaptation.frozen_layer=2", "did you mean 'adaptation.frozen_layers'?"),
    ("finetune stge=train", "unknown key 'stge'; did you mean 'stage'?"),
    ("predict inptu=a.txt", "unknown key 'inptu'; did you mean 'input'?"),
    ("predict columns.txt=a", "did you mean 'columns.text'?"),
    ("embed inptu=a.txt output=b.npy", "unknown key 'inptu'; did you mean 'input'?"),
    ("embed input=a.txt output=b.npy quantize=int4", "quantize is 'int4', but must be one of int8, binary"),
    ("mine pairs=a output=c negativs=3", "unknown key 'negativs'; did you mean 'negatives'?"),
    ("search index=a.parquet topk=3", "unknown key 'topk'; did you mean 'top_k'?"),
    ("features ouput=a.npy output=b.npy", "unknown key 'ouput'; did you mean 'output'?"),
    ("convert fromm=a to=b", "unknown key 'fromm'; did you mean 'from'?"),
    ("prepare preparation.worker=2", "did you mean 'preparation.workers'?"),
    ("demo prot=80 model=./a", "unknown key 'prot'; did you mean 'port'?"),
    ("doctor fodler=runs", "unknown key 'fodler'; did you mean 'folder'?"),
    ("report ouput=a.html", "unknown key 'ouput'; did you mean 'output'?"),
    # groups and options
    ("train model=minni", "unknown option 'model=minni'; did you mean 'model=mini'?"),
    ("train optimizer=adam", "unknown option 'optimizer=adam'; did you mean 'optimizer=adamw'?"),
    ("train hardware=gpus", "did you mean 'hardware=gpu'?"),
    ("train experiment=pydoc", "did you mean 'experiment=pydocs'?"),
    ("finetune task=glue/sst", "did you mean 'task=glue/sst2'?"),
    ("finetune task=glue/sst-2", "did you mean 'task=glue/sst2'?"),
    ("prepare sentences=englsh", "did you mean 'sentences=english'?"),
    ("prepare engine=dusk", "did you mean 'engine=dask'?"),
    ("train model=null", "'model=null' chooses nothing; valid here: base"),
    ("train schedule=", "'schedule=' chooses nothing"),
    ("finetune experiment=bert_base_paper", "cloze-finetune has no 'objective'; valid here: feature_based, table7"),
    ("train experiment=table7", "'experiment=table7': cloze-train has no 'adaptation'"),
    ("finetune callbacks=default", "'callbacks=default': cloze-finetune has no 'corpus'; valid here: task"),
    ("train -m model=tiny,nope", "unknown option 'model=nope'; valid here: base"),
    ("train model=./nope", "'model=./nope': cloze-train takes a size; init=FOLDER starts from a model"),
    ("finetune model=nope", "model=nope: there is no folder 'nope' here, nor a size of this name (base"),
    ("predict model=nope", "model=nope: there is no folder 'nope' here; give the folder of a model, or hub:NAME"),
    ("predict model=tiny", "'model=tiny': cloze-predict needs a trained model: give model=FOLDER"),
    ("predict hardware=ddp", "'hardware=ddp': cloze-predict works on one device; valid here: cpu, gpu"),
    ("train optimizer={lr:3}", "optimizer is a group, of which an option is chosen"),
    ("train optimizer=0.001", "unknown option 'optimizer=0.001'"),
    ("train loger=wandb", "unknown key 'loger'; did you mean 'logger'?"),
    # types and values
    ("train optimizer.lr=fast", "optimizer.lr is 'fast', but must be a number"),
    ("train trainer.max_steps=many", "trainer.max_steps is 'many', but must be a whole number or null"),
    ("train trainer.max_steps=1.5", "trainer.max_steps is 1.5, but must be a whole number or null"),
    ("train hardware.compile=maybe", "hardware.compile is 'maybe', but must be true or false"),
    ("train hardware.precision=bf16", "did you mean 'bf16-"),
    ("train optimizer.betas=0.9", "optimizer.betas is 0.9, but must be a list of 2 values"),
    ("train optimizer.betas=[0.9]", "optimizer.betas is [0.9], but must be a list of 2 values"),
    ("train data.phases=[[0.5,a],[0.5,128]]", "data.phases[0][1] is 'a', but must be a whole number"),
    ("train trainer={max_steps:many}", "trainer.max_steps is 'many'"),
    ("train trainer=3", "trainer is 3, but must be a section"),
    ("train objective.mask_rate=2", "objective.mask_rate=2: expected a rate between 0 and 1"),
    ("train objective.masking=words", "objective.masking=words: expected one of token, whole_word, span"),
    ("train model.num_attention_heads=3", "hidden_size=128 cannot be shared evenly by num_attention_heads=3"),
    ("train schedule.warmup_ratio=2", "warmup_ratio=2"),
    ("train trainer.max_tokens=1e9", "exactly one length of training"),
    ("train trainer.max_steps=null", "the length of training is missing"),
    ("train trainer.max_steps=null trainer.max_time=8x", "trainer.max_time is '8x', but must be a time"),
    ("train hardware.devices=0", "hardware.devices is 0, but must be at least 1"),
    ("train callbacks.samples.sentences=text", "callbacks.samples.sentences is 'text', but must be a list"),
    ("train seed=one", "seed is 'one', but must be a whole number"),
    ("finetune adaptation.layers=first", "adaptation.layers is 'first', but must be one of last"),
    ("finetune stage=test", "stage is 'test', but must be one of train, evaluate, predict"),
    ("features level=words output=a.npy", "level is 'words', but must be one of"),
    ("features dtype=fp16 output=a.npy", "dtype is 'fp16', but must be one of"),
    ("convert from=a to=b format=tensorflow", "format is 'tensorflow', but must be one of hf, google, onnx"),
    ("glue tasks=rte model=./a", "tasks is 'rte', but must be a list"),
    ("glue tasks=[sst3] model=./a", "tasks: 'sst3' is no task of GLUE; did you mean 'sst2'?"),
    ("demo port=eighty model=./a", "port is 'eighty', but must be a whole number"),
    ("doctor format=xml", "format is 'xml', but must be one of text, json"),
    ("predict on_bad_row=ignore", "on_bad_row is 'ignore', but must be one of stop, skip"),
    # missing values
    ("train corpus=text", "the key 'corpus.files' has no value: add corpus.files=..."),
    ("features", "the key 'output' has no value: add output=..."),
    ("convert from=a", "the key 'to' has no value: add to=..."),
    ("report", "give the folders of one or more runs"),
    # the form of a word
    ("train --lr 3", "unknown option '--lr': values are set as KEY=VALUE; did you mean 'optimizer.lr=3'?"),
    ("train --max-steps=10", "did you mean 'trainer.max_steps=10'?"),
    ("train --batch_tokens 512", "did you mean 'data.batch_tokens=512'?"),
    ("train --model mini", "did you mean 'model=mini'?"),
    ("finetune --task glue/sst2", "did you mean 'task=glue/sst2'?"),
    ("train --hepl", "unknown option '--hepl'; did you mean '--help'?"),
    ("train --cfg jobs", "--cfg is 'jobs', but must be one of job, hydra, all"),
    ("train --cfg", "--cfg needs a value behind it: one of job, hydra, all"),
    ("train --config-dir nowhere", "--config-dir: there is no folder 'nowhere'"),
    ("train optimizer.lr = 3", "blanks around '=': write 'optimizer.lr=3' as one word"),
    ("train optimizer.lr= 3", "blanks around '=': write 'optimizer.lr=3' as one word"),
    ("train optimizer.lr =3", "blanks around '=': write 'optimizer.lr=3' as one word"),
    ("train optimizer.lr 3", "'optimizer.lr' has no value: write optimizer.lr=3"),
    ("train optimizer.lr:3", "values are set with '=', as optimizer.lr=3"),
    ("train model", "'model' has no value: write model=..."),
    ("train modell", "cannot read 'modell': expected KEY=VALUE or GROUP=OPTION; did you mean 'model'?"),
    ("train books.txt", "cannot read 'books.txt': expected KEY=VALUE or GROUP=OPTION"),
    ("predict a.txt", "cannot read 'a.txt'"),
    ("train model=tiny,mini", "'model=tiny,mini' chooses several options: give -m"),
    ("train seed=1,2", "'seed=1,2' has several values: give -m for a run with each of them, or 'seed=[1,2]'"),
    ("train corpus=text corpus.files=a,b", "'corpus.files=[a,b]' for a list, or 'corpus.files=\"a,b\"' for one text"),
    ("train corpus=text corpus.files=[it's,b]", 'with quotes it is \'corpus.files=["it\'"\'"\'s","b"]\''),
    ("train callbacks.samples.sentences=['a", "cannot read"),
    ("train trainer={max_steps:3", "cannot read"),
    ("train run=${nope}", "Interpolation key 'nope' not found"),
    ("train run=${oc.evn:HOME}", "Unsupported interpolation type oc.evn"),
    ("train run=${oc.env:NO_SUCH_VARIABLE}", "NO_SUCH_VARIABLE"),
    ("train run=${seed", "run"),
    ("train ~nothing", "nothing"),
    ("train --help optimzer", "no such group, section or key; did you mean 'optimizer'?"),
    ("train --help optimizer=adam", "did you mean 'optimizer=adamw'?"),
    ("train --completion csh", "--completion is 'csh', but must be one of bash, zsh, fish"),
    ("train optimizer._target_=3", "optimizer._target_ is 3, but must be the dotted name"),
]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("mistakes")
    cases = [(line.split(" ")[0], line.split(" ")[1:]) for line, _ in MISTAKES]
    file = folder / "cases.json"
    file.write_text(json.dumps(cases), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "NO_SUCH_VARIABLE"}
    environment["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "src")])
    done = subprocess.run(
        [sys.executable, "-m", "tests.cli.mistakes", str(file)],
        cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["cases.json"]
    return dict(zip([line for line, _ in MISTAKES], json.loads(done.stdout), strict=True))


@pytest.mark.parametrize(("line", "message"), MISTAKES, ids=[line for line, _ in MISTAKES])
def test_one_sentence_before_anything_heavy(answers: dict[str, dict[str, Any]], line: str, message: str) -> None:
    answer = answers[line]
    assert message in answer["error"]
    assert answer["error"].startswith("error: ")
    assert len(answer["error"].strip().splitlines()) == 1
    assert answer["status"] == 2
    assert answer["heavy"] == []


def test_the_table_is_long_and_of_all_commands() -> None:
    commands = {line.split(" ")[0] for line, _ in MISTAKES}
    assert commands == {file.stem for file in (REPOSITORY / "conf").glob("*.yaml")}
    assert len(MISTAKES) >= 80
