"""The net under a restructuring: what may not change while the code moves.

`expected/` holds every command's configuration with each option of each group, and the first twenty losses of every
kind of training, written from the code before it moved. `pytest -n0 tests/net` is the quick thing to run before a
change is merged. Where values are meant to change, `python -m tests.net.record` writes them.
"""
