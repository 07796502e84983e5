"""Questions from SQuAD's JSON and from tables."""

import gzip
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloze.data.finetuning.squad import UNKNOWN, QuestionFiles, nearest
from cloze.data.tables.examples import Answer, QuestionExample
from cloze.errors import InputError

CONTEXT = "Ada met Bo. Bo met Cy."


def squad(*questions: dict[str, Any], context: str = CONTEXT) -> dict[str, Any]:
    return {"data": [{"title": "T", "paragraphs": [{"context": context, "qas": list(questions)}]}]}


def question(name: str = "q1", *answers: tuple[str, int], **more: Any) -> dict[str, Any]:
    found = [{"text": text, "answer_start": start} for text, start in answers]
    return {"id": name, "question": " Who? ", "answers": found, **more}


def write(path: Path, document: object) -> str:
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("file", "questions", "impossible"),
    [
        ("squad_dev-v1.1.json.zip", 10_570, 0),
        ("squad_v2_dev_half_cs224n.json", 6_078, 3_168),
        ("squadshifts_reddit_v1.0.json", 9_803, 0),
        ("squadshifts_amazon_reviews_v1.0.json", 9_885, 0),
        ("cmrc2018_dev.json", 3_219, 0),
    ],
)
def test_every_published_set_is_read_whole(shared_data: Path, file: str, questions: int, impossible: int) -> None:
    source = QuestionFiles(dev=str(shared_data / "qa" / file), no_answer=impossible > 0)
    found = source.read("dev")
    assert (len(found), sum(example.impossible for example in found)) == (questions, impossible)
    for example in found:
        for answer in example.answers or ():
            assert answer.start == UNKNOWN or example.context.startswith(answer.text, answer.start)
    if not file.startswith("cmrc"):
        assert not source.counts


def test_answers_that_do_not_stand_where_they_should(shared_data: Path) -> None:
    """200 answers of CMRC 2018's dev set, of which the passages have seven elsewhere; each question has a right one."""
    file = str(shared_data / "qa" / "cmrc2018_dev.json")
    source = QuestionFiles(train=file)
    found = source.read("train")
    assert len(found) == 3_219
    assert source.counts == {"answers outside their passage": 193, "answers placed by their text, not their start": 7}
    outside = [(e, a) for e in found for a in e.answers or () if a.start == UNKNOWN]
    assert not any(answer.text in example.context for example, answer in outside)
    with pytest.raises(InputError, match=r"question DEV_.* its passage does not have the answer .*on_misaligned=skip"):
        QuestionFiles(dev=file, on_misaligned="stop").read("dev")


def test_questions_that_nothing_can_be_learned_from(tmp_path: Path) -> None:
    file = write(tmp_path / "a.json", squad(question("q1", ("Di", 0)), question("q2", ("Di", 0), ("Bo", 8))))
    source = QuestionFiles(train=file, dev=file)
    assert [example.id for example in source.read("train")] == ["q2"]
    assert source.counts["questions left out of training: answers outside their passage"] == 1
    assert [example.id for example in source.read("dev")] == ["q1", "q2"]


def test_squad_json(tmp_path: Path) -> None:
    file = write(tmp_path / "a.json", squad(question("q1", ("Bo", 8), ("Bo.", 8)), question("q2", ("Cy", 2))))
    source = QuestionFiles(train=file)
    first, second = source.read("train")
    assert first == QuestionExample(
        id="q1",
        where=f"{file}, question q1",
        question="Who?",
        context=CONTEXT,
        answers=(Answer("Bo", 8), Answer("Bo.", 8)),
    )
    assert second.answers == (Answer("Cy", 19),)
    assert source.counts == {"answers placed by their text, not their start": 1}
    content = Path(file).read_bytes()
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(content))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("deep/a.json", content)
        archive.writestr("README", "")
    for name in ("a.json.gz", "a.zip"):
        again = QuestionFiles(train=str(tmp_path / name)).read("train")
        assert [example.answers for example in again] == [first.answers, second.answers]


def test_questions_without_answers(tmp_path: Path) -> None:
    plausible = {"plausible_answers": [{"text": "Bo", "answer_start": 8}], "is_impossible": True}
    file = write(tmp_path / "a.json", squad(question("q1", ("Bo", 8)), question("q2"), question("q3", **plausible)))
    found = QuestionFiles(train=file, no_answer=True).read("train")
    assert [(example.impossible, example.answers) for example in found] == [
        (False, (Answer("Bo", 8),)),
        (True, ()),
        (True, ()),
    ]
    with pytest.raises(InputError, match=r"question q2: has no answer; .* set task.data.no_answer=true"):
        QuestionFiles(train=file).read("train")


