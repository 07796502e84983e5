"""What a shell user types is what the configuration holds."""

import functools
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from cloze.cli.roots import SCHEMAS
from cloze.cli.words import refuse_mistakes
from cloze.config.arguments import conf_folder, forced, groups
from cloze.config.outline import Outline, outline
from cloze.config.spelling import quoted, spelled
from cloze.errors import InputError

OPTIONS = groups(conf_folder())
FIRST = "abZ09.,;:=|`()[]{}<>!#&%@+-*^/_\u00e9\u65e5\u0939\U0001f600"
ONE_FILE = [
    ("train", "init"), ("train", "folder"), ("train", "corpus.prepared"), ("predict", "input"), ("predict", "output"),
    ("features", "output"), ("features", "probe"), ("convert", "from"), ("convert", "to"), ("report", "output"),
    ("finetune task=classification", "task.data.train"),
    ("doctor", "data"), ("glue", "start_from"),
]  # fmt: skip
TEXTS = [
    ("finetune task=multilabel", "task.data.separator"), ("predict", "delimiter"), ("predict", "columns.text"),
    ("train", "run"),
]  # fmt: skip


@functools.cache
def outlined(command: str) -> Outline:
    name, *words = command.split()
    return outline(conf_folder(), name, SCHEMAS[name], forced(words, OPTIONS))


def held(command: str, key: str, value: str) -> Any:
    """What Hydra puts into the configuration when a word is typed."""
    *_, word = forced([f"{key}={value}"], OPTIONS)
    refuse_mistakes([f"{key}={value}"], outlined(command))
    override = OverridesParser.create().parse_override(spelled([word], outlined(command))[0])
    assert not override.is_sweep_override()
    plain = OmegaConf.to_container(OmegaConf.create({"x": override.value(), "seed": 1}), resolve=True)
    assert isinstance(plain, dict)
    return plain["x"]


@st.composite
def names(draw: st.DrawFn) -> str:
    """Of files: any signs, but not those by which Hydra and OmegaConf know their own: quotes around it, `${`, `~/`."""
    first: str = draw(st.sampled_from([*FIRST, " a", "(a", "~a"]))
    return first + "".join(draw(st.lists(st.sampled_from([*FIRST, "'", '"', " ", "~", "$a", "?a", "a\t"]), max_size=9)))


@pytest.mark.parametrize(("command", "key"), ONE_FILE, ids=[key for _, key in ONE_FILE])
@given(name=names())
@settings(max_examples=25)
def test_the_name_of_a_file_is_taken_as_it_is(command: str, key: str, name: str) -> None:
    assert held(command, key, name) == name


@pytest.mark.parametrize(("command", "key"), TEXTS, ids=[key for _, key in TEXTS])
@given(text=names())
@settings(max_examples=25)
def test_any_text_is_taken_as_it_is_but_for_several_values(command: str, key: str, text: str) -> None:
    """A comma may stand for a sweep whose `-m` was forgotten: the message has the spelling."""
    told = ""
    try:
        assert held(command, key, text) == text
    except InputError as error:
        told = str(error)
    if told:
        (spelling,) = shlex.split(told.partition("for a list, or ")[2].removesuffix(" for one text"))
        assert held(command, key, spelling.partition("=")[2]) == text


@given(name=names(), other=names())
@settings(max_examples=40)
def test_a_name_among_several(name: str, other: str) -> None:
    """Of a key that takes a list, too: a text without commas is one name; with them it is one where such a file is."""
    if "," not in name and not (name[0] == "[" and name[-1] == "]") and name[0] != "{":
        assert held("train corpus=text", "corpus.files", name) == name
    assert held("train corpus=text", "corpus.files", f"[{quoted(name)},{quoted(other)}]") == [name, other]


