"""A client: of the daemon, or of a directory."""

import ctypes
import os
import sys
import weakref
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, NamedTuple, Optional, Tuple, TypeVar

from . import _library
from ._errors import Error, check
from ._library import NO_LIMIT, RegionStruct, UsageStruct, encode, lib

if TYPE_CHECKING:
    from ._array import Array
    from ._strings import Strings


class Usage(NamedTuple):
    """What a user, a group or the machine uses.  Sizes are bytes; None is no limit."""

    bytes: int
    bytes_limit: Optional[int]
    regions: int
    regions_limit: Optional[int]
    connections: int
    connections_limit: Optional[int]
    warn_bytes: Optional[int]
    waiters: int
    grantable_bytes: int  # a growth by that much would succeed now


class RegionInfo(NamedTuple):
    """A region, as the daemon or the directory has it.  Sizes are bytes, times are seconds since 1970."""

    handle: str
    name: Optional[str]  # None: anonymous
    owner: int
    mode: int
    sparse: bool
    element_size: int  # 0: not said
    attached: int
    size: int
    granted: int
    used: int
    created: Optional[int]
    expires: Optional[int]


def _region_info(r: RegionStruct) -> RegionInfo:
    return RegionInfo(
        r.handle.decode(),
        r.name.decode() or None,
        r.owner,
        r.mode,
        bool(r.flags & _library.SPARSE),
        r.element_size,
        r.attached,
        r.size,
        r.granted,
        r.used,
        r.created_s or None,
        r.expires_s or None,
    )


class Client:
    """Makes arrays and strings.  Use diskalloc.open(), and close() or `with` in the end.

    Arrays stay usable when their client is closed.  Any thread may use a client; one thread at a time an array.
    """

    _error: Optional[Error] = None

    def __init__(self, address: Optional[str] = None) -> None:
        pointer = ctypes.c_void_p()
        check(lib.diskalloc_open(encode(address) if address is not None else None, None, ctypes.byref(pointer)))
        self._pointer: Optional[int] = pointer.value
        self._address: str = lib.diskalloc_address(pointer).decode()
        self._finalizer = weakref.finalize(self, lib.diskalloc_close, pointer.value)
        self._finalizer.atexit = False

    @classmethod
    def _lost(cls, address: str, error: Error) -> "Client":
        c = object.__new__(cls)
        c._pointer, c._address, c._error = None, address, error
        c._finalizer = weakref.finalize(c, lambda: None)
        return c

    def _da(self) -> int:
        if self._error is not None:
            raise self._error
        if self._pointer is None:
            raise ValueError("the client is closed")
        return self._pointer

    @property
    def address(self) -> str:
        """What is really used: "unix:/..." a daemon, "dir:/..." a directory."""
        return self._address

    def array(
        self, dtype: Any, n: int = 0, name: Optional[str] = None, mode: int = 0o600, *, read_only: bool = False
    ) -> "Array":
        """An array of DTYPE: what numpy.dtype() accepts, or without NumPy a code such as "f8" or "i4".

        N elements of zeros, and then as many as are appended.  With a NAME the array stays until it is unlinked; one that
        is there has the elements of its last commit, and N counts for a new one only, as does MODE: who else may open it,
        as chmod's bits.  READ_ONLY opens one that is there.  The name may be "user/name", another user's.
        """
        from ._array import Array

        return Array._make(self, dtype, n, name, mode, read_only)

    def strings(self, name: Optional[str] = None, *, read_only: bool = False) -> "Strings":
        """A list of strings whose bytes are on disk.  With a NAME they stay; READ_ONLY opens those that are there."""
        from ._strings import Strings

        return Strings(self, name, read_only=read_only)

    def usage(self, subject: Optional[str] = None) -> Usage:
        """What SUBJECT uses ("total", "user:NAME", "group:NAME"; None: the caller), and its limits."""
        u = UsageStruct()
        encoded = encode(subject) if subject is not None else None
        check(lib.diskalloc_get_usage(self._da(), encoded, ctypes.byref(u), ctypes.sizeof(u)))
        limited = {"bytes_limit", "regions_limit", "connections_limit", "warn_bytes"}
        values = {name: getattr(u, name) for name in Usage._fields}
        return Usage(**{k: None if k in limited and v == NO_LIMIT else v for k, v in values.items()})

    def regions(self) -> Iterator[RegionInfo]:
        """The regions that the caller may see.  Of a directory: named ones, and the anonymous ones of this process."""
        cursor, r = ctypes.c_uint64(0), RegionStruct()
        while check(lib.diskalloc_next_region(self._da(), ctypes.byref(cursor), ctypes.byref(r), ctypes.sizeof(r))):
            yield _region_info(r)

    def unlink(self, name: str) -> None:
        """Removes the array NAME; whoever has it open keeps it until then.  Strings are two: NAME and NAME.bytes."""
        check(lib.diskalloc_region_unlink(self._da(), encode(name)))

    def close(self) -> None:
        """Closes the client; its arrays stay.  Closing again does nothing."""
        self._pointer = None
        self._finalizer()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<diskalloc.Client {self._address}{' (closed)' if self._pointer is None else ''}>"

    def __reduce__(self) -> Tuple[Any, ...]:
        return (_unpickle_client, (self._address,))


def open(address: Optional[str] = None) -> Client:
    """A client of ADDRESS, "unix:/path.sock" or "dir:/path".

    None: $DISKALLOC_ADDRESS, else the daemon of this machine, and if there is none, a directory, for arrays without names.
    """
    return Client(address)


_shared: Dict[Tuple[int, str], Client] = {}


def shared(address: str) -> Client:
    """The client that this process has for what was pickled.  A forked child makes its own connection."""
    key = (os.getpid(), address)
    if key not in _shared:
        _shared[key] = Client(address)
    return _shared[key]


_T = TypeVar("_T")


def _is_a_worker() -> bool:
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None


def unpickle(make: Callable[[], _T], lost: Callable[[Error], _T]) -> _T:
    """What MAKE returns.

    A worker of multiprocessing that cannot read a task ends without a word, and whoever waits for the result waits for
    ever.  So there a failure gives what LOST returns, which raises the error when it is used.
    """
    try:
        return make()
    except Error as error:
        if not _is_a_worker():
            raise
        return lost(error)


def _unpickle_client(address: str) -> Client:
    return unpickle(lambda: shared(address), lambda error: Client._lost(address, error))
