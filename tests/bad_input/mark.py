"""A callback whose configuration holds secrets, as one of a user's that writes to a service would."""

import lightning.pytorch as pl


class Mark(pl.Callback):
    """Does nothing.

    Args:
        api_key: a secret by its name.
        address: a text with a password in it.
        note: a text that holds the value of a secret variable.
    """

    def __init__(self, *, api_key: str = "", address: str = "", note: str = "") -> None:
        self.given = (api_key, address, note)