@pytest.mark.parametrize(
    ("command", "key", "value", "expected"),
    [
        ("finetune task=multilabel", "task.data.separator", ";", ";"),
        ("finetune task=multilabel", "task.data.separator", ",", ","),
        ("finetune task=multilabel", "task.data.separator", " ", " "),
        ("predict", "delimiter", "|", "|"),
        ("predict", "delimiter", "\\t", "\\t"),
        ("predict", "input", "null", None),
        ("predict", "input", "'a b, [1].txt'", "a b, [1].txt"),
        ("predict", "input", '"it\'s.txt"', "it's.txt"),
        ("predict", "input", "a\\,b.txt", "a,b.txt"),
        ("predict", "input", '"q', '"q'),
        ("predict", "input", "true", "true"),
        ("train", "run", "007", "007"),
        ("train", "run", "1e3", "1e3"),
        ("train", "run", "x-${seed}", "x-1"),
        ("train", "seed", "1e3", 1000),
        ("train", "init", "~/models/a b", str(Path.home() / "models/a b")),
        ("train corpus=text", "corpus.files", "[a.txt,b.txt]", ["a.txt", "b.txt"]),
        ("train corpus=text", "corpus.files", "[my file.txt,b/*.txt]", ["my file.txt", "b/*.txt"]),
        ("train corpus=text", "corpus.files", "[1].txt", "[1].txt"),
        ("train corpus=text", "corpus.files", "2024", "2024"),
    ],
)
def test_what_is_held(command: str, key: str, value: str, expected: Any) -> None:
    assert held(command, key, value) == expected


@pytest.mark.parametrize("sign", [";", "|", ",", "||", ", ", " ", "#", "&", "~", "[", ":", "\t", "'", "(", "="])
@pytest.mark.parametrize(
    ("command", "key"),
    [
        ("finetune task=multilabel", "task.data.separator"), ("finetune task=classification", "task.data.delimiter"),
        ("predict", "delimiter"), ("features", "delimiter"),
    ],
)  # fmt: skip
def test_what_stands_between_cells_or_labels(command: str, key: str, sign: str) -> None:
    assert held(command, key, sign) == sign


def test_a_file_that_is_there_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    message = re.escape("""or 'corpus.files=[a,b.txt]' for a list, or 'corpus.files="a,b.txt"' for one text""")
    with pytest.raises(InputError, match=message):
        held("train corpus=text", "corpus.files", "a,b.txt")
    Path("a,b.txt").touch()
    Path("[x]").touch()
    Path("a\\,b").touch()
    assert held("train corpus=text", "corpus.files", "a,b.txt") == "a,b.txt"
    assert held("train corpus=text", "corpus.files", "[x]") == "[x]"
    assert held("predict", "input", "a\\,b") == "a\\,b"
    Path("m,[1]").mkdir()
    assert forced(["model=m,[1]"], OPTIONS) == ["model=folder", "++model.folder=m,[1]"]
    assert held("predict", "model.folder", "m,[1]") == "m,[1]"
    Path("mini").mkdir()
    assert forced(["model=mini"], OPTIONS) == ["model=mini"]


def test_a_list_that_cannot_be_read_is_told_with_its_spelling() -> None:
    with pytest.raises(InputError) as told:
        held("train corpus=text", "corpus.files", "[it's.txt,b;c.txt]")
    spelling = shlex.split(str(told.value).partition("with quotes it is ")[2])[0]
    assert held("train corpus=text", "corpus.files", spelling.partition("=")[2]) == ["it's.txt", "b;c.txt"]


def test_a_sweep_keeps_its_commas() -> None:
    found = outline(conf_folder(), "predict", SCHEMAS["predict"])
    assert spelled(["-m", "++input=a,b"], found) == ["-m", "++input=a,b"]
    assert spelled(["-m", "++input=a;b,c"], found) == ["-m", '++input="a;b",c']
    assert spelled(["-m", "++top_k=range(1,4)"], found) == ["-m", "++top_k=range(1,4)"]


@given(name=names())
def test_what_is_spelled_once_stays(name: str) -> None:
    """The ranks of a run are started with the words as they were made for Hydra."""
    found = outline(conf_folder(), "predict", SCHEMAS["predict"])
    once = spelled([f"++input={name}"], found)
    assert spelled(once, found) == once
