"""What an element is: with NumPy any dtype that has no pointers in it, without NumPy the numbers that struct knows."""

import re
import struct
from typing import Any, NamedTuple, Optional

try:
    import numpy
except ImportError:
    numpy = None  # type: ignore[assignment]

_CODES = {"b1": "?", "i1": "b", "i2": "h", "i4": "i", "i8": "q", "u1": "B", "u2": "H", "u4": "I", "u8": "Q"}
_CODES.update({"f2": "e", "f4": "f", "f8": "d"})
_NAMES = {"bool": "b1", "float": "f8", "int": "i8"}
_NAMES.update({f"{name}{bits}": f"{name[0]}{bits // 8}" for name in ("int", "uint") for bits in (8, 16, 32, 64)})
_NAMES.update({f"float{bits}": f"f{bits // 8}" for bits in (16, 32, 64)})


class Element(NamedTuple):
    """An element: the text of its dtype, its bytes, and how struct packs one (None: NumPy does)."""

    text: Any  # for numpy.dtype(), also in another process
    size: int
    packer: Optional[struct.Struct]
    numpy_dtype: Any  # None without NumPy


def _packer(text: str) -> Optional[struct.Struct]:
    found = re.fullmatch(r"([<>=|]?)([bifu][1248])", text)
    if not found or found[2] not in _CODES:
        return None
    order = found[1] if found[1] in ("<", ">") else "="
    return struct.Struct(order + _CODES[found[2]])


def element(dtype: Any) -> Element:
    """The element that DTYPE describes.  TypeError: there is no such, or it would have pointers in it."""
    if numpy is None:
        text = {bool: "b1", int: "i8", float: "f8"}.get(dtype, dtype)
        if not isinstance(text, str):
            raise TypeError(f"without NumPy, a dtype is a code such as 'f8', not {dtype!r}")
        text = _NAMES.get(text, text)
        text = next((k for k, v in _CODES.items() if v == text), text)
        packer = _packer(text)
        if packer is None:
            raise TypeError(f"without NumPy, there is no dtype {dtype!r}")
        return Element(text, packer.size, packer, None)
    as_numpy = numpy.dtype(dtype)
    if as_numpy.hasobject:
        raise TypeError(f"elements of {as_numpy!r} would be pointers, which mean nothing on disk")
    if as_numpy.itemsize == 0:
        raise TypeError(f"elements of {as_numpy!r} have no bytes")
    return Element(as_numpy, as_numpy.itemsize, _packer(as_numpy.str), as_numpy)
