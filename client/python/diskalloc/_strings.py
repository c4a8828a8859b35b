"""Strings on disk."""

import array
import ctypes
import itertools
import weakref
from typing import Any, Iterable, Iterator, List, Optional, Tuple, Union

from ._client import Client, shared, unpickle
from ._errors import check, last_failure
from ._library import CREATE, DURABLE, READ_ONLY, StrvecStruct, count, encode, lib

_BATCH = 1 << 16  # strings that extend() hands over at once


def _encode(text: Union[str, bytes]) -> bytes:
    if isinstance(text, str):
        return text.encode("utf-8", "surrogateescape")
    if isinstance(text, (bytes, bytearray, memoryview)):
        return bytes(text)
    raise TypeError(f"str or bytes, not {type(text).__name__}")


class Strings:
    """A list of strings on disk: 8 bytes each besides their own.  client.strings() makes one.

    str is kept as UTF-8, and comes back as str; what was bytes and is no UTF-8 comes back with surrogates
    (surrogateescape), and as it was by get_bytes().  With a name, the strings stay: one process at a time writes them.
    One thread at a time.
    """

    def __init__(self, client: Client, name: Optional[str] = None, *, read_only: bool = False) -> None:
        self._client, self._name, self._read_only = client, name, read_only
        self._v = StrvecStruct()
        if name is None:
            if read_only:
                raise ValueError("only strings with a name can be opened for reading")
            check(lib.diskalloc_strvec_init(ctypes.byref(self._v), client._da()))
        else:
            flags = READ_ONLY if read_only else CREATE
            check(lib.diskalloc_strvec_open(ctypes.byref(self._v), client._da(), encode(name), flags))
        # The memory is copied from and never handed out, so it can go at the end, whoever still has the strings.
        self._finalizer = weakref.finalize(self, lib.diskalloc_strvec_deinit, ctypes.pointer(self._v))

    @classmethod
    def _lost(cls, client: Client, name: str) -> "Strings":
        s = object.__new__(cls)
        s._client, s._name, s._read_only = client, name, True
        s._finalizer = weakref.finalize(s, lambda: None)
        s._finalizer()
        return s

    def _p(self) -> Any:
        if self._client._error is not None:
            raise self._client._error
        if not self._finalizer.alive:
            raise ValueError("the strings are closed")
        return ctypes.byref(self._v)

    @property
    def name(self) -> Optional[str]:
        """The name by which the strings can be opened again, or None."""
        return self._name

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return not self._finalizer.alive

    def __len__(self) -> int:
        n: int = lib.diskalloc_strvec_len(self._p())
        return n

    def _index(self, i: int) -> int:
        n = len(self)
        if i < 0:
            i += n
        if not 0 <= i < n:
            raise IndexError(f"string {i} of {n}")
        return i

    def get_bytes(self, i: int) -> bytes:
        """String I as bytes."""
        n = ctypes.c_size_t()
        at = lib.diskalloc_strvec_get(self._p(), self._index(i), ctypes.byref(n))
        if at is None:
            raise last_failure()
        return ctypes.string_at(at, n.value) if n.value < 2**31 else bytes((ctypes.c_char * n.value).from_address(at))

    def __getitem__(self, i: Union[int, slice]) -> Union[str, List[str]]:
        if isinstance(i, slice):
            return [self._text(k) for k in range(*i.indices(len(self)))]
        return self._text(i)

    def _text(self, i: int) -> str:
        return self.get_bytes(i).decode("utf-8", "surrogateescape")

    def __setitem__(self, i: int, text: Union[str, bytes]) -> None:
        data = _encode(text)
        check(lib.diskalloc_strvec_set(self._p(), self._index(i), data, len(data)))

    def __iter__(self) -> Iterator[str]:
        i = 0
        while i < len(self):
            yield self._text(i)
            i += 1

    def append(self, text: Union[str, bytes]) -> None:
        """Adds one string."""
        data = _encode(text)
        check(lib.diskalloc_strvec_push(self._p(), data, len(data)))

    def extend(self, texts: Iterable[Union[str, bytes]]) -> None:
        """Adds all strings of TEXTS.  If it fails, none was added."""
        p, before = self._p(), len(self)
        iterator = itertools.islice(self, before) if texts is self else iter(texts)
        try:
            while True:
                parts = [_encode(text) for text in itertools.islice(iterator, _BATCH)]
                if not parts:
                    return
                ends = array.array("Q", itertools.accumulate(map(len, parts)))
                check(lib.diskalloc_strvec_append(p, b"".join(parts), ends.buffer_info()[0], len(parts)))
        except BaseException:
            lib.diskalloc_strvec_truncate(p, before)
            raise

    def pop(self) -> str:
        """Takes the last string away, and returns it."""
        if len(self) == 0:
            raise IndexError("pop from empty strings")
        text = self._text(-1)
        check(lib.diskalloc_strvec_pop(self._p()))
        return text

    def truncate(self, n: int) -> None:
        """Keeps the first N."""
        check(lib.diskalloc_strvec_truncate(self._p(), min(count(n), len(self))))

    def sort(self) -> None:
        """Sorts by bytes; of UTF-8 that is the order of code points."""
        check(lib.diskalloc_strvec_sort(self._p()))

    def compact(self) -> None:
        """Gives back what replaced and truncated strings have left."""
        check(lib.diskalloc_strvec_compact(self._p()))

    def commit(self, durable: bool = False) -> None:
        """Records the present strings for a later open; DURABLE: and everything is on stable storage."""
        check(lib.diskalloc_strvec_commit(self._p(), DURABLE if durable else 0))

    def close(self) -> None:
        """Commits strings that have a name, and gives the memory up.  Closing again does nothing."""
        if not self._finalizer.alive:
            return
        if self._name is not None and not self._read_only:
            self.commit()
        self._finalizer()

    def __enter__(self) -> "Strings":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<diskalloc.Strings {self._name or ''}: {'closed' if self.closed else len(self)}>"

    def __reduce__(self) -> Tuple[Any, ...]:
        """Another process opens what was committed, for reading."""
        if self._name is None:
            raise TypeError("strings without a name can't be opened by another process")
        return (_open, (self._client.address, self._name))


def _open(address: str, name: str) -> Strings:
    return unpickle(
        lambda: Strings(shared(address), name, read_only=True), lambda error: Strings._lost(Client._lost(address, error), name)
    )
