"""Exceptions that are no bugs: what a user can mend, and being told to stop."""


class InputError(Exception):
    """Bad input: a file, a line, a key of the configuration.

    The message is one sentence: which file, line or key; what was expected; what to do. Commands print it after
    ``error:`` and exit with status 2, without a traceback.
    """


class Stopped(Exception):  # noqa: N818 - no error
    """The process was told to end, and has saved what there was.

    Args:
        number: of the signal; commands exit with 128 and this number, as shells have it.
        message: where the run stands.
    """

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number
