"""An extension of griffe's: examples that stand in a docstring as they are become blocks of code."""

import re

import griffe

EXAMPLE = re.compile(r"(?:^|(?<=\n\n))(>>> .*?)(?=\n\n|\Z)", re.DOTALL)
FLAG = re.compile(r"\s*# doctest: .*$", re.MULTILINE)


class Doctests(griffe.Extension):
    """Markdown takes `>>>` for quotations within quotations."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Fence the examples of an object."""
        if obj.docstring is not None and ">>>" in obj.docstring.value:
            obj.docstring.value = EXAMPLE.sub(_fenced, obj.docstring.value)


def _fenced(example: re.Match[str]) -> str:
    return f"```pycon\n{FLAG.sub('', example[1])}\n```"
