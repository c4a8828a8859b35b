"""Arrays on disk."""

import ctypes
from typing import TYPE_CHECKING, Any, Iterable, Iterator, Optional, Tuple, Union

from . import _dtype
from ._client import Client, shared
from ._dtype import Element
from ._errors import check
from ._library import CREATE, DURABLE, READ_ONLY, lib, options
from ._region import Guard, Region, count_views

if TYPE_CHECKING:
    import numpy

_MANY = 16 << 20  # bytes: for a copy of so many, the library makes pages on a thread of its own


class Array:
    """An array of numbers or records on disk.  client.array() makes one.

    It grows in place: `np` is a NumPy array over the same bytes, and stays valid while the array grows, with the length
    that it had.  close() is a BufferError while such a view is in use, so that no view can outlive the memory; what is
    never closed goes with its last view.  One thread at a time.
    """

    _client: Client
    _element: Element
    _region: Region
    _name: Optional[str]
    _guard: Guard

    def __init__(self) -> None:
        raise TypeError("client.array() makes arrays")

    @classmethod
    def _new(cls, client: Client, element: Element, region: Region, name: Optional[str]) -> "Array":
        a = object.__new__(cls)
        a._client, a._element, a._region, a._name = client, element, region, name
        a._guard = region.guard()
        return a

    @classmethod
    def _make(cls, client: Client, dtype: Any, n: int, name: Optional[str], mode: int, read_only: bool) -> "Array":
        element = _dtype.element(dtype)
        if n < 0:
            raise ValueError("a negative length")
        if read_only and name is None:
            raise ValueError("only an array with a name can be opened for reading")
        if name is None:
            region = Region.anonymous(client._da(), element.size)
        else:
            flags = READ_ONLY if read_only else CREATE
            region = Region.named(client._da(), element.size, name, options(mode, flags))
        a = cls._new(client, element, region, name)
        if n > 0 and len(a) == 0 and not read_only:
            a.resize(n)
        return a

    @property
    def dtype(self) -> Any:
        """The dtype of the elements; without NumPy its code, such as "f8"."""
        return self._element.text

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return self._element.size

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return len(self) * self._element.size

    @property
    def name(self) -> Optional[str]:
        """The name by which the array can be opened again, or None."""
        return self._name

    @property
    def handle(self) -> str:
        """32 hex digits by which other processes attach the array."""
        return self._region.handle

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._region.is_closed

    @property
    def np(self) -> "numpy.ndarray[Any, Any]":
        """A NumPy array over the elements that there are now."""
        if _dtype.numpy is None:
            raise ImportError("Array.np needs NumPy (python3-numpy)")
        view = _dtype.numpy.ndarray((len(self),), self._element.numpy_dtype, self._region.buffer(self._guard))
        if self._region.is_read_only:
            view.flags.writeable = False
        return view

    @property
    def memory(self) -> memoryview:
        """The bytes that there are now; cast it to what they are.  As `np`, it stays valid while the array grows."""
        view = memoryview(self._region.buffer(self._guard)).cast("B")[: self.nbytes]
        return view.toreadonly() if self._region.is_read_only else view

    def __len__(self) -> int:
        return self._region.len

    def _index(self, i: int) -> int:
        n = len(self)
        if i < 0:
            i += n
        if not 0 <= i < n:
            raise IndexError(f"element {i} of {n}")
        return i * self._element.size

    def __getitem__(self, i: Any) -> Any:
        """An element; or with NumPy whatever its arrays accept, as a view."""
        if self._element.packer is None or not isinstance(i, int):
            return self.np[i]
        return self._element.packer.unpack_from(self._region.memory(), self._index(i))[0]

    def __setitem__(self, i: Any, value: Any) -> None:
        self._region.check_writable()
        if self._element.packer is None or not isinstance(i, int):
            self.np[i] = value
        else:
            self._element.packer.pack_into(self._region.memory(), self._index(i), value)

    def __iter__(self) -> Iterator[Any]:
        i = 0
        while i < len(self):
            yield self[i]
            i += 1

    def append(self, x: Any) -> None:
        """Adds one element."""
        r = self._region
        r.make_room(1)
        if self._element.packer is not None:
            self._element.packer.pack_into(r.memory(), r.len * self._element.size, x)
        else:
            at = r.len * self._element.size
            view = _dtype.numpy.ndarray((1,), self._element.numpy_dtype, r.buffer(self._guard), at)
            view[0] = x
        r.len += 1

    def extend(self, values: Union["numpy.ndarray[Any, Any]", Iterable[Any]]) -> None:
        """Adds the elements of VALUES: an array, whose dtype is converted, a buffer of the same format, or anything
        iterable.  If it fails, nothing was added."""
        if _dtype.numpy is not None and not isinstance(values, _dtype.numpy.ndarray):
            if isinstance(values, Array):
                values = values.np
            elif not hasattr(values, "__array__"):
                values = self._from_buffer_or_iterable(values)
        if _dtype.numpy is not None:
            values = _dtype.numpy.asarray(values)
            self._extend_numpy(values.reshape(-1) if values.ndim != 1 else values)
        else:
            self._extend_plain(values)

    def _from_buffer_or_iterable(self, values: Any) -> Any:
        try:
            return _dtype.numpy.asarray(memoryview(values))
        except TypeError:
            values = values if isinstance(values, (list, tuple)) else list(values)
            return _dtype.numpy.array(values, dtype=self._element.numpy_dtype)

    def _extend_numpy(self, values: "numpy.ndarray[Any, Any]") -> None:
        if not _dtype.numpy.can_cast(values.dtype, self._element.numpy_dtype, "same_kind"):
            raise TypeError(f"elements of {values.dtype} can't become {self._element.numpy_dtype}")
        r, n, at = self._region, len(values), self._region.len * self._element.size
        r.make_room(n)
        if values.dtype == self._element.numpy_dtype and values.flags.c_contiguous and values.nbytes >= _MANY:
            r.copy(at, values.ctypes.data, values.nbytes)
        else:
            to = _dtype.numpy.ndarray((n,), self._element.numpy_dtype, r.buffer(self._guard), at)
            to[:] = values
        r.len += n

    def _extend_plain(self, values: Any) -> None:
        r, packer = self._region, self._element.packer
        assert packer is not None
        if isinstance(values, Array):
            values = values.memory.cast(values._element.packer.format[-1:])
        try:
            view = memoryview(values)
        except TypeError:
            data = b"".join(map(packer.pack, values))
        else:
            if view.itemsize != packer.size or view.format.lstrip("@=<") not in (packer.format[-1:], "l", "L"):
                data = b"".join(map(packer.pack, view))
            else:
                data = view if view.contiguous else view.tobytes()
        n = len(memoryview(data).cast("B")) // packer.size
        r.make_room(n)
        r.memory()[r.len * packer.size : (r.len + n) * packer.size] = memoryview(data).cast("B")
        r.len += n

    def resize(self, n: int) -> None:
        """Makes it N elements: new ones are zeros.  What a shorter array leaves stays as capacity."""
        if n < 0:
            raise ValueError("a negative length")
        self._region.resize(n)

    def shrink_to_fit(self) -> None:
        """Gives the capacity back.  BufferError: views are in use, which may reach into it."""
        self._refuse_views()
        self._region.shrink()

    def commit(self, durable: bool = False) -> None:
        """Records the present length for a later open; DURABLE: and everything is on stable storage."""
        self._region.commit(DURABLE if durable else 0)

    def close(self) -> None:
        """Commits an array that has a name, and gives the memory up.  BufferError: views are in use.  Closing again does
        nothing."""
        if self.closed:
            return
        self._refuse_views()
        # Here, and not at the end of the region, so that a failure is told.
        self._region.commit_if_named()
        self._region.give_up()

    def _refuse_views(self) -> None:
        views = count_views(self._guard)
        if views > 0:
            raise BufferError(f"{views} views of the array are in use: delete them first")

    def __enter__(self) -> "Array":
        return self

    def __exit__(self, kind: Any, *exc: object) -> None:
        # The views of a failed block are in use until its exception is handled, which must not be hidden.
        if kind is None or count_views(self._guard) == 0:
            self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{len(self)} of {self._element.text!s}"
        return f"<diskalloc.Array {self._name or self.__class__.__name__}: {state}>"

    def __reduce__(self) -> Tuple[Any, ...]:
        """Another process attaches the array, and copies nothing.  There its length is fixed; both see each other's stores.
        Of a directory, arrays without names can be attached by forked children only."""
        return (_attach, (self._client.address, self.handle, self._element.text, len(self), self._region.is_read_only))


def _attach(address: str, handle: str, dtype: Any, n: int, read_only: bool) -> Array:
    client, element = shared(address), _dtype.element(dtype)
    pointer, o = ctypes.c_void_p(), options(flags=READ_ONLY if read_only else 0)
    check(lib.diskalloc_region_attach(client._da(), handle.encode(), ctypes.byref(o), ctypes.byref(pointer)))
    return Array._new(client, element, Region.attached(pointer.value, element.size, n, read_only), None)
