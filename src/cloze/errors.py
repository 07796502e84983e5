"""The one exception for what a user can mend."""


class InputError(Exception):
    """Bad input: a file, a line, a key of the configuration.

    The message is one sentence: which file, line or key; what was expected; what to do. Commands print it after
    ``error:`` and exit with status 2, without a traceback.
    """
