"""What an element is: with NumPy any dtype that has no pointers in it, without NumPy the numbers that struct knows."""

import operator
import re
import struct
import sys
from typing import Any, Iterable, Iterator, NamedTuple, Optional, Sequence, Tuple

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


def unfit(error: struct.error) -> Exception:
    """In the place of ERROR, struct's for a value that is not packed: as the standard library's arrays have it."""
    return (TypeError if "not a" in str(error) else OverflowError)(str(error))


def _meaning(form: str) -> Optional[Tuple[str, int, str]]:
    """What the items of a buffer are, if FORM, as struct has it, is one number: kind, bytes, byte order."""
    found = re.fullmatch(r"([@=<>!]?)([bBhHiIlLqQnNefd?])", form)
    if not found:
        return None
    code, size = found[2], struct.calcsize(form)
    kind = "signed" if code in "bhilqn" else "unsigned" if code in "BHILQN" else code
    native = "<" if sys.byteorder == "little" else ">"
    order = native if found[1] in ("", "@", "=") else found[1].replace("!", ">")
    return kind, size, order if size > 1 else ""


def are_alike(a: str, b: str) -> bool:
    """Whether items of the formats A and B are the same bytes."""
    return _meaning(a) is not None and _meaning(a) == _meaning(b)


def unpack_all(form: str, view: memoryview) -> Iterator[Any]:
    """The items of VIEW, which may have several dimensions."""
    if _meaning(form) is None:
        raise TypeError(f"a buffer of the format {form!r} is not one of numbers")
    return (x for x, in struct.iter_unpack(form, view.tobytes()))


def pack_all(packer: struct.Struct, values: Iterable[Any]) -> bytes:
    """VALUES, one after the other."""
    try:
        return b"".join(map(packer.pack, values))
    except struct.error as error:
        raise unfit(error) from None


def from_list(values: Sequence[Any], to: Any) -> Any:
    """A NumPy array of VALUES that can become TO.  NumPy itself would cut integers to fit, and fractions off."""
    if to.kind not in "iuf":
        return numpy.array(values, dtype=to)
    found = numpy.array(values)
    if found.size == 0 or (found.dtype.kind == "O" and to.kind == "f"):
        return numpy.array(values, dtype=to)
    if to.kind == "f":
        return found
    if found.dtype.kind in "Of":  # integers of more than 64 bits, or of both signs: or else none
        found = numpy.array(values, dtype=object)
        found.flat = [operator.index(x) for x in found.flat]
    elif found.dtype.kind not in "iub":
        raise TypeError(f"elements of {found.dtype} can't become {to}")
    least, most = int(found.min()), int(found.max())
    if least < numpy.iinfo(to).min or most > numpy.iinfo(to).max:
        raise OverflowError(f"{least if least < numpy.iinfo(to).min else most} is no {to}")
    return found.astype(to)
