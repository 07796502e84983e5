"""A splittable random generator for compiled code: each stream is keyed by integers and has no other state.

SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators"): the n-th draw is a mix of
``origin + n * GAMMA``. NumPy's generators cannot be keyed so cheaply inside a loop: a stream a sequence, 10^6 a second.
"""

# mypy: disable-error-code="no-any-return"
# Compiled functions return Any to the type checker.

import numpy as np
import numpy.typing as npt

from cloze.runtime.compiled import compiled

IntArray = npt.NDArray[np.int64]
State = npt.NDArray[np.uint64]
"""(1,) uint64, changed by each draw."""

GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_LOW = np.uint64(0xFFFFFFFF)
_UNIT = 2.0**-53


@compiled
def mix(value: np.uint64) -> np.uint64:
    """A bijection of 64 bits in which every input bit flips every output bit with probability 1/2 (Stafford's 13)."""
    value = (value ^ (value >> np.uint64(30))) * _FIRST
    value = (value ^ (value >> np.uint64(27))) * _SECOND
    return value ^ (value >> np.uint64(31))


@compiled
def split(key: np.uint64, name: int) -> np.uint64:
    """The key of the child ``name`` of a key. Children of one key, and their children, are unrelated streams."""
    return mix(mix(key + GAMMA) ^ mix(np.uint64(name) * GAMMA + _FIRST))


@compiled
def children(key: np.uint64, count: int) -> npt.NDArray[np.uint64]:
    """(count,) the keys of the children 0, 1, 2, ... of a key."""
    keys = np.empty(count, np.uint64)
    for name in range(count):
        keys[name] = split(key, name)
    return keys


@compiled
def stream(key: np.uint64) -> State:
    """A fresh generator for this key."""
    state = np.empty(1, np.uint64)
    state[0] = key
    return state


@compiled
def draw(state: State) -> np.uint64:
    """64 random bits."""
    state[0] += GAMMA
    return mix(state[0])


@compiled
def uniform(state: State) -> float:
    """A float in [0, 1) with 53 random bits."""
    return (draw(state) >> np.uint64(11)) * _UNIT


@compiled
def below(state: State, bound: int) -> np.int64:
    """An integer in [0, bound), without bias, for a bound under 2^32 (Lemire 2019, ACM TOMACS 29:1)."""
    number, state[0] = next_below(state[0], bound)
    return number


@compiled
def next_below(place: np.uint64, bound: int) -> tuple[np.int64, np.uint64]:
    """``below`` for inner loops: the integer, and the position in the stream after it, which stays in a register."""
    wide = np.uint64(bound)
    place += GAMMA
    product = (mix(place) >> np.uint64(32)) * wide
    if (product & _LOW) < wide:
        threshold = ((_LOW - wide) + np.uint64(1)) % wide
        while (product & _LOW) < threshold:
            place += GAMMA
            product = (mix(place) >> np.uint64(32)) * wide
    return np.int64(product >> np.uint64(32)), place


@compiled
def next_uniform(place: np.uint64) -> tuple[float, np.uint64]:
    """``uniform`` likewise."""
    place += GAMMA
    return np.int64(mix(place) >> np.uint64(11)) * _UNIT, place


@compiled
def permutation(length: int, state: State) -> npt.NDArray[np.int64]:
    """The integers [0, length) in uniformly random order (Fisher-Yates)."""
    order = np.arange(length)
    for i in range(length - 1, 0, -1):
        j = below(state, i + 1)
        order[i], order[j] = order[j], order[i]
    return order


def key_of(seed: int | np.uint64, *names: int) -> np.uint64:
    """The key of the stream (seed, epoch, shard, ...), whatever the size or the sign of the seed."""
    key = np.uint64(int(seed) % 2**64)
    for name in names:
        key = np.uint64(split(key, name))  # compiled code hands back a plain int
    return key
