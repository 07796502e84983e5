"""A text with something to learn, for the tests that pre-train."""

import random

WORDS = ["the", "quick", "file", "returns", "one", "small", "object", "and", "then", "reads", "another", "list"]


def small_text() -> str:
    """120 documents, a sentence a line, whose words follow each other by a rule."""
    numbers = random.Random(1)
    documents = []
    for _ in range(120):
        sentences = []
        for _ in range(numbers.randint(3, 8)):
            start, length = numbers.randrange(len(WORDS)), numbers.randint(5, 12)
            sentence = " ".join(WORDS[(start + i) % len(WORDS)] for i in range(length))
            sentences.append(sentence.capitalize() + ".")
        documents.append("\n".join(sentences))
    return "\n\n".join(documents) + "\n"
