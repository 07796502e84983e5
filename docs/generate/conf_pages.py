"""The pages of the configuration: commands, groups, options, defaults, comments; from `conf/` and from signatures."""

import re
from html import escape

from cloze.cli.help import help_text
from cloze.cli.roots import SCHEMAS
from cloze.config.arguments import conf_folder, groups
from cloze.config.outline import as_value
from cloze.config.targets import signature_of
from cloze.config.validation import described

TARGET = re.compile(r"^\s*_target_: (?P<path>[\w.]+)", re.MULTILINE)
SECTIONS = {
    "trainer": "cloze.config.sections.Training",
    "trainer (of fine-tuning)": "cloze.config.sections.TaskTraining",
    "checkpoint": "cloze.config.sections.Checkpointing",
    "hardware": "cloze.config.hardware.Hardware",
    "corpus": "cloze.config.sections.Corpus",
    "task": "cloze.config.sections.Task",
    "grow (with init=)": "cloze.config.sections.Growth",
    "model=FOLDER": "cloze.config.sections.ModelFolder",
}
NODES = {  # sections of conf/train.yaml and conf/finetune.yaml that are one constructor, whatever the options
    "preparation": "cloze.text.prepare.Preparation",
    "data (of pre-training)": "cloze.data.pretraining.module.PretrainingData",
    "data (of fine-tuning)": "cloze.data.finetuning.module.TaskData",
    "adaptation": "cloze.model.adaptation.Adaptation",
}
PROGRAMS = {"train": "python train.py`, `cloze-train", "finetune": "python finetune.py`, `cloze-finetune"}

OF_COMMANDS = """\
What the `--help` of each command says: its use, its groups with their options (`*` marks the default), its values."""
OF_GROUPS = """\
`GROUP=OPTION` on the command line chooses a file of `conf/GROUP/`. It states what differs from the defaults of the
constructor that it names with `_target_`; every argument of that constructor can be set as `GROUP.ARGUMENT=VALUE`.
Each group ends with a table of all arguments, their types and their defaults."""
OF_SECTIONS = """\
The sections of `train.py` and `finetune.py` that are no choice of an option: set a key as `SECTION.KEY=VALUE`."""


def commands_page() -> str:
    """One section a command: what its `--help` says, up to the options that all have."""
    conf = conf_folder()
    parts = ["# Commands", OF_COMMANDS]
    for file in sorted(conf.glob("*.yaml")):
        program = PROGRAMS.get(file.stem, f"cloze-{file.stem}")
        parts += [
            f"## `{program}` {{ #{file.stem} }}",
            f"```text\n{help_text(conf, file.stem, SCHEMAS[file.stem]).rstrip()}\n```",
        ]
    return "\n\n".join(parts) + "\n"


def groups_page() -> str:
    """One section a group: each option's file, and the arguments of the constructors that it names."""
    conf = conf_folder()
    parts = ["# Groups and options", OF_GROUPS]
    for group, options in groups(conf).items():
        parts.append(f"## {group}")
        targets: list[str] = []
        for option in options:
            text = (conf / group / f"{option}.yaml").read_text(encoding="utf-8").rstrip()
            parts += [f"### `{group}={option}` {{ #{group}-{option.replace('/', '-')} }}", f"```yaml\n{text}\n```"]
            targets += [path for path in TARGET.findall(text) if path not in targets]
        parts += [f"**Arguments of `{target}`**\n\n{_described(target)}" for target in targets]
    return "\n\n".join(parts) + "\n"


def sections_page() -> str:
    """One table a section of the configuration that is the same for all options."""
    parts = ["# Sections", OF_SECTIONS]
    for title, target in (SECTIONS | NODES).items():
        parts.append(f"## {title}\n\n{_described(target)}")
    return "\n\n".join(parts) + "\n"


def _described(target: str) -> str:
    """The first paragraph of the docstring and the table of the arguments; the parameters of a model are no key."""
    signature = signature_of(target)
    rows = [
        f"| `{key}` | {described(argument.hint)} | {_code(argument.default)} | {_cell(argument.meaning)} |"
        for key, argument in signature.arguments.items()
        if key != "params"
    ]
    table = "\n".join(["| key | what | default | |", "|---|---|---|---|", *rows]) if rows else "No arguments."
    return "\n\n".join(filter(None, [_cell(signature.meaning), table]))


def _code(default: str | None) -> str:
    """Code in a cell: within code marks a backslash would stay before `|`."""
    if default is None:
        return "to be given"
    return f"<code>{escape(as_value(default), quote=False).replace('|', '&#124;')}</code>"


def _cell(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|")
