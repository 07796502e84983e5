"""A corpus that is prepared with rules of quality, from real text."""

import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from cloze.errors import InputError
from cloze.text.documents import Document
from cloze.text.manifest import Prepared, folder_name
from cloze.text.prepare import Preparation
from cloze.text.quality.dropped import EXAMPLES
from cloze.text.quality.rules import QualityRules
from cloze.text.report import load_report
from cloze.text.sentences import English
from cloze.text.shards import read_shard
from cloze.text.sources.files import TextFiles
from cloze.text.tokenizer import WordPiece, load_tokenizer

RULES = QualityRules(min_words=60, max_duplicate_ngrams=[0.15], min_line_words=4)


@pytest.fixture(scope="module")
def wikitext(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Preparation:
    """Paragraphs of WikiText-2 as documents; of them some are headings, and some repeat themselves."""
    text = (shared_data / "corpus/wikitext2/valid.txt").read_text(encoding="utf-8")[:300_000]
    folder = tmp_path_factory.mktemp("wikitext")
    (folder / "train.txt").write_text(text[:250_000], encoding="utf-8")
    (folder / "test.txt").write_text(text[250_000:], encoding="utf-8")
    return Preparation(
        source=TextFiles(files=str(folder / "train.txt"), document_boundary="line", unit_megabytes=0.03),
        sentences=English(),
        tokenizer=WordPiece(vocab_size=600),
        quality=RULES,
        task_megabytes=0.05,
        shard_tokens=20_000,
        heldout_fraction=0.1,
        workers=0,
    )


def bytes_of(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    found = {str(path.relative_to(folder)): path.read_bytes() for path in files}
    report = json.loads(found.pop("report.json"))
    return found | {"quality": json.dumps([report["quality"], report["heldout_excerpts"]]).encode()}


def documents_of(folder: Path, pattern: str) -> list[list[int]]:
    shards = [read_shard(path) for path in sorted(folder.glob(pattern))]
    return [
        shard.tokens[shard.sentence_offsets[first] : shard.sentence_offsets[last]].tolist()
        for shard in shards
        for first, last in pairwise(shard.document_offsets)
    ]


def is_kept(document: Document) -> bool:
    """The rules, stated once more."""
    words = [word for line in document.lines for word in line.split()]
    fives = [tuple(words[begin : begin + 5]) for begin in range(len(words) - 4)]
    counts = Counter(fives)
    inside = {at + step for at, five in enumerate(fives) if counts[five] > 1 for step in range(5)}
    return len(words) >= 60 and sum(len(words[at]) for at in inside) <= 0.15 * len("".join(words))


def test_what_is_kept_is_in_the_shards_and_what_is_dropped_in_the_report(wikitext: Preparation, tmp_path: Path) -> None:
    wikitext.run(tmp_path / "corpus")
    tokenizer = load_tokenizer(tmp_path / "corpus/tokenizer")
    documents = [
        document for unit in wikitext.source.units() for document in wikitext.source.documents(unit, Counter())
    ]
    kept = [document.lines[0] for document in documents if is_kept(document)]
    assert 100 < len(kept) < len(documents) - 100
    expected = [tokenizer.encode(line, add_special_tokens=False).ids for line in kept]
    assert sorted(documents_of(tmp_path / "corpus", "*-*.arrow")) == sorted(expected)

    found = load_report(tmp_path / "corpus")["quality"]
    assert (found["documents"], found["dropped"]) == (len(documents), len(documents) - len(kept))
    assert found["heldout"] == {"documents": 0, "dropped": 0}
    rules = {rule["rule"]: rule for rule in found["rules"]}
    assert list(rules) == ["min_line_words", "min_words", "max_duplicate_ngrams (5 words)"]
    assert rules["min_words"]["limit"] == 60
    texts = {document.origin: document.lines[0] for document in documents}
    for rule in rules.values():
        assert len(rule["examples"]) == min(rule["dropped"], EXAMPLES) > 0
        assert all(texts[example["origin"]].startswith(example["text"][:299]) for example in rule["examples"])
    assert all(rule["examples"][0]["value"] < 60 for rule in (rules["min_words"], rules["min_line_words"]))
    begins = [int(example["origin"].split("byte ")[1]) for example in rules["min_words"]["examples"]]
    assert max(begins) - min(begins) > 100_000  # spread over the text


@pytest.mark.parametrize("workers", [2])
def test_the_number_of_workers_and_interruptions_change_nothing(
    wikitext: Preparation, workers: int, tmp_path: Path
) -> None:
    wikitext.run(tmp_path / "one")

    def stop(step: str, done: int, total: int) -> None:
        if step == "encoding" and done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace(wikitext, workers=workers).run(tmp_path / "two", stop)
    replace(wikitext, workers=workers).run(tmp_path / "two")
    assert bytes_of(tmp_path / "two") == bytes_of(tmp_path / "one")


def test_heldout_files_pass_the_same_rules(wikitext: Preparation, tmp_path: Path) -> None:
    test = Path(str(wikitext.source.units()[0].path)).with_name("test.txt")
    preparation = replace(wikitext, heldout_fraction=None, heldout_files=str(test))
    preparation.run(tmp_path / "corpus")
    found = load_report(tmp_path / "corpus")["quality"]["heldout"]
    assert 0 < found["dropped"] < found["documents"]
    heldout = documents_of(tmp_path / "corpus", "heldout-*.arrow")
    assert len(heldout) == found["documents"] - found["dropped"]


def test_rules_make_another_corpus(wikitext: Preparation, tmp_path: Path) -> None:
    without = replace(wikitext, quality=QualityRules())
    names = {
        folder_name("text", Prepared(each.config(), each.fingerprint()))
        for each in (without, wikitext, replace(wikitext, quality=replace(RULES, min_words=61)))
    }
    assert len(names) == 3
    assert "quality" not in without.config()  # as earlier versions named it
    wikitext.run(tmp_path / "corpus")
    with pytest.raises(InputError, match=r"quality.min_words: was 60, is 61; quality.stop_words: was null, is \["):
        replace(wikitext, quality=replace(RULES, min_words=61, stop_words=["a"])).run(tmp_path / "corpus")
    with pytest.raises(InputError, match=r"quality: was .*, is null"):
        without.run(tmp_path / "corpus")


def test_rules_that_drop_much_or_all_are_named(
    wikitext: Preparation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match=r"the corpus is empty: .* \d+ documents by quality.min_words=1000000"):
        replace(wikitext, quality=QualityRules(min_words=1_000_000)).run(tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()
    (tmp_path / "test.txt").write_text("too short\n", encoding="utf-8")
    whole = replace(wikitext, heldout_fraction=None, heldout_files=str(tmp_path / "test.txt"))
    with pytest.raises(InputError, match=r"the held-out text is empty: the rules of quality= drop all of its"):
        whole.run(tmp_path / "corpus")
    replace(wikitext, quality=QualityRules(min_words=120)).run(tmp_path / "corpus")
    assert "of the documents, most by quality.min_words=120: look at the examples" in capsys.readouterr().err
