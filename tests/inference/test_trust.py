"""What a model folder asks for is built where it is cloze's own or of a trusted package; anything else does nothing."""

import inspect
import json
import pkgutil
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import cloze.tasks
from cloze.checkpoint.pretrained import FIXED_OUTPUTS, read_pretrained
from cloze.checkpoint.record import Made, Record
from cloze.checkpoint.task_models import save_task_model
from cloze.cli import predict
from cloze.config.trust import import_packages
from cloze.errors import InputError
from cloze.inference.choose import make_predictor
from cloze.inference.predictor import Chosen, Inference, Options
from cloze.inference.rebuild import OWN, STOCK
from cloze.model.adaptation import Adaptation
from cloze.model.architecture import Head
from cloze.model.task_heads import TASK_MODELS
from cloze.tasks.finetuning import FineTuning
from cloze.text.tokenizer import SPECIAL_TOKENS, build_tokenizer
from tests.tiny import tiny_config

TOKENIZER = build_tokenizer([*SPECIAL_TOKENS, "a", "film", "good"])
SHAPE = tiny_config(TOKENIZER.get_vocab_size(), num_hidden_layers=1, max_position_embeddings=32)
OURS = "cloze.tasks.classification.Classification"
THEIRS = '''
import os
import subprocess
from pathlib import Path

from cloze.data.finetuning.classification import TextFeatures
from cloze.tasks.classification import Classification
from cloze.tasks.finetuning import FineTuning

Path(__file__).with_name("imported").touch()


class Rating(Classification):
    """Says the opposite."""

    def __init__(self, *, scale: int = 1, metrics=None, class_weights=None, threshold=None, model, labels, recipe):
        super().__init__(metrics=metrics, model=model, labels=labels, recipe=recipe)
        self.scale = scale

    def said(self, example, logits):
        return super().said(example, -logits * self.scale)


class NoTask:
    """Not a task."""

    def __init__(self, **_):
        Path(__file__).with_name("built").touch()
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A classifier; a package `theirs` leaves a file where it is imported."""
    (tmp_path / "theirs.py").write_text(THEIRS, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "theirs", raising=False)
    write(tmp_path / "model", "sequence_classification", ["bad", "good"], Record())
    return tmp_path / "model"


def write(folder: Path, head: Head, labels: list[str], record: Record) -> None:
    model = TASK_MODELS[head](SHAPE, FIXED_OUTPUTS.get(head, len(labels)), Adaptation())
    save_task_model(model, TOKENIZER, folder, head=head, labels=labels, record=record)


def asking(folder: Path, content: Any) -> None:
    (folder / "cloze.json").write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def made(folder: Path, *trust: str, **options: Any) -> Chosen:
    import_packages(trust)
    return make_predictor("task", read_pretrained(folder), Inference(), Options(**options), trust=trust)


def record(module: Any = None, features: Any = None, **more: Any) -> dict[str, Any]:
    return {"version": 1, "module": module, "features": features, **more}


DEEP: Any = []
for _ in range(100):
    DEEP = [DEEP]
PATHS = [
    *("os.system", "theirs.Rating", "theirs.os.system", "subprocess.Popen", "builtins.eval", "__main__.x"),
    *("cloze.checkpoint.saves.shutil", "cloze.checkpoint.saves.shutil.rmtree", "cloze.cli.predict.main"),
    *("cloze.tasks.finetuning.FineTuning", "cloze.config.trust.importlib.import_module", "cloze.antigravity.Rating"),
    *("Classification", "", "..", "a..b", "../theirs.Rating", "theirs:Rating", "theirs.Rating()", "os.system\n"),
    *("cloze.tasks.classification.Classification.step", "x." * 200 + "Rating", "тheirs.Rating"),
]
BAD: dict[str, Any] = {
    **{f"module {path[:50]!r}": record({"class": path, "arguments": {}}) for path in PATHS},
    **{f"features {path[:50]!r}": record(None, {"class": path, "arguments": {}}) for path in PATHS},
    "features as a module": record({"class": "cloze.data.finetuning.classification.TextFeatures", "arguments": {}}),
    "a module as features": record(None, {"class": OURS, "arguments": {}}),
    "another task's module": record({"class": "cloze.tasks.multiple_choice.MultipleChoice", "arguments": {}}),
    "a path that is a number": record({"class": 7}),
    "a path that is a list": record({"class": ["os", "system"]}),
    "a module that is text": record(OURS),
    "arguments that are a list": record({"class": OURS, "arguments": ["touch"]}),
    "a node": record({"class": OURS, "arguments": {"_target_": "os.system", "command": "touch built"}}),
    "a node inside": record({"class": OURS, "arguments": {"metrics": {"_target_": "os.system", "_args_": ["x"]}}}),
    "a node in a list": record({"class": OURS, "arguments": {"metrics": [{"_target_": "theirs.NoTask"}]}}),
    "an unknown argument": record({"class": OURS, "arguments": {"metricks": ["f1"]}}),
    "an argument of the program": record({"class": OURS, "arguments": {"model": "theirs.Rating"}}),
    "a wrong type": record(None, {"class": None, "arguments": {"max_length": "long"}}),
    "no whole number": record({"class": OURS, "arguments": {}}, {"class": None, "arguments": {"max_length": 1e30}}),
    "a length beyond the model": record(
        {"class": OURS, "arguments": {}}, {"class": None, "arguments": {"max_length": 33}}
    ),
    "depth": record({"class": OURS, "arguments": {"metrics": DEEP}}),
    "depth of the file": '{"version": 1, "module": ' + "[" * 100_000,
    "digits": '{"version": 1, "module": ' + "9" * 10_000 + "}",
    "a later version": {**record(), "version": 2},
    "a version that is true": {**record(), "version": True},
    "no version": {"module": None, "features": None},
    "no object": "[]",
    "no JSON": "{",
    "a state of texts": record(state={"x": "y"}),
    "a state that is NaN": '{"version": 1, "module": null, "features": null, "state": {"x": NaN}}',
    "a head that is a list": record(head=[1]),
    "a head without parts": record(head={}),
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_nothing_else_is_imported_or_built(folder: Path, content: Any) -> None:
    asking(folder, content)
    before = {*sys.modules}
    with pytest.raises(InputError) as refused:
        made(folder)
    assert "\n" not in str(refused.value)
    assert str(folder) in str(refused.value)
    assert {name for name in {*sys.modules} - before if not name.startswith("cloze.")} == set()
    assert not [file.name for file in folder.parent.iterdir() if file.name in ("imported", "built")]


@pytest.mark.parametrize(
    "path", ["theirs.NoTask", "theirs.FineTuning", "theirs.os", "theirs.os.system", "theirs.missing", "theirs.a.Rating"]
)
def test_of_a_trusted_package_only_tasks_are_built(folder: Path, path: str) -> None:
    asking(folder, record({"class": path, "arguments": {}}))
    with pytest.raises(InputError, match=r"is no class of modules|is no class of features"):
        made(folder, "theirs")
    assert not (folder.parent / "built").exists()


@pytest.mark.parametrize("trust", ["theirs.Rating", "nowhere", "os.system()", "-c", ""])
def test_what_is_no_package_cannot_be_trusted(trust: str) -> None:
    with pytest.raises(InputError, match=r"^trust="):
        import_packages([trust])


def test_the_command_says_what_to_type(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    asking(folder, record({"class": "theirs.Rating", "arguments": {"scale": 2}}))
    assert command(monkeypatch) == 2
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.endswith(
        "model/cloze.json: module asks for the class theirs.Rating of the package theirs, but only classes of cloze "
        "are built from a model folder: where you trust that package, add trust=theirs\n"
    )
    assert not (folder.parent / "imported").exists()
    assert command(monkeypatch, "trust=[theirs,json]") == 0
    theirs = probabilities(capfd.readouterr().out)
    asking(folder, record())
    assert command(monkeypatch) == 0
    stock = probabilities(capfd.readouterr().out)
    odds = {label: stock[label] / (1 - stock[label]) for label in stock}
    assert {label: theirs[label] / (1 - theirs[label]) for label in stock} == pytest.approx(
        {label: odds[label] ** -2 for label in stock}, rel=1e-4
    )
    asking(folder, record({"class": "os.system", "arguments": {"command": "touch built"}}))
    assert command(monkeypatch, "trust=theirs") == 2
    assert "add trust=os" in capfd.readouterr().err
    assert not (folder.parent / "built").exists()


def command(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["cloze-predict", "model=model", "text=a good film", "hardware.threads=1", *words])
    return predict.main()


def probabilities(line: str) -> dict[str, float]:
    found: dict[str, float] = json.loads(line)["probabilities"]
    return found


def test_the_arguments_of_training_are_those_of_prediction(folder: Path) -> None:
    features = Made(
        target="cloze.data.finetuning.questions.QuestionFeatures",
        arguments={"max_length": 20, "max_question_length": 6, "stride": 3},
    )
    answering = Made(
        target="cloze.tasks.question_answering.QuestionAnswering", arguments={"n_best": 3, "no_answer": True}
    )
    write(folder, "question_answering", [], Record(module=answering, features=features))
    predictor: Any = made(folder).predictor
    module, shown = predictor.module, predictor.features
    assert (module.n_best, module.max_answer_length, module.no_answer) == (3, 30, True)
    assert (shown.max_length, shown.max_question_length, shown.stride) == (20, 6, 3)
    other: Any = made(folder, n_best=7, no_answer=False, max_length=24).predictor
    assert (other.module.n_best, other.module.no_answer, other.features.max_length) == (7, False, 24)


def test_every_task_of_cloze_is_in_the_table() -> None:
    modules = [import_module(f"cloze.tasks.{module.name}") for module in pkgutil.iter_modules(cloze.tasks.__path__)]
    kinds = {
        kind
        for module in modules
        for kind in vars(module).values()
        if inspect.isclass(kind) and issubclass(kind, FineTuning) and not inspect.isabstract(kind)
    }
    assert kinds == {stock.module for stock in STOCK}
    assert {*OWN.values()} >= kinds


def test_a_record_is_read_as_it_was_written(folder: Path) -> None:
    arguments: Mapping[str, Any] = {"metrics": ["f1", "accuracy"], "threshold": None}
    written = Record(
        module=Made(target=OURS, arguments=arguments),
        features=Made(target=None, arguments={"max_length": 8}),
        state={"threshold:a": 0.25},
    )
    write(folder, "sequence_classification", ["a", "b"], written)
    assert read_pretrained(folder).record == written
