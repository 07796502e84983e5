"""A few kilobytes of everything that the tutorials take from the reader's disk."""

import csv
import json
import random
from collections.abc import Iterable
from pathlib import Path
from pydoc_data.topics import topics

import torch

from cloze.checkpoint.folder import save_pretrained
from cloze.model.modern import ModernBertForPreTraining
from cloze.model.modern_config import ModernBertConfig
from cloze.text.tokenizer import WordPiece
from cloze.text.wordpiece import train_vocabulary

WORDS = ["the", "quick", "file", "returns", "one", "small", "object", "and", "then", "reads", "another", "list"]
CHINESE = ["今天", "天气", "很好", "我们", "去", "公园", "看", "花", "他", "喜欢", "读", "书"]


def make(folder: Path) -> None:
    """Fill the folder."""
    numbers = random.Random(1)
    for name, count in (("books", 2), ("notes", 1), ("zh", 1)):
        (folder / name).mkdir()
        for file in range(count):
            text = chinese(numbers) if name == "zh" else english(numbers)
            (folder / name / f"{file}.txt").write_text(text, encoding="utf-8")
    (folder / "genomes").mkdir()
    bases = ["".join(numbers.choices("ACGT", k=60)) for _ in range(400)]
    (folder / "genomes/0.fna").write_text(
        "\n".join([">one", *bases[:200], ">two", *bases[200:]]) + "\n", encoding="utf-8"
    )
    for name, count in (("promoters_train", 32), ("promoters_dev", 8)):
        table(folder / f"{name}.csv", ["sequence", "promoter"], [(bases[n], n % 2) for n in range(count)])
    modernbert(folder / "models/modernbert", (folder / "books/0.txt").read_text(encoding="utf-8"))
    (folder / "words.txt").write_text("the quick file\nthen reads another list\n", encoding="utf-8")
    (folder / "terms.txt").write_text("quickfile\nsmalllist\n", encoding="utf-8")
    for name, count in (("reviews_train", 48), ("reviews_dev", 16)):
        rows = [(sentence(numbers), numbers.randint(1, 3)) for _ in range(count)]
        table(folder / f"{name}.csv", ["review", "stars"], rows)
    table(folder / "new.csv", ["review"], [(sentence(numbers),) for _ in range(4)])
    table(folder / "zh_train.csv", ["text", "label"], [("".join(numbers.sample(CHINESE, 5)), n % 2) for n in range(32)])
    pairs = [(sentence(numbers), sentence(numbers), ("no", "yes")[n % 2]) for n in range(24)]
    table(folder / "pairs.tsv", ["first", "second", "same"], pairs, delimiter="\t")
    endings = [(*(sentence(numbers) for _ in range(4)), n % 3) for n in range(24)]
    table(folder / "endings.csv", ["start", "end_a", "end_b", "end_c", "right"], endings)
    topics = [{"text": sentence(numbers), "files": n % 2, "lists": n // 2 % 2} for n in range(24)]
    (folder / "topics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in topics), encoding="utf-8")
    tagged = "\n".join("the O\nquick B-THING\nfile I-THING\nreturns O\n" for _ in range(16))
    (folder / "names.conll").write_text(tagged, encoding="utf-8")
    documents(folder / "documents")
    (folder / "questions.json").write_text(json.dumps(squad()), encoding="utf-8")


def modernbert(folder: Path, text: str) -> None:
    """A ModernBERT with random weights."""
    words = WordPiece(vocab_size=300)
    tokenizer = words.build(train_vocabulary([text], words))
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 2, "num_hidden_layers": 4}
    torch.manual_seed(0)
    model = ModernBertForPreTraining(ModernBertConfig(vocab_size=tokenizer.get_vocab_size(), **sizes))  # type: ignore[arg-type]
    save_pretrained(model, tokenizer, folder)


def documents(folder: Path) -> None:
    """Real text: the beginnings of topics of Python's own help, the titles in their first lines."""
    folder.mkdir()
    for name, text in sorted(topics.items())[::3]:
        (folder / f"{name}.txt").write_text(text[:1500], encoding="utf-8")


def sentence(numbers: random.Random) -> str:
    """Words that follow each other by a rule, so that there is something to learn."""
    start, length = numbers.randrange(len(WORDS)), numbers.randint(5, 12)
    return " ".join(WORDS[(start + i) % len(WORDS)] for i in range(length))


def english(numbers: random.Random) -> str:
    documents = [
        "\n".join(f"{sentence(numbers).capitalize()}." for _ in range(numbers.randint(3, 8))) for _ in range(60)
    ]
    return "\n\n".join(documents) + "\n"


def chinese(numbers: random.Random) -> str:
    documents = ["".join("".join(numbers.sample(CHINESE, 6)) + "。" for _ in range(6)) for _ in range(60)]
    return "\n\n".join(documents) + "\n"


def table(file: Path, names: list[str], rows: Iterable[tuple[object, ...]], delimiter: str = ",") -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, delimiter=delimiter).writerows([names, *rows])


def squad() -> dict[str, object]:
    passage = "the quick file returns one small object and then reads another list"
    answers = {
        "what is returned?": "one small object",
        "what is read?": "another list",
        "what returns?": "the quick file",
    }
    questions = [
        {"id": f"{n}-{i}", "question": question, "answers": [{"text": text, "answer_start": passage.index(text)}]}
        for n in range(6)
        for i, (question, text) in enumerate(answers.items())
    ]
    return {"version": "1.1", "data": [{"title": "file", "paragraphs": [{"context": passage, "qas": questions}]}]}
