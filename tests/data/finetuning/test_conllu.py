"""CoNLL-U, against the reader of Universal Dependencies' users."""

from pathlib import Path

import pytest

from cloze.data.finetuning.conll import TaggedFiles
from cloze.data.tables.examples import TaggedExample
from cloze.errors import InputError

TWO = """# newdoc id = a
# sent_id = 1
# text = Vámonos al mar.
1-2\tVámonos\t_\t_\t_\t_\t_\t_\t_\t_
1\tVamos\tir\tVERB\tv\t_\t0\troot\t_\t_
2\tnos\tnosotros\tPRON\tp\t_\t1\tobj\t_\t_
3-4\tal\t_\t_\t_\t_\t_\t_\t_\t_
3\ta\ta\tADP\ts\t_\t5\tcase\t_\t_
4\tel\tel\tDET\td\t_\t5\tdet\t_\t_
5\tmar\tmar\tNOUN\tn\t_\t1\tobl\t_\tSpaceAfter=No
5.1\tfue\tir\tVERB\tv\t_\t_\t_\t0:root\t_
6\t.\t.\tPUNCT\tf\t_\t1\tpunct\t_\t_

# sent_id = 2
1\t10 000\t10 000\tNUM\tz\t_\t0\troot\t_\t_

# newdoc id = b
1\t#\t#\tSYM\tf\t_\t0\troot\t_\t_
"""


def read(folder: Path, content: str, split: str = "train", **keys: int | str) -> list[TaggedExample]:
    (folder / "es.conllu").write_text(content, encoding="utf-8")
    return TaggedFiles(**{split: str(folder / "es.conllu")}, **keys).read(split)  # type: ignore[arg-type]


def test_words_are_read_and_nothing_else(tmp_path: Path) -> None:
    first, second, third = read(tmp_path, TWO)
    assert first.words == ("Vamos", "nos", "a", "el", "mar", ".")
    assert first.tags == ("VERB", "PRON", "ADP", "DET", "NOUN", "PUNCT")
    assert (second.words, second.tags, third.words) == (("10 000",), ("NUM",), ("#",))
    assert [example.document for example in (first, second, third)] == [0, 0, 1]
    assert first.where == f"{tmp_path}/es.conllu, line 5"
    windows = read(tmp_path, TWO.replace("\n", "\r\n"))
    assert [(e.words, e.tags) for e in windows] == [(e.words, e.tags) for e in (first, second, third)]


def test_columns_have_names(tmp_path: Path) -> None:
    by_name, by_place = read(tmp_path, TWO, text="lemma", label="xpos")[0], read(tmp_path, TWO, text=2, label=-6)[0]
    assert by_name.words == by_place.words == ("ir", "nosotros", "a", "el", "mar", ".")
    assert by_name.tags == by_place.tags == ("v", "p", "s", "d", "n", "f")
    for wrong in ("pos", 10):
        with pytest.raises(
            InputError, match=rf"task\.data\.label={wrong}: CoNLL-U has the columns id, form, lemma, upos"
        ):
            read(tmp_path, TWO, label=wrong)


def test_a_sentence_without_tags_is_unlabelled(tmp_path: Path) -> None:
    line = "1\ta\t_\t_\t_\t_\t_\t_\t_\t_\n"
    assert read(tmp_path, line, "test")[0].tags is None
    with pytest.raises(InputError, match=r"es\.conllu, line 1: has no tags"):
        read(tmp_path, line)
    with pytest.raises(InputError, match=r"line 1: the word 'b' has no tag, but others have"):
        read(tmp_path, line.replace("a\t_\t_", "a\t_\tX") + line.replace("1\ta", "2\tb"))


@pytest.mark.parametrize("line", ["1 a a X x _ 0 root _ _", "1\ta\tX", "a\ta\ta\tX\tx\t_\t0\troot\t_\t_"])
def test_other_lines_are_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(InputError, match=r"es\.conllu, line 2: expected the ten columns of CoNLL-U with tabs"):
        read(tmp_path, f"# x\n{line}\n")


def test_real_cases(shared_cases: Path) -> None:
    """The same sentences in two columns and in CoNLL-U."""
    folder = shared_cases / "01-pos"
    columns, conllu = (TaggedFiles(train=str(folder / f"train.{kind}")).read("train") for kind in ("txt", "conllu"))
    assert {tag for example in columns for tag in example.tags or ()} == {"DET", "ADJ", "NOUN", "VERB", "PUNCT"}
    assert len(columns) == len(conllu) == 120
    assert {tag for example in conllu for tag in example.tags or ()} == {"DET", "ADJ", "NOUN", "VERB", "PUNCT"}
    assert all(not any("opensthis" in word for word in example.words) for example in conllu)