def test_a_test_split_may_be_unlabelled(tmp_path: Path) -> None:
    asked = squad({"id": 7, "question": "Who?"})
    file = write(tmp_path / "a.json", asked)
    (only,) = QuestionFiles(test=file).read("test")
    assert (only.id, only.answers, only.impossible) == ("7", None, False)
    with pytest.raises(InputError, match=r"question 7: has no list 'answers'"):
        QuestionFiles(dev=file).read("dev")
    table = write(tmp_path / "a.csv", f"question,context\nWho?,{CONTEXT}\n")
    assert QuestionFiles(test=table).read("test")[0].answers is None
    partly = write(tmp_path / "b.csv", f"question,context,answers\nWho?,{CONTEXT},\n")
    assert QuestionFiles(test=partly).read("test")[0].answers is None
    hidden = write(tmp_path / "c.json", squad(question("q1"), question("q2")))
    found = QuestionFiles(test=hidden, no_answer=True).read("test")
    assert [(example.answers, example.impossible) for example in found] == [(None, False)] * 2
    some = write(tmp_path / "d.json", squad(question("q1"), question("q2", ("Bo", 8))))
    assert [e.impossible for e in QuestionFiles(test=some, no_answer=True).read("test")] == [True, False]


def test_tables(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "question": "Who?", "context": f" {CONTEXT}", "answers": {"text": ["Bo"], "answer_start": [9]}},
        {"id": "b", "question": "Why?", "context": f" {CONTEXT}", "answers": {"text": [], "answer_start": []}},
    ]
    lines = write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    for file in (lines, str(tmp_path / "a.parquet")):
        first, second = QuestionFiles(train=file, no_answer=True).read("train")
        assert (first.id, first.question, first.context) == ("a", "Who?", f" {CONTEXT}")
        assert (first.answers, first.impossible) == ((Answer("Bo", 9),), False)
        assert (second.answers, second.impossible) == ((), True)
    plain = write(tmp_path / "a.csv", f"q,c,a,s\nWho?,{CONTEXT},Bo,12\nWhom?,{CONTEXT},Bo,\n")
    named = QuestionFiles(train=plain, text="q", text_pair="c", label="a", start="s").read("train")
    assert [example.answers for example in named] == [(Answer("Bo", 12),), (Answer("Bo", 8),)]
    assert named[0].where == f"{plain}, line 2"
    placed = QuestionFiles(train=plain, text=0, text_pair=1, label=2, header=True).read("train")
    assert [example.answers for example in placed] == [(Answer("Bo", 8),), (Answer("Bo", 8),)]


ROW = {"id": "a", "question": "Who?", "context": CONTEXT, "answers": {"text": ["Bo"], "answer_start": [8]}}
FLAT: dict[str, str] = {
    "data": json.dumps({"version": "0.1", "data": [ROW, {**ROW, "id": "b"}]}),
    "a list": json.dumps([ROW, {**ROW, "id": "b"}], indent=1),
    "lines": f"{json.dumps(ROW)}\n{json.dumps({**ROW, 'id': 'b'})}\n",
    "SQuAD's answers": json.dumps([ROW, {**ROW, "id": "b", "answers": [{"text": "Bo", "answer_start": 8}]}]),
    "an answer": json.dumps([ROW, {**ROW, "id": "b", "answers": {"text": "Bo", "answer_start": 8}}]),
}


@pytest.mark.parametrize("name", FLAT)
def test_a_row_for_each_question(tmp_path: Path, name: str) -> None:
    """As the examples of transformers read it; a row more or less is what SQuAD's own JSON says."""
    nested = write(tmp_path / "nested.json", squad(question("a", ("Bo", 8)), question("b", ("Bo", 8))))
    expected = QuestionFiles(train=nested).read("train")
    found = QuestionFiles(train=write(tmp_path / "flat.json", FLAT[name])).read("train")
    assert [(e.id, e.question, e.context, e.answers) for e in found] == [
        (e.id, e.question, e.context, e.answers) for e in expected
    ]
    (tmp_path / "flat.json.gz").write_bytes(gzip.compress(FLAT[name].encode()))
    assert QuestionFiles(train=str(tmp_path / "flat.json.gz")).read("train")[1].answers == expected[1].answers


def test_rows_of_documents_are_checked_as_others(tmp_path: Path) -> None:
    empty = [ROW, {**ROW, "id": "b", "answers": {"text": [], "answer_start": []}}]
    file = write(tmp_path / "a.json", {"data": empty})
    with pytest.raises(InputError, match=r"a\.json, row 2: has no answer; .*task\.data\.no_answer=true"):
        QuestionFiles(train=file).read("train")
    assert QuestionFiles(train=file, no_answer=True).read("train")[1].impossible
    hidden = write(tmp_path / "b.json", [{**ROW, "answers": {"text": [], "answer_start": []}}])
    assert QuestionFiles(test=hidden).read("test")[0].answers is None
    with pytest.raises(InputError, match=r"has no column 'question' for task\.data\.text; .*'ask'"):
        QuestionFiles(train=write(tmp_path / "c.json", [{"ask": "Who?", "context": CONTEXT}])).read("train")
    renamed = write(tmp_path / "d.json", [{"ask": "Who?", "passage": CONTEXT, "answer": "Bo"}])
    named = QuestionFiles(train=renamed, text="ask", text_pair="passage", label="answer").read("train")
    assert named[0].answers == (Answer("Bo", 8),)
    with zipfile.ZipFile(tmp_path / "e.zip", "w") as archive:
        archive.writestr("a.json", FLAT["a list"])
    with pytest.raises(InputError, match=r"e\.zip: holds a row for each question; unpack it"):
        QuestionFiles(train=str(tmp_path / "e.zip")).read("train")
    articles = write(tmp_path / "f.json", squad(question("a", ("Bo", 8)))["data"])
    assert QuestionFiles(train=articles).read("train")[0].id == "a"


