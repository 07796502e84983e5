"""`cloze-search`: the texts that are nearest to a query."""

import sys

from cloze.cli import command
from cloze.config.searching import Searching
from cloze.runtime.spinner import waiting


def main() -> int:
    """Search as the command line says; returns the exit status."""
    values, sys.argv[1:] = command.values_of(["query"], sys.argv[1:])  # in which brackets and commas are text

    def search(config: Searching) -> None:
        with waiting("loading libraries"):
            from cloze.retrieval import searching  # late: this imports torch

        searching.search(config, values["query"])

    return command.run(search, name="search", schema=Searching)


if __name__ == "__main__":
    sys.exit(main())
