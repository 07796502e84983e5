"""The commands. Ctrl-C during the imports of a command ends it cleanly, too."""

import os
import signal
import sys
from types import FrameType

from cloze.runtime.shell import speak_utf8, take_streams


def _is_command(program: str) -> bool:
    """Whether a program is one of ours; `-m` stands there while Python looks for the module that it will run."""
    name = os.path.basename(program)  # noqa: PTH119  # pathlib would take longer than all else in here
    return name in ("train.py", "finetune.py", "-m") or name.startswith("cloze-")


def _end(number: int, _: FrameType | None) -> None:
    print("interrupted", file=sys.stderr, flush=True)
    os._exit(128 + number)


if _is_command(sys.argv[0]):
    speak_utf8()
    take_streams()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)  # until `cloze.runtime.stopping` listens, which knows more to say
