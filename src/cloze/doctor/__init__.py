"""The checks of `cloze-doctor`: packages, the machine and its devices."""