@pytest.mark.parametrize("kind", ["flat", "list"])
def test_real_cases(shared_cases: Path, kind: str) -> None:
    folder = shared_cases / "06-qa"
    expected = QuestionFiles(train=str(folder / "train_squad.json")).read("train")
    found = QuestionFiles(train=str(folder / f"train_{kind}.json")).read("train")
    assert [(e.id, e.question, e.context, e.answers) for e in found] == [
        (e.id, e.question, e.context, e.answers) for e in expected
    ]


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in question("q1", ("Bo", 8)).items() if name != key}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "a.json: is not JSON"),
        ([], "a.json: is no JSON object; expected the JSON of SQuAD"),
        ({"version": "1"}, "a.json: has no list 'data'; expected the JSON of SQuAD"),
        ({"data": [1]}, r"a.json, data\[0\]: is no object"),
        ({"data": [{}]}, r"a.json, data\[0\]: has no list 'paragraphs'"),
        ({"data": [{"paragraphs": [{"qas": []}]}]}, r"data\[0\], paragraphs\[0\]: has no 'context'"),
        (squad(without("id")), r"data\[0\], paragraphs\[0\], qas\[0\]: has no 'id'"),
        (squad(without("question")), "a.json, question q1: has no 'question'"),
        (squad(without("answers")), "a.json, question q1: has no list 'answers'"),
        (squad(question("q1", ("", 0))), r"question q1, answers\[0\]: has no 'text', or an empty one"),
        (squad({**question(), "answers": [{"text": "Bo"}]}), r"answers\[0\]: has no whole number 'answer_start'"),
        (squad(question("q1", ("Bo", 8)), question("q1", ("Bo", 8))), "has the id 'q1' of .*question q1"),
        (squad(question("q1", ("Bo", 8)), context="\ud83d"), "its context has half of a surrogate pair"),
    ],
)
def test_what_is_not_squad(tmp_path: Path, document: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        QuestionFiles(train=write(tmp_path / "a.json", document)).read("train")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"answers": {"text": ["Bo"], "answer_start": []}, "context": " "}, "line 1: has no passage"),
        ({"answers": {"text": 7}}, "line 1: its answer is .* must be one text or several"),
        ({"answers": [{"text": "Bo"}, {"answer_start": 1}]}, "line 1: its answer is .* must be one text or several"),
        ({"answers": {"text": ["Bo", "Cy"], "answer_start": [1]}}, "its 2 answers have other starts"),
        ({"answers": {"text": ["Bo"], "answer_start": ["x"]}}, "its answer starts at 'x': must be a number"),
        ({"answers": [""]}, "must be one text or several"),
        ({"question": ""}, "line 1: has an empty question; fix it, or skip and count such rows"),
    ],
)
def test_rows_that_are_no_questions(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    rows = {"question": "Who?", "context": CONTEXT, "answers": "Bo", **row}
    with pytest.raises(InputError, match=message):
        QuestionFiles(train=write(tmp_path / "a.jsonl", rows)).read("train")


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    def damaged(name: str, make: Callable[[Path], object]) -> str:
        make(tmp_path / name)
        return str(tmp_path / name)

    with pytest.raises(InputError, match=r"a.json: there is no such file \(.* https://x\); set task.data.dev=FILE"):
        QuestionFiles(dev=str(tmp_path / "a.json"), homepage="https://x").read("dev")
    with pytest.raises(InputError, match="is not a ZIP archive"):
        QuestionFiles(dev=damaged("b.zip", lambda path: path.write_bytes(b"PK"))).read("dev")
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("a.txt", "")
    with pytest.raises(InputError, match=r"c.zip: has 0 .json files"):
        QuestionFiles(dev=str(tmp_path / "c.zip")).read("dev")


@given(st.text("ab", max_size=12), st.text("ab", min_size=1, max_size=3), st.integers(-1, 14))
def test_the_nearest_place(context: str, text: str, start: int) -> None:
    places = [place for place in range(len(context)) if context.startswith(text, place)]
    found = nearest(context, Answer(text, start))
    if not places:
        assert found == UNKNOWN
    elif start == UNKNOWN:
        assert found == places[0]
    else:
        assert found in places
        assert abs(found - start) == min(abs(place - start) for place in places)
