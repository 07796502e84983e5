"""Prepare a corpus from raw text, for ``cloze-prepare`` and for training without a prepared corpus."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers.models import WordPiece

from cloze.errors import InputError
from cloze.files.partial_output import HeldError
from cloze.files.remote import Location
from cloze.text.bert_rules import own_tokens
from cloze.text.journal import Journal, describe, open_journal
from cloze.text.manifest import Manifest, Prepared, changed_preparation, place, sha256
from cloze.text.pipeline import Pipeline
from cloze.text.pool import Engine, LocalEngine
from cloze.text.progress import ReportsProgress, silent
from cloze.text.report import print_warnings
from cloze.text.settings import PreparationSettings
from cloze.text.tokenizer import tokenizer_sha256, vocabulary


@dataclass(frozen=True, kw_only=True)
class Preparation(PreparationSettings):
    """How raw text becomes a prepared corpus."""

    def fingerprint(self) -> dict[str, Any]:
        """What identifies the input, as JSON.

        Raises:
            InputError: it cannot be found.
        """
        found: dict[str, Any] = describe((self.training_source or self.source).fingerprint())
        if self.heldout_files is not None and self.heldout_source is not None:
            found["heldout"] = describe(self.heldout_source.fingerprint())
        return found

    def place(
        self,
        name: str,
        *,
        vocabulary: dict[str, Any] | None = None,
        check_tokenizer: Callable[[Path], None] | None = None,
    ) -> Path:
        """The folder below ``data/`` of this corpus, which may not exist yet: see `cloze.text.manifest`.

        Args:
            name: of the corpus.
            vocabulary: what takes the place of `tokenizer` in the name of the folder.
            check_tokenizer: refuses a finished corpus for its tokenizer; None goes by the configuration.

        Raises:
            InputError: the input cannot be found, and no corpus that was prepared from it.
        """
        config, (source, absent) = self.config(), self._input()
        if vocabulary is not None:
            config["tokenizer"] = vocabulary
        found = place(name, config, source, check_tokenizer=check_tokenizer)
        if found is None:
            assert absent is not None
            raise absent
        return found

    def run(self, folder: Location, progress: ReportsProgress = silent, engine: Engine | None = None) -> Manifest:
        """Prepares the corpus in `folder`; resumes what was stopped there, and accepts what is finished.

        Args:
            folder: becomes the prepared corpus; must be absent, empty, or the work of the same preparation.
            progress: called at each step.
            engine: does the work; by default processes of this machine.

        Returns:
            The manifest, which then lies in the folder.

        Raises:
            InputError: the input, the configuration or the folder is bad, or what lies there does not match.
        """
        journal = Journal(folder)
        try:
            fingerprint, config = self.fingerprint(), self.config()  # bad input is reported before writing
            if journal.finished and not journal.work.exists():
                return _finished(folder, config, fingerprint)
            with open_journal(folder) as journal:
                if journal.finished:
                    return _finished(folder, config, fingerprint)
                return Pipeline(self, journal, config, fingerprint, progress, engine or LocalEngine()).run()
        except OSError as error:
            raise InputError(
                f"{error.filename or folder}: {error.strerror or error}; fix that and run the same command again, "
                "finished work is kept"
            ) from error

    def ensure(self, folder: Location, progress: ReportsProgress = silent) -> Manifest:
        """What training needs: accepts a finished corpus of this configuration without its input, else prepares it.

        While another process prepares it, as the first job of a sweep whose jobs run side by side, this one waits.

        Raises:
            InputError: as `run`; a finished corpus is refused for its configuration only, since the text it was made
                from may have stayed on another machine.
        """
        told = False
        while not Journal(folder).finished:
            try:
                return self.run(folder, progress)
            except HeldError as held:
                if not told:
                    print(f"note: {str(held).partition(';')[0]}; waiting for it", file=sys.stderr)
                told = True
                time.sleep(1.0)
        return self.check(folder)

    def check(self, folder: Location, *, vocabulary: bool = True) -> Manifest:
        """The manifest of a finished corpus, if it was prepared with this configuration.

        Args:
            folder: of the corpus.
            vocabulary: whether the settings of the tokenizer count.

        Raises:
            InputError: it was prepared otherwise; with other paths of files, if they are not the same files.
        """
        config = self.config()
        same = not _changed(Manifest.load(folder), config, None, vocabulary=vocabulary)
        return _finished(folder, config, None if same else self._input()[0], vocabulary=vocabulary)

    def _input(self) -> tuple[dict[str, Any] | None, InputError | None]:
        """The fingerprint of the input, or why there is none."""
        try:
            return self.fingerprint(), None
        except InputError as error:
            return None, error
        except OSError as error:
            return None, InputError(f"{error.filename}: {error.strerror or error}")

    def config(self) -> dict[str, Any]:
        """All that decides what is written, as JSON. A given vocabulary counts by its content, not by its path."""
        config: dict[str, Any] = describe(self)
        del config["workers"]
        if self.words == "tokenizer":  # as in earlier versions
            del config["words"]
        config["quality"] = self.quality.stated()
        if not self.quality.limits():  # likewise
            del config["quality"]
        if self.near_duplicates is None:
            del config["near_duplicates"], config["shingle"]
        config["heldout_fraction"] = self.fraction
        if self.tokenizer.is_given:
            tokenizer = self.tokenizer.given().tokenizer
            content: dict[str, Any] = {"pieces": vocabulary(tokenizer)}
            if own_tokens(tokenizer) or not isinstance(tokenizer.model, WordPiece):
                content["tokenizer"] = tokenizer_sha256(tokenizer)
            config["tokenizer"]["vocab"] = sha256(content)
            for key in ("vocab_size", "alphabet_size", "min_frequency", "sample_megabytes"):  # of training only
                config["tokenizer"].pop(key, None)
        if not self.tokenizer.special_tokens:  # as in earlier versions
            del config["tokenizer"]["special_tokens"]
        return config


def _finished(
    folder: Location, config: dict[str, Any], fingerprint: dict[str, Any] | None, *, vocabulary: bool = True
) -> Manifest:
    """The manifest of a finished corpus, if it was prepared with this configuration from this input."""
    manifest = Manifest.load(folder)
    if changed := _changed(manifest, config, fingerprint, vocabulary=vocabulary):
        raise InputError(
            f"{folder}: holds a corpus that was prepared otherwise ({'; '.join(changed[:5])}); undo that change, "
            "delete the folder, or choose another with corpus.prepared="
        )
    print_warnings(folder)
    return manifest


def _changed(
    manifest: Manifest, config: dict[str, Any], fingerprint: dict[str, Any] | None, *, vocabulary: bool
) -> list[str]:
    before = Prepared(manifest.config, manifest.source)
    return changed_preparation(before, Prepared(config, fingerprint), vocabulary=vocabulary)
