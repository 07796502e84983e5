"""The common parts of every command: help, Hydra, configuration checks, errors in one line."""

import contextlib
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from cloze.cli.completion import ASK, LINE, answer, script
from cloze.cli.help import help_page
from cloze.cli.words import refuse_mistakes, unknown_option
from cloze.config.arguments import conf_folder, forced, groups, own_folders, without_printing
from cloze.config.given import folder_flag, program, remember, words_of_job
from cloze.config.nodes import Root
from cloze.config.outline import Outline, outline
from cloze.config.spelling import spelled
from cloze.config.validation import MissingError, check
from cloze.errors import InputError, Lost, Stopped
from cloze.runtime import distribution
from cloze.runtime.redaction import masked_text
from cloze.runtime.shell import ReaderLeft, check_surroundings, rank, results_are_printed
from cloze.runtime.spinner import waiting
from cloze.runtime.stopping import SIGNALLED, stop_request

BAD_INPUT = 2
R = TypeVar("R", bound=Root)


def run(
    task: Callable[[R], float | None],
    *,
    name: str,
    schema: type[R],
    interrupted: str = "the same command resumes where it stopped",
    lasting: bool = False,
) -> int:
    """Compose `conf/NAME.yaml` with the words of the command line, check it, and give it to `task`.

    Args:
        task: the work; called once, or once for each job of a sweep (`-m`). A sweeper that searches takes what it
            returns for the objective.
        name: the root configuration.
        schema: the dataclass of that root.
        interrupted: what is printed after Ctrl-C or SIGTERM.
        lasting: what it makes lies in files, so that it continues where standard output cannot be written.

    Returns:
        The exit status: 0; 128 and the number of the signal that ended it; 75 when the same command has to be given
        again; or 2 when the input was bad, and then one line on stderr says what and where.
    """
    with stop_request.listening(f"interrupted; {interrupted}"):
        try:
            results_are_printed()
            check_surroundings()
            conf, words = conf_folder(), sys.argv[1:]
            if (text := _without_hydra(conf, name, schema, words)) is not None:
                print(text, flush=True)
                return 0
            remember([*program(sys.argv[0]), *words])
            sys.argv[1:] = forced(words, groups(conf, *own_folders(words)))
            found = outline(conf, name, schema, sys.argv[1:])
            refuse_mistakes(words, found)
            sys.argv[1:] = spelled(sys.argv[1:], found)
            results_are_printed(not lasting)
            status = _compose_and_run(task, found, schema, words)
            sys.stdout.flush()
            return status
        except InputError as error:
            return _report(error)
        except ReaderLeft as left:
            return left.status
        except Stopped as stop:
            _tell(str(stop), everywhere=isinstance(stop, Lost))
            return stop.status
        except KeyboardInterrupt:  # where no handler could be set, as in a thread
            _tell(f"interrupted; {interrupted}")
            return SIGNALLED + signal.SIGINT


def _without_hydra(conf: Path, name: str, schema: type, words: list[str]) -> str | None:
    """What an option of our own prints in place of the work; None where there is none of them."""
    if words[:1] == [ASK]:
        return answer(name, schema, words[1], os.environ.get(LINE, ""))
    if words[:1] == ["--completion"]:
        return script(*words[1:2] or [""])
    if {"-h", "--help"} & set(words):
        return help_page(conf, name, schema, words)
    if "--version" not in words:
        return None
    python = sys.version.partition(" ")[0]
    return f"{distribution.name()} {distribution.VERSION} from {Path(__file__).parents[1]} (Python {python})"


def _compose_and_run(task: Callable[[R], float | None], found: Outline, schema: type[R], words: Sequence[str]) -> int:
    import hydra
    from hydra.errors import HydraException
    from omegaconf import DictConfig
    from omegaconf.errors import OmegaConfBaseException

    failures = 0
    process, command, given = os.getpid(), sys.argv[0], sys.argv[1:]
    unprinted = without_printing(given)
    printed = unprinted != given

    def job(config: DictConfig) -> float | None:
        nonlocal failures
        try:
            sys.argv[0] = command  # a launcher of jobs has its own
            if printed:  # which Hydra does itself, of a configuration that it has not checked
                with contextlib.suppress(MissingError):
                    _check(config, found, schema)
                return None
            return task(_checked(config, found, schema, words))
        except InputError as error:  # the other jobs of a sweep still run
            failures += 1
            _report(error)
            if os.getpid() != process:  # a launcher's: it takes the error to the sweep
                raise
            return None

    os.environ["HYDRA_FULL_ERROR"] = "1"  # let exceptions through: ours to report, or a bug that keeps its traceback
    main = hydra.main(version_base="1.3", config_path=str(found.folders[0]), config_name=found.name)
    try:
        if printed:
            sys.argv[1:] = unprinted
            main(job)()
            sys.argv[1:] = given
        if not failures:
            main(job)()
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(_sentence(error, found)) from error
    return BAD_INPUT if failures else 0


