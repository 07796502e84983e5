"""On real text of many kinds, the ids of every kind of tokenizer are those of transformers."""

import lzma
import tarfile
from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from cloze.text.characters import Characters, Kmers
from cloze.text.encoding import WordEncoder
from cloze.text.sentences import English
from cloze.text.tokenizer import WordPiece, load_tokenizer, save_tokenizer
from cloze.text.tokenizer_source import TokenizerSource
from cloze.text.trained import ByteLevelBPE, Unigram

KINDS: dict[str, TokenizerSource] = {
    "wordpiece": WordPiece(vocab_size=2000),
    "bpe": ByteLevelBPE(vocab_size=2000),
    "unigram": Unigram(vocab_size=2000),
    "characters": Characters(),
    "kmer": Kmers(k=4, alphabet="ACGT"),
}
LINES_TOGETHER = 10
"""Of a FASTA file, which breaks sequences into lines of some 70 letters."""


def plain(file: Path) -> Iterator[str]:
    with (lzma.open if file.suffix == ".xz" else open)(file, "rt", encoding="utf-8-sig") as lines:
        yield from lines


def sources(archive: Path) -> Iterator[str]:
    with tarfile.open(archive) as files:
        for member in files:
            content = files.extractfile(member) if member.name.endswith(".py") else None
            yield from () if content is None else content.read().decode().splitlines()


def letters(file: Path) -> Iterator[str]:
    lines = (line.strip() for line in plain(file) if not line.startswith(">"))
    while piece := "".join(islice(lines, LINES_TOGETHER)):
        yield piece


TEXTS: dict[str, tuple[str, Callable[[Path], Iterator[str]]]] = {
    "english": ("corpus/wikitext2/test.txt", plain),
    "chinese": ("corpus/zh_clue_small.txt", plain),
    "german": ("lang/de_leipzig_wikipedia_2021_10k.txt.xz", plain),
    "arabic": ("lang/ar_tanzil_simple_clean.txt.xz", plain),
    "japanese": ("lang/ja_soseki/bottyan.txt.xz", plain),
    "python": ("code/thealgorithms_python.tar.xz", sources),
    "dna": ("bio/ecoli_k12_genome.fna.xz", letters),
    "proteins": ("bio/ecoli_k12_proteins.faa.xz", letters),
}


def read(folder: Path, name: str, megabytes: float) -> list[str]:
    """The lines of a text up to this size, as they are but for their line breaks."""
    path, reader = TEXTS[name]
    if not (folder / path).exists():
        pytest.skip(f"no real data: {folder / path} is not there")
    found, size = [], 0
    for line in reader(folder / path):
        if size >= 1e6 * megabytes:
            break
        found.append(line.rstrip("\n"))
        size += len(line.encode())
    return found


@cache
def tokenizers(folder: Path, kind: str) -> tuple[Tokenizer, PreTrainedTokenizerFast]:
    """One that all texts have taught, and the same as transformers reads it from the folder."""
    lines = [line for name, (path, _) in TEXTS.items() if (folder / path).exists() for line in read(folder, name, 0.01)]
    with TemporaryDirectory() as place:
        save_tokenizer(KINDS[kind].learn(lines.copy).tokenizer.tokenizer, Path(place))
        return load_tokenizer(Path(place)), AutoTokenizer.from_pretrained(place)


def compare(folder: Path, name: str, megabytes: float) -> None:
    lines = read(folder, name, megabytes)
    splitter = English()
    sentences = [sentence for line in lines for sentence in splitter.split(line)]
    assert sum(map(len, sentences)) > 1e4
    for kind in KINDS:
        ours, theirs = tokenizers(folder, kind)
        assert [encoding.ids for encoding in ours.encode_batch(lines)] == theirs(lines)["input_ids"], kind
        expected = theirs(sentences, add_special_tokens=False)["input_ids"]
        encoder = WordEncoder(ours)
        for sentence, ids in zip(sentences, expected, strict=True):
            assert np.frombuffer(encoder.encode(sentence), encoder.dtype).tolist() == ids, (kind, sentence)


@pytest.mark.parametrize("name", TEXTS)
def test_ids_are_those_of_transformers(shared_data: Path, name: str) -> None:
    pytest.importorskip("sentencepiece")
    compare(shared_data, name, 0.04)


@pytest.mark.long
@pytest.mark.parametrize("name", TEXTS)
def test_ids_of_everything_are_those_of_transformers(shared_data: Path, name: str) -> None:
    pytest.importorskip("sentencepiece")
    compare(shared_data, name, float("inf"))
