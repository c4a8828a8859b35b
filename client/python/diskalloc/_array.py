"""Arrays on disk."""

import ctypes
import struct
from typing import TYPE_CHECKING, Any, Iterable, Iterator, Optional, Tuple, Union

from . import _dtype
from ._client import Client, shared, unpickle
from ._dtype import Element
from ._errors import check
from ._library import CREATE, DURABLE, READ_ONLY, count, encode, lib, options
from ._region import Guard, Region, Unattached, count_views

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
    _region: Union[Region, Unattached]
    _name: Optional[str]
    _guard: Optional[Guard]

    def __init__(self) -> None:
        raise TypeError("client.array() makes arrays")

    @classmethod
    def _new(cls, client: Client, element: Element, region: Union[Region, Unattached], name: Optional[str]) -> "Array":
        a = object.__new__(cls)
        a._client, a._element, a._region, a._name = client, element, region, name
        a._guard = region.guard()
        return a

    @classmethod
    def _make(cls, client: Client, dtype: Any, n: int, name: Optional[str], mode: int, read_only: bool) -> "Array":
        element = _dtype.element(dtype)
        count(n)
        if read_only and name is None:
            raise ValueError("only an array with a name can be opened for reading")
        if name is None:
            region = Region.anonymous(client._da(), element.size)
        elif n == 0 or read_only:
            flags = READ_ONLY if read_only else CREATE
            region = Region.named(client._da(), element.size, name, options(mode, flags))
        else:
            region = Region.named_of(client._da(), element.size, name, mode, n)
        a = cls._new(client, element, region, name)
        if name is None:
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
            at = self._index(i)
            try:
                self._element.packer.pack_into(self._region.memory(), at, value)
            except struct.error as error:
                raise _dtype.unfit(error) from None

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
            try:
                self._element.packer.pack_into(r.memory(), r.len * self._element.size, x)
            except struct.error as error:
                raise _dtype.unfit(error) from None
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
            self._extend_numpy(_dtype.numpy.asarray(values))
        else:
            self._extend_plain(values)

    def _from_buffer_or_iterable(self, values: Any) -> Any:
        try:
            view = memoryview(values)
        except TypeError:
            view = None
        if view is None:
            values = values if isinstance(values, (list, tuple)) else list(values)
            return _dtype.from_list(values, self._element.numpy_dtype.base)
        try:
            return _dtype.numpy.asarray(view)
        except ValueError as error:
            raise TypeError(str(error)) from None

    def _extend_numpy(self, values: "numpy.ndarray[Any, Any]") -> None:
        base, shape = self._element.numpy_dtype.base, self._element.numpy_dtype.shape
        if not _dtype.numpy.can_cast(values.dtype, base, "same_kind"):
            raise TypeError(f"elements of {values.dtype} can't become {base}")
        if shape and values.shape[-len(shape) :] != shape:
            raise ValueError(f"elements of the shape {shape} can't be made of the shape {values.shape}")
        values = values.reshape((-1, *shape))
        r, n, at = self._region, len(values), self._region.len * self._element.size
        r.make_room(n)
        if values.dtype == base and values.flags.c_contiguous and values.nbytes >= _MANY:
            r.copy(at, values.ctypes.data, values.nbytes)
        else:
            to = _dtype.numpy.ndarray((n,), self._element.numpy_dtype, r.buffer(self._guard), at)
            to[:] = values
        r.len += n

    def _extend_plain(self, values: Any) -> None:
        r, packer = self._region, self._element.packer
        assert packer is not None
        try:
            view = values.memory if isinstance(values, Array) else memoryview(values)
        except TypeError:
            data = _dtype.pack_all(packer, values)
        else:
            form = values._element.packer.format if isinstance(values, Array) else view.format
            if _dtype.are_alike(form, packer.format):
                data = view if view.c_contiguous else view.tobytes()
            else:
                data = _dtype.pack_all(packer, _dtype.unpack_all(form, view))
        added = memoryview(data).cast("B")
        n = len(added) // packer.size
        r.make_room(n)
        r.memory()[r.len * packer.size : (r.len + n) * packer.size] = added
        r.len += n

    def resize(self, n: int) -> None:
        """Makes it N elements: new ones are zeros.  What a shorter array leaves stays as capacity."""
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
    element = _dtype.element(dtype)

    def attach() -> Array:
        client, pointer, o = shared(address), ctypes.c_void_p(), options(flags=READ_ONLY if read_only else 0)
        check(lib.diskalloc_region_attach(client._da(), encode(handle), ctypes.byref(o), ctypes.byref(pointer)))
        return Array._new(client, element, Region.attached(pointer.value, element.size, n, read_only), None)

    return unpickle(attach, lambda error: Array._new(Client._lost(address, error), element, Unattached(error), None))
