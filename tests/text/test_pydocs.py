"""Documentation strings: what is prose in them, and that the corpus is the same in every run."""

import sys
from collections import Counter
from pathlib import Path

import pytest

from cloze.errors import InputError
from cloze.text.sources.docstrings import is_prose, paragraphs
from cloze.text.sources.pydocs import PythonDocs
from tests import processes

NUMPY = """
    Return the sum of the elements over the given
    axis, as a new array.

    This second paragraph tells when the function `reduce` is used
    in place of ``loops`` over :func:`~package.module.name`, see [1]_.

    .. versionadded:: 1.7
       A directive of which nothing is kept.

    .. note::
       This function is slow for large arrays.

    Parameters
    ----------
    a : array_like
        The input array, which is converted if it is not one.
    axis : None or int, optional
        Axis along which the sum is taken. The default is to take
        it over all of them.
    dtype

    Returns
    -------
    out : ndarray
        Sum.

    Raises
    ------
    ValueError
        If the axis is not one of the axes of the array.

    Notes
    -----
    Arithmetic is modular when using integer types.

    ====== =====
    Left   Right of the table is not a sentence.
    ====== =====
    a      The b of the table is not a sentence.
    ====== =====

    References
    ----------
    .. [1] A. Author, "A title which is not read as a sentence of the text."

    Examples
    --------
    >>> np.sum([0.5, 1.5])
    2.0
    This line is the output of an example.

    The last sentence is found after the example.
"""

GOOGLE = """Compute the loss of a batch::

        This block is code, and it stays out of the text.

    Code is shown below, and the text goes on after the block.

    ```python
    This is a fence of code and not a sentence.
    ```

    Args:
        hidden (Tensor, optional): The states of the last layer of the model, which
            are the input of the head.
        size (int): The size.
        **kwargs: Passed on.

    Returns:
        The loss, averaged over the tokens that are masked.

    - An item of a list that is a sentence
      on two lines.
    - `name`: This item explains what the name is for.

    Example:
        This is what one would write to call it.

    See `the guide <https://x.y>`_ for **more** on *this* subject, or [the page](http://z.a).
    https://only.a.link/is/on.this.line
"""

SPHINX = """Open the file and return a stream.

:param path: The path of the file which is to be opened for reading.
:type path: str
:raises OSError: when it is not there
:returns: A stream that must be closed by the one who calls.
+-----+--------------------------------+
| a   | The table is not a sentence.   |
+-----+--------------------------------+
"""


def test_numpy_style() -> None:
    assert paragraphs(NUMPY) == [
        "Return the sum of the elements over the given axis, as a new array.",
        "This second paragraph tells when the function reduce is used in place of loops over name, see.",
        "This function is slow for large arrays.",
        "The input array, which is converted if it is not one.",
        "Axis along which the sum is taken. The default is to take it over all of them.",
        "If the axis is not one of the axes of the array.",
        "Arithmetic is modular when using integer types.",
        "The last sentence is found after the example.",
    ]


def test_google_style() -> None:
    assert paragraphs(GOOGLE) == [
        "Code is shown below, and the text goes on after the block.",
        "The states of the last layer of the model, which are the input of the head.",
        "The loss, averaged over the tokens that are masked.",
        "An item of a list that is a sentence on two lines.",
        "This item explains what the name is for.",
        "See the guide for more on this subject, or the page.",
    ]


def test_sphinx_style() -> None:
    assert paragraphs(SPHINX) == [
        "Open the file and return a stream.",
        "The path of the file which is to be opened for reading.",
        "A stream that must be closed by the one who calls.",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "foo(bar) -> baz.",
        "x = f(y) and the rest.",
        "The value.",
        "The number of layers.",
        "no capital is at the beginning.",
        "Nothing ends this",
        "A_B c_d e_f g_h to i_j.",
        "Copyright Somebody Else Entirely Reserved.",
        "See the page https://x.y/z.",
    ],
)
def test_what_is_no_prose(line: str) -> None:
    assert not is_prose(line)


def test_one_document_a_module_in_a_fixed_order() -> None:
    source = PythonDocs(packages=["networkx"], standard_library=False)
    units = source.units()
    counts: Counter[str] = Counter()
    documents = [document for unit in units for document in source.documents(unit, counts)]
    assert [unit.path for unit in units] == [unit.path for unit in source.units()]
    assert len({document.origin for document in documents}) == len(documents)
    assert 500_000 < sum(len(line) for document in documents for line in document.lines) < 2_000_000
    assert not any("tests" in Path(unit.path).parts for unit in units)
    lines = {line for document in documents for line in document.lines}
    assert "Compute the degree centrality for nodes." in lines
    assert not any(">>>" in line or "----" in line for line in lines)


def test_nothing_is_imported_and_runs_agree() -> None:
    program = (
        "import sys; from collections import Counter; from cloze.text.sources.pydocs import PythonDocs\n"
        "source = PythonDocs(packages=['omegaconf'], standard_library=False); import hashlib\n"
        "h = hashlib.sha256()\n"
        "for unit in source.units():\n"
        "    for document in source.documents(unit, Counter()): h.update(repr(document).encode())\n"
        "print(h.hexdigest(), 'omegaconf' in sys.modules)"
    )
    runs = [processes.run([sys.executable, "-c", program], check=True).stdout.split() for _ in range(2)]
    assert runs[0] == runs[1]
    assert runs[0][1] == "False"


def test_the_standard_library_is_always_there() -> None:
    source = PythonDocs(packages=[])
    units = {Path(unit.path).name: unit for unit in source.units()}
    (document,) = source.documents(units["textwrap.py"], Counter())
    assert document.lines[0] == "Text wrapping and filling."
    assert source.fingerprint()["packages"] == {}


def test_an_absent_package() -> None:
    with pytest.raises(InputError, match=r"corpus.source.packages: nothing_of_this_name not installed in"):
        PythonDocs(packages=["omegaconf", "nothing_of_this_name"]).units()
