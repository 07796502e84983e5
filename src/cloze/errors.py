"""Exceptions that are not bugs: errors that a user can fix, and the request to stop."""

TRY_AGAIN = 75
"""The exit status for which the same command has to be given again: EX_TEMPFAIL of `sysexits.h`."""


class InputError(Exception):
    """Bad input: a file, a line, a key of the configuration.

    The message is one sentence: which file, line or key; what was expected; what to do. Commands print it after
    ``error:`` and exit with status 2, without a traceback.
    """


class Stopped(BaseException):  # no error, and as Ctrl-C not for libraries to swallow
    """The process was asked to stop, or has come to its limit, and has saved what there was.

    Args:
        status: of the exit: 128 and the number of a signal, as shells have it, or `TRY_AGAIN`.
        message: where the run stands.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Lost(Stopped):
    """Another process of the run has died or does not answer; the message says which."""


class BadRowError(Exception):
    """A row that is not as it should be; `kind` is what such rows are counted under when they are skipped."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
