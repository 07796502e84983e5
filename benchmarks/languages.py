"""What the settings of tokenizer and sentences do to text of many languages: the tables of docs/your_language.md.

    python -m benchmarks.languages FOLDER [--before sentences.py] [--vocab-size N]

FOLDER holds treebanks of Universal Dependencies, as `ar_pud-ud-test.conllu`: the raw text of sentences, and their
words (https://universaldependencies.org: UD_Arabic-PUD and the others have 1,000 sentences in as many languages). The
rules of sentences of an earlier version, `git show REVISION:src/cloze/text/sentences.py`, are measured, too, and so are
the libraries icu4py, pysbd and sentencex where they are installed.
"""

import argparse
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from cloze.text.encoding import WordEncoder
from cloze.text.languages import LANGUAGES
from cloze.text.scripts import suited, writing
from cloze.text.sentences import Chinese, English, Unicode
from cloze.text.tokenizer import WordPiece
from cloze.text.wordpiece import train_vocabulary

Split = Callable[[str], list[str]]
CASES = Path(__file__).resolve().parents[1] / "tests/text/sentences"
WITHOUT_SPACES = ("ja", "zh")
TOGETHER = 5
"""Sentences that are joined, then cut again."""

LEARNED_FROM = 0.8
"""Share of the sentences whose vocabulary the words of the others are cut with."""


class Text(NamedTuple):
    """Sentences, and how many words they have by the treebank."""

    sentences: list[str]
    words: list[int]


class Cut(NamedTuple):
    """What a tokenizer makes of a text.

    Attributes:
        lost: share of the characters under [UNK], where the vocabulary is the text's own.
        altered: share of the letters that accent stripping alters.
        pieces: tokens a word, in sentences that the vocabulary was not trained on.
    """

    lost: float
    altered: float
    pieces: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of the treebanks")
    parser.add_argument("--before", type=Path, help="rules of sentences of an earlier version")
    parser.add_argument("--vocab-size", type=int, default=8_000)
    options = parser.parse_args()
    texts = {language: read_text(options.folder, language) for language in LANGUAGES}
    texts = {language: text for language, text in texts.items() if text.sentences}
    print("| | sentences | lost to [UNK] | | altered | | tokens a word | |\n|---|---|---|---|---|---|---|---|")
    for language, text in texts.items():
        cuts = [measured(settings, text) for settings in tokenizers(options.vocab_size)]
        columns = [f"{value:.2f}" if name == "pieces" else f"{value:.1%}" for name, value in _by_column(cuts)]
        print(f"| {language} | {len(text.sentences):,} | {' | '.join(columns)} |", flush=True)
    _print_sentences(texts, options.before)


def read_text(folder: Path, language: str) -> Text:
    """All treebanks of a language in a folder."""
    text = Text([], [])
    for file in sorted(folder.glob(f"{language}_*.conllu")):
        for line in file.read_text(encoding="utf-8").splitlines():
            if line.startswith("# text = "):
                text.sentences.append(line.removeprefix("# text = ").strip())
                text.words.append(0)
            elif line[:1].isdigit() and line.split("\t")[0].isdigit():
                text.words[-1] += 1
    return text


def tokenizers(vocab_size: int) -> Iterator[WordPiece]:
    """BERT's settings, and ours where nothing is stated."""
    yield WordPiece(vocab_size=vocab_size, alphabet_size=1000, strip_accents=True, max_input_chars_per_word=100)
    yield WordPiece(vocab_size=vocab_size)


