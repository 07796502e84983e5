"""A prepared corpus holds the text to the last token, whatever happened on the way."""

import json
import shutil
from collections import Counter
from dataclasses import replace
from itertools import groupby, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloze.errors import InputError
from cloze.text.journal import UNFINISHED
from cloze.text.manifest import MANIFEST, Manifest
from cloze.text.prepare import Preparation
from cloze.text.report import load_report
from cloze.text.sentences import English, Lines
from cloze.text.shards import read_shard
from cloze.text.sources.files import TextFiles
from cloze.text.steps import even_groups
from cloze.text.tokenizer import SPECIAL_TOKENS, WordPiece, load_tokenizer
from cloze.text.trained import ByteLevelBPE

Encoded = list[list[list[int]]]  # documents of sentences of token ids


def bytes_of(folder: Path) -> dict[str, bytes]:
    """All that a preparation writes except the report, which has the time in it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "report.json")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def documents_of(folder: Path, pattern: str = "*-*.arrow") -> Encoded:
    documents = []
    for path in sorted(folder.glob(pattern)):
        tokens, sentences, offsets, _ = read_shard(path)
        for first, last in pairwise(offsets):
            documents.append([tokens[a:b].tolist() for a, b in pairwise(sentences[first : last + 1])])
    return documents


@pytest.fixture(scope="session")
def wikitext(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Preparation:
    """Half a megabyte of WikiText-2, in pieces so small that there are many of everything."""
    text = (shared_data / "corpus/wikitext2/valid.txt").read_text(encoding="utf-8")[:500_000]
    path = tmp_path_factory.mktemp("wikitext") / "valid.txt"
    path.write_text(text, encoding="utf-8")
    return Preparation(
        source=TextFiles(files=str(path), unit_megabytes=0.03),
        sentences=English(),
        tokenizer=WordPiece(vocab_size=1000),
        task_megabytes=0.05,
        shard_tokens=40_000,
        heldout_fraction=0.1,
        workers=0,
    )


@pytest.fixture(scope="session")
def undisturbed(wikitext: Preparation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed") / "corpus"
    wikitext.run(folder)
    return folder


def test_what_lies_in_the_folder(wikitext: Preparation, undisturbed: Path) -> None:
    manifest = Manifest.load(undisturbed)
    names = [info.file for info in manifest.train + manifest.heldout]
    assert sorted(path.name for path in undisturbed.iterdir()) == sorted([MANIFEST, "report.json", "tokenizer", *names])
    assert len(manifest.train) > 2
    for info in manifest.train + manifest.heldout:
        tokens, sentences, documents, _ = read_shard(undisturbed / info.file)
        assert (info.tokens, info.sentences, info.documents) == (len(tokens), len(sentences) - 1, len(documents) - 1)
        assert 20_000 <= info.tokens <= 60_000 or info.file.startswith("heldout")
    heldout, train = (sum(info.documents for info in part) for part in (manifest.heldout, manifest.train))
    assert 0.05 < heldout / (heldout + train) < 0.15
    report = load_report(undisturbed)
    assert report["train"]["documents"] == train
    assert sum(entry["sentences"] for entry in report["sentence_lengths"]) == sum(
        info.sentences for info in manifest.train + manifest.heldout
    )
    assert report["unigram_entropy"] == manifest.unigram_entropy


def test_every_sentence_is_there(wikitext: Preparation, undisturbed: Path) -> None:
    """Against the plain statement of it: read, split, encode, one document after the other."""
    tokenizer = load_tokenizer(undisturbed / "tokenizer")
    expected = [
        [
            tokenizer.encode(sentence, add_special_tokens=False).ids
            for line in document.lines
            for sentence in wikitext.sentences.split(line)
        ]
        for unit in wikitext.source.units()
        for document in wikitext.source.documents(unit, Counter())
    ]
    found = documents_of(undisturbed, "train-*.arrow") + documents_of(undisturbed, "heldout-*.arrow")
    assert sorted(found) == sorted(expected)
    heldout = documents_of(undisturbed, "heldout-*.arrow")
    assert documents_of(undisturbed, "train-*.arrow") == [document for document in expected if document not in heldout]


@pytest.mark.parametrize("workers", [1, 3])
def test_any_number_of_workers_writes_the_same_bytes(
    wikitext: Preparation, undisturbed: Path, workers: int, tmp_path: Path
) -> None:
    replace(wikitext, workers=workers).run(tmp_path / "corpus")
    assert bytes_of(tmp_path / "corpus") == bytes_of(undisturbed)


WORDS = ["a", "b", "c", "d", "e"]


@settings(deadline=None, max_examples=40)
@given(
    lines=st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join) | st.just(""), max_size=30),
    remove=st.booleans(),
    heldout_fraction=st.sampled_from([0.0, 0.01, 0.5]),
    shard_tokens=st.sampled_from([5, 1000]),
    unit=st.sampled_from([0.00001, 1.0]),
)
def test_duplicates_and_heldout_against_the_plain_rule(
    lines: list[str],
    remove: bool,
    heldout_fraction: float,
    shard_tokens: int,
    unit: float,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("duplicates")
    (folder / "vocab.txt").write_text("\n".join([*SPECIAL_TOKENS, *WORDS]) + "\n")
    (folder / "text.txt").write_text("\n".join(lines) + "\n")
    preparation = Preparation(
        source=TextFiles(files=str(folder / "text.txt"), unit_megabytes=unit),
        sentences=Lines(),
        tokenizer=WordPiece(vocab=str(folder / "vocab.txt")),
        duplicates="remove" if remove else "count",
        heldout_fraction=heldout_fraction,
        shard_tokens=shard_tokens,
        task_megabytes=unit,
        workers=0,
    )
    documents = [list(block) for filled, block in groupby(lines, bool) if filled]
    if not documents:
        with pytest.raises(InputError, match="empty"):
            preparation.run(folder / "corpus")
        assert not (folder / "corpus").exists()
        return
    preparation.run(folder / "corpus")

    seen: set[str] = set()
    kept: list[list[str]] = []
    repeated = 0
    for document in documents:
        first = []
        for line in document:
            repeated += line in seen
            first += [line] if line not in seen or not remove else []
            seen.add(line)
        kept += [first] if first else []
    ids = {word: len(SPECIAL_TOKENS) + index for index, word in enumerate(WORDS)}
    expected = [[[ids[word] for word in line.split()] for line in document] for document in kept]
    train, heldout = (documents_of(folder / "corpus", f"{part}-*.arrow") for part in ("train", "heldout"))
    assert sorted(train + heldout) == sorted(expected)
    counts = load_report(folder / "corpus")["duplicates"]
    assert (counts["lines"], counts["of_lines"]) == (repeated, sum(map(len, documents)))
    assert counts["documents"] == len(documents) - len({tuple(document) for document in documents})
    if heldout_fraction and len({tuple(map(tuple, document)) for document in expected}) > 1 and not remove:
        assert heldout
    assert train
    if not remove:  # equal documents lie on one side
        assert not [document for document in train if document in heldout]


BLOCKS = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=3), max_size=8)


@settings(deadline=None, max_examples=30)
@given(blocks=BLOCKS, heldout=BLOCKS, remove=st.booleans(), shard_tokens=st.sampled_from([5, 1000]))
def test_heldout_files_are_held_out_whole_and_never_trained_on(
    blocks: list[list[str]],
    heldout: list[list[str]],
    remove: bool,
    shard_tokens: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("heldout")
    (folder / "vocab").write_text("\n".join([*SPECIAL_TOKENS, *WORDS]) + "\n")
    blocks, heldout = [["a", "b", "c", "d"], *blocks], [["e", "e"], *heldout]
    for name, texts in (("train", blocks), ("test", heldout)):
        (folder / f"{name}.txt").write_text("".join("\n".join(text) + "\n\n" for text in texts))
    preparation = Preparation(
        source=TextFiles(files=str(folder / "*.txt"), unit_megabytes=0.00001),
        heldout_files=str(folder / "test.txt"),
        sentences=Lines(),
        tokenizer=WordPiece(vocab=str(folder / "vocab")),
        duplicates="remove" if remove else "count",
        shard_tokens=shard_tokens,
        task_megabytes=0.00001,
        workers=0,
    )
    preparation.run(folder / "corpus")
    ids = {word: [len(SPECIAL_TOKENS) + index] for index, word in enumerate(WORDS)}
    seen: set[str] = set()
    expected = []
    for block in blocks:
        kept = []
        for line in block:
            kept += [ids[line]] if line not in seen or not remove else []
            seen.add(line)
        if kept and block not in heldout:
            expected.append(kept)
    assert documents_of(folder / "corpus", "train-*.arrow") == expected
    assert documents_of(folder / "corpus", "heldout-*.arrow") == [[ids[line] for line in block] for block in heldout]
    report = load_report(folder / "corpus")
    assert report["heldout_too"] == sum(block in heldout for block in blocks)
    assert bool(report["warnings"]) == bool(report["heldout_too"])
    assert all(excerpt in heldout for excerpt in report["heldout_excerpts"])


@given(sizes=st.lists(st.integers(0, 50), max_size=40), target=st.integers(1, 100))
def test_even_groups(sizes: list[int], target: int) -> None:
    groups = even_groups(sizes, target)
    assert [index for group in groups for index in group] == list(range(len(sizes)))
    assert all(len(group) for group in groups)
    assert all(sum(sizes[index] for index in group) <= 1.5 * target + 50 + 1 for group in groups)


def test_a_finished_corpus_is_accepted_as_it_is(wikitext: Preparation, undisturbed: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*")}
    assert replace(wikitext, workers=2).run(undisturbed) == Manifest.load(undisturbed)
    assert wikitext.ensure(undisturbed) == Manifest.load(undisturbed)
    assert {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*")} == before


def test_another_configuration_is_refused(wikitext: Preparation, undisturbed: Path) -> None:
    for preparation, message in (
        (replace(wikitext, duplicates="remove"), 'duplicates: was "count", is "remove"'),
        (replace(wikitext, tokenizer=WordPiece(vocab_size=2000)), "tokenizer.vocab_size: was 1000, is 2000"),
        (replace(wikitext, sentences=Lines()), "sentences.class: was .*English"),
    ):
        for prepare in (preparation.run, preparation.ensure):
            with pytest.raises(InputError, match=message):
                prepare(undisturbed)


@pytest.fixture
def own(tmp_path: Path) -> Preparation:
    path = tmp_path / "text.txt"
    path.write_text("one two.\nthree four.\n\nfive six.\n", encoding="utf-8")
    return Preparation(
        source=TextFiles(files=str(path)), sentences=English(), tokenizer=WordPiece(vocab_size=100), workers=0
    )


def test_characters_lost_are_counted_and_said(
    own: Preparation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "ab \u2603\u2603 " + "a" * 150 + "\n"
    (tmp_path / "lost.txt").write_text(text * 3, encoding="utf-8")
    vocab = tmp_path / "lost_vocab.txt"
    vocab.write_text("\n".join([*SPECIAL_TOKENS, "a", "b", "##a", "##b"]) + "\n", encoding="utf-8")
    words = WordPiece(vocab=str(vocab))
    preparation = replace(own, source=TextFiles(files=str(tmp_path / "lost.txt")), tokenizer=words, sentences=Lines())
    folder = tmp_path / "lost"
    preparation.run(folder)
    lost = {"all": 3 * 154, "unknown": 3 * 2, "overlong": 3 * 150, "altered": 0}
    assert load_report(folder)["characters"] == lost
    said = capsys.readouterr().err
    assert "warning: 98.7% of the text's characters are lost to [UNK]: 97.4% in words of more than 100" in said
    assert "tokenizer.max_input_chars_per_word=1000" in said
    assert "1.3% in words with characters that have no token (the given vocabulary lacks them" in said

    longer = replace(preparation, tokenizer=replace(words, max_input_chars_per_word=1000))
    longer.run(tmp_path / "longer")
    assert load_report(tmp_path / "longer")["characters"] == lost | {"overlong": 0}
    assert "in words of more than" not in capsys.readouterr().err


def test_the_text_decides_on_accents(own: Preparation, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "german.txt").write_text("Der schöne Käse.\n\nDie Küche ist schön.\n" * 5, encoding="utf-8")
    words = WordPiece(vocab_size=150)
    preparation = replace(own, source=TextFiles(files=str(tmp_path / "german.txt")), tokenizer=words)
    preparation.run(tmp_path / "kept")
    assert "set tokenizer.strip_accents=false" in capsys.readouterr().err
    assert "schöne" in load_tokenizer(tmp_path / "kept/tokenizer").get_vocab()
    preparation.run(tmp_path / "kept")  # the same command finds the same corpus
    stripped = replace(preparation, tokenizer=replace(words, strip_accents=True))
    stripped.run(tmp_path / "stripped")
    assert "set tokenizer.strip_accents=false to keep them" in capsys.readouterr().err
    assert "schone" in load_tokenizer(tmp_path / "stripped/tokenizer").get_vocab()


LANGUAGES = {
    "German": ("Der schöne Käse.\n\nDie Küche ist schön.", {"ö": "o", "ä": "a", "ü": "u"}, 4),
    "Arabic": ("أَكَلَ الوَلَدُ خُبْزًا\n\nفي القَرْيَةِ", {"َ": "", "ُ": "", "ْ": ""}, 14),
    "Thai": ("ภาษาไทยกี่คำ\n\nที่นี่ทำงาน", {"ี": "", "่": ""}, 6),
}
"""Two documents, the commonest letters that BERT's accent stripping alters, and how many it alters in all."""


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_a_tokenizer_does_to_a_language_is_reported(
    language: str, own: Preparation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, altered, count = LANGUAGES[language]
    (tmp_path / "language.txt").write_text(text, encoding="utf-8")
    words = WordPiece(vocab_size=150, strip_accents=True, min_frequency=1)
    source = TextFiles(files=str(tmp_path / "language.txt"))
    preparation = replace(own, source=source, tokenizer=words, sentences=Lines())
    manifest = preparation.run(tmp_path / "stripped")
    said, report = capsys.readouterr().err, load_report(tmp_path / "stripped")
    assert report["characters"] == {"all": len("".join(text.split())), "unknown": 0, "overlong": 0, "altered": count}
    assert {letter: report["altered"][letter] for letter in altered} == altered
    assert f"warning: normalisation alters {count / report['characters']['all']:.1%} of the text's characters" in said
    assert "set tokenizer.strip_accents=false to keep them" in said
    tokens = sum(info.tokens for info in (*manifest.train, *manifest.heldout))
    assert report["fertility"] == round(tokens / len(text.split()), 4)
    assert report["characters_per_token"] == round(report["characters"]["all"] / tokens, 4)

    bytewise = ByteLevelBPE(vocab_size=300, normalization="nfkc")
    replace(preparation, tokenizer=bytewise).run(tmp_path / "bytes")
    said, report = capsys.readouterr().err, load_report(tmp_path / "bytes")
    assert report["altered"] == ({"\u0e33": "\u0e4d\u0e32"} if language == "Thai" else {})
    assert ("set tokenizer.normalization=nfc to keep them" in said) == (language == "Thai")
    replace(preparation, tokenizer=replace(bytewise, normalization="nfc")).run(tmp_path / "kept")
    assert load_report(tmp_path / "kept")["characters"]["altered"] == 0
    assert "warning: normalisation" not in capsys.readouterr().err


def test_corpora_of_earlier_versions_are_read(own: Preparation, tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    preparation = replace(own, tokenizer=WordPiece(vocab_size=150))
    preparation.run(folder)
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    del manifest["config"]["tokenizer"]["max_input_chars_per_word"]
    manifest["config"]["tokenizer"]["alphabet_size"] = 1000
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    preparation.ensure(folder)


def test_training_needs_no_source(own: Preparation, tmp_path: Path) -> None:
    manifest = own.run(tmp_path / "corpus")
    (tmp_path / "text.txt").write_text("other text, of which nothing is prepared.\n")
    assert own.ensure(tmp_path / "corpus") == manifest
    with pytest.raises(InputError, match=r"prepared otherwise \(input files"):
        own.run(tmp_path / "corpus")
    (tmp_path / "text.txt").unlink()
    assert own.ensure(tmp_path / "corpus") == manifest


def test_changed_input_ends_an_unfinished_preparation(own: Preparation, tmp_path: Path) -> None:
    own.run(tmp_path / "corpus")
    plan = {"format": 1, "config": own.config(), "source": {"files": []}}
    (tmp_path / "corpus" / MANIFEST).unlink()
    (tmp_path / "corpus" / UNFINISHED).mkdir()
    (tmp_path / "corpus" / UNFINISHED / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(InputError, match=r"unfinished preparation of something else \(input files"):
        own.run(tmp_path / "corpus")
    assert (tmp_path / "corpus" / "train-00000.arrow").exists()


@pytest.mark.parametrize("name", ["plan", "encoded-00000", "duplicates"])
def test_a_damaged_record_is_named_and_nothing_goes(name: str, own: Preparation, tmp_path: Path) -> None:
    folder = tmp_path / "corpus"

    def stop(step: str, done: int, total: int) -> None:
        if step == "writing shards":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        own.run(folder, stop)
    record = folder / UNFINISHED / f"{name}.json"
    whole = record.read_bytes()
    record.write_bytes(whole[: len(whole) // 2])
    there = bytes_of(folder)
    message = f"{record} is damaged (.*); delete {folder}, and the same command starts from scratch"
    with pytest.raises(InputError, match=message):
        own.run(folder)
    assert bytes_of(folder) == there
    record.write_bytes(whole)
    own.run(folder)


def test_the_leftover_of_a_kill_after_the_manifest_goes(own: Preparation, tmp_path: Path) -> None:
    own.run(tmp_path / "corpus")
    shutil.copytree(tmp_path / "corpus", tmp_path / "copy")
    (tmp_path / "corpus" / UNFINISHED).mkdir()
    own.run(tmp_path / "corpus")
    assert bytes_of(tmp_path / "corpus") == bytes_of(tmp_path / "copy")


def test_folders_that_are_not_ours(own: Preparation, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(InputError, match="file: is a file, expected a folder"):
        own.run(file)
    with pytest.raises(InputError, match="file/corpus: cannot be written"):
        own.run(file / "corpus")
    strangers = tmp_path / "home"
    strangers.mkdir()
    (strangers / "thesis.tex").touch()
    with pytest.raises(InputError, match="home: is not empty and not a prepared corpus"):
        own.run(strangers)
    assert [path.name for path in strangers.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_text_names_file_and_line_and_leaves_nothing(own: Preparation, workers: int, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_bytes(b"one two.\n\nthree \xff four.\n")
    with pytest.raises(InputError, match=r"text\.txt, line 3.*UTF-8"):
        replace(own, workers=workers).run(tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()
    skipping = replace(own, source=TextFiles(files=str(tmp_path / "text.txt"), on_bad_line="skip"), workers=workers)
    skipping.run(tmp_path / "corpus")
    assert load_report(tmp_path / "corpus")["skipped"]["undecodable_lines"] == 1


def test_bad_vocabularies(own: Preparation, tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    for pieces, message in (
        (SPECIAL_TOKENS[:-1], r"vocab\.txt: has no \[MASK\]"),
        ([*SPECIAL_TOKENS, "a", "a"], r"vocab\.txt, line 7: repeats 'a'"),
    ):
        path.write_text("\n".join(pieces) + "\n")
        with pytest.raises(InputError, match=message):
            replace(own, tokenizer=WordPiece(vocab=str(path))).run(tmp_path / "corpus")
        assert not (tmp_path / "corpus").exists()


def test_a_vocabulary_counts_by_content(own: Preparation, tmp_path: Path) -> None:
    own.run(tmp_path / "first")
    given = replace(own, tokenizer=WordPiece(vocab=str(tmp_path / "first/tokenizer/vocab.txt")))
    given.run(tmp_path / "second")
    shutil.copy(tmp_path / "first/tokenizer/vocab.txt", tmp_path / "vocab.txt")
    replace(own, tokenizer=WordPiece(vocab=str(tmp_path / "vocab.txt"))).run(tmp_path / "second")
    for name in ("train-00000.arrow", "heldout-00000.arrow"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"duplicates": "drop"}, "preparation.duplicates=drop: expected count or remove"),
        ({"heldout_fraction": 0.6}, "preparation.heldout_fraction=0.6: expected 0 to 0.5, or 1 for all"),
        ({"shard_tokens": 0}, "preparation.shard_tokens=0: expected a positive number"),
        ({"task_megabytes": -1.0}, "preparation.task_megabytes=-1.0: expected a positive number"),
        ({"workers": -1}, "preparation.workers=-1: expected 0 or more"),
    ],
)
def test_bad_values_name_the_key(own: Preparation, change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(own, **change)  # type: ignore[arg-type]