def _checked(config: Any, found: Outline, schema: type[R], typed: Sequence[str]) -> R:
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    settings = HydraConfig.get()
    if settings.mode == RunMode.MULTIRUN and "folder" in config:
        config.folder = os.path.relpath(settings.runtime.output_dir)
        # Further ranks are started with this process' arguments: they must run this job, not the sweep.
        job = [*settings.overrides.task, f"++folder={config.folder}"]
        sys.argv[1:] = [*folder_flag(typed), *job]
        remember([*program(sys.argv[0]), *words_of_job(job, typed)])
    if config.get("resume") == "never" and rank() == 0:
        from cloze.run.folder import free_folder

        free = free_folder(Path(config.folder))
        if free != Path(config.folder):
            _tell(f"note: {config.folder} holds a run already; this one is {free}")
            config.folder = str(free)
            sys.argv[1:] = [*sys.argv[1:], f"++folder={free}"]
    return _check(config, found, schema)


def _check(config: Any, found: Outline, schema: type[R]) -> R:
    """The checked root of a composed configuration.

    Raises:
        MissingError: a value has to be given.
        InputError: anything else is wrong.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException

    try:
        plain = OmegaConf.to_container(config, resolve=True)
    except InterpolationToMissingValueError as error:
        raise MissingError(_sentence(error)) from error
    except OmegaConfBaseException as error:
        raise InputError(_sentence(error)) from error
    assert isinstance(plain, dict)
    for group in found.own_groups & plain.keys() - found.schema.arguments.keys():
        if not re.search(rf"\$\{{{group}[.}}]", OmegaConf.to_yaml(config)):
            raise InputError(
                f"'{group}={found.chosen[group]}': cloze-{found.name} has no section '{group}', and nothing refers "
                f"to it as ${{{group}.KEY}}; '# @package SECTION' as the first line of its file is where its keys go"
            )
        del plain[group]
    with waiting("loading libraries"):  # of the constructors that it looks at
        return check({str(key): value for key, value in plain.items()}, schema)


def _sentence(error: Exception, found: Outline | None = None) -> str:
    """Hydra's and OmegaConf's errors as one sentence with the nearest valid choice."""
    from hydra.errors import MissingConfigException, OverrideParseException
    from omegaconf.errors import OmegaConfBaseException

    if found is not None and isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, option = error.missing_cfg_file.partition("/")  # of nested options, as task=glue/sst2
        if group in found.options:
            return unknown_option(found, group, option)
    if missing := re.search(r"Missing mandatory value: (\S+)", str(error)):
        return f"the key '{missing[1]}' has no value: add {missing[1]}=..."
    first_line = str(error).strip().partition("\n")[0]
    if isinstance(error, OverrideParseException):
        word = error.override.removeprefix("++")
        return f"cannot read '{word}': {first_line}; values with blanks or signs need quotes, as in 'key=\"a b\"'"
    if isinstance(error, OmegaConfBaseException) and error.full_key:
        return f"the key '{error.full_key}' cannot be resolved: {first_line}"
    return first_line


def _report(error: InputError) -> int:
    _tell(f"error: {error}", everywhere=_have_met())
    return BAD_INPUT


def _tell(line: str, *, everywhere: bool = False) -> None:
    """Tell it once, or on every rank: before they have met, all have the same to say."""
    this = rank()
    if this == 0:
        print(masked_text(line), file=sys.stderr)
    elif everywhere:
        print(masked_text(f"rank {this}: {line}"), file=sys.stderr)


def _have_met() -> bool:
    """Whether the processes of this run compute together."""
    torch = sys.modules.get("torch")
    return torch is not None and torch.distributed.is_initialized()


def values_of(keys: Sequence[str], words: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    """The values of keys that Hydra shall not see, in the order of the command line; and the other words."""
    values: dict[str, list[str]] = {key: [] for key in keys}
    others = []
    for word in words:
        key, sign, value = word.lstrip("+").partition("=")
        if sign and key in values:
            values[key].append(value)
        else:
            others.append(word)
    return values, others