def measured(settings: WordPiece, text: Text) -> Cut:
    found = writing(text.sentences)
    decided, encoder = _trained(settings, text.sentences)
    losses = [encoder.lost(sentence, encoder.encode(sentence)) for sentence in text.sentences]
    altered = found.altered.total() / found.letters if decided.strips_accents else 0.0
    learned = int(LEARNED_FROM * len(text.sentences))
    _, encoder = _trained(settings, text.sentences[:learned])
    tokens = sum(len(encoder.encode(sentence)) // encoder.dtype.itemsize for sentence in text.sentences[learned:])
    return Cut(sum(map(sum, losses)) / found.characters, altered, tokens / sum(text.words[learned:]))


def _trained(settings: WordPiece, sentences: Sequence[str]) -> tuple[WordPiece, WordEncoder]:
    decided, _ = suited(settings, sentences)
    return decided, WordEncoder(decided.build(train_vocabulary(iter(sentences), decided)))


def _by_column(cuts: Sequence[Cut]) -> Iterator[tuple[str, float]]:
    return chain.from_iterable([(name, getattr(cut, name)) for cut in cuts] for name in Cut._fields)


def splitters(before: Path | None) -> dict[str, Callable[[str], Split]]:
    """For each name what makes the splitter of a language."""
    found: dict[str, Callable[[str], Split]] = {}
    if before is not None:
        earlier = _load(before)
        found["before"] = lambda _: earlier.English().split
    found["english"] = lambda _: English().split
    found["unicode"] = lambda language: Unicode(language=language).split
    found["chinese"] = lambda _: Chinese().split
    for name, made in (("sentencex", _sentencex), ("pysbd", _pysbd), ("icu4py.breakers", _icu)):
        if importlib.util.find_spec(name.partition(".")[0]):
            found[name.partition(".")[0]] = made(import_module(name))
    return found


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("sentences_before", path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path}: is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _sentencex(module: Any) -> Callable[[str], Split]:
    return lambda language: lambda line: _stripped(module.segment(language, line))


def _icu(module: Any) -> Callable[[str], Split]:
    return lambda language: lambda line: _stripped(module.SentenceBreaker(line, f"{language}@ss=standard"))


def _pysbd(module: Any) -> Callable[[str], Split]:
    def made(language: str) -> Split:
        known = language if language in module.languages.LANGUAGE_CODES else "en"
        segmenter = module.Segmenter(language=known, clean=False)
        return lambda line: _stripped(segmenter.segment(line))

    return made


def _stripped(pieces: Any) -> list[str]:
    return [piece.strip() for piece in pieces if piece.strip()]


def _print_sentences(texts: dict[str, Text], before: Path | None) -> None:
    made = splitters(before)
    hard = {language: cases for language, cases in hard_cases().items() if len(cases) == 36}
    print(f"\n| right of 36 | {' | '.join(hard)} |\n|---|{'---|' * len(hard)}")
    for name, splitter in made.items():
        counts = [
            sum(splitter(language)(glue(language).join(case)) == case for case in cases)
            for language, cases in hard.items()
        ]
        print(f"| {name} | {' | '.join(map(str, counts))} |", flush=True)
    print(f"\n| precision, recall | {' | '.join(texts)} |\n|---|{'---|' * len(texts)}")
    for name, splitter in made.items():
        columns = []
        for language, text in texts.items():
            groups = [text.sentences[i : i + TOGETHER] for i in range(0, len(text.sentences), TOGETHER)]
            columns.append("{:.3f} {:.3f}".format(*agreement(splitter(language), groups, glue(language))))
        print(f"| {name} | {' | '.join(columns)} |", flush=True)


def hard_cases() -> dict[str, list[list[str]]]:
    """The cases of each language, each as its sentences."""
    rows = {path.stem: path.read_text(encoding="utf-8").splitlines() for path in sorted(CASES.glob("*.txt"))}
    return {language: [case.split("|") for case in cases] for language, cases in rows.items()}


def glue(language: str) -> str:
    """What stands between sentences."""
    return "" if language in WITHOUT_SPACES else " "


def agreement(split: Split, groups: Sequence[Sequence[str]], glue: str) -> tuple[float, float]:
    """Precision and recall of the ends within groups of sentences, joined and split again."""
    right = found = there = 0
    for group in groups:
        expected, got = _ends(group), _ends(split(glue.join(group)))
        right, found, there = right + len(expected & got), found + len(got), there + len(expected)
    return right / max(found, 1), right / max(there, 1)


def _ends(sentences: Sequence[str]) -> set[int]:
    """Where sentences end, counted in visible characters."""
    ends, position = set(), 0
    for sentence in sentences[:-1]:
        position += len("".join(sentence.split()))
        ends.add(position)
    return ends


if __name__ == "__main__":
    main()
