"""The memory of an array, and who still looks at it.

NumPy arrays and memoryviews refer to a ctypes object (a `view`), which refers to the region's guard, as does the array.
The guard's references say whether somebody can still touch the memory: close() refuses then, and a region that was
forgotten is given up when its guard goes.

In a cycle of garbage the collector calls __del__ of all objects while all of them still exist, in any order; others may
touch the memory after the guard's was called.  So a guard that has references then only makes a successor, which it
alone refers to: that one goes when the cycle has been taken apart.
"""

import atexit
import ctypes
import errno
import sys
from typing import Any, Dict, Optional

from ._errors import Error, check
from ._library import ADOPTED, CREATE, EXCLUSIVE, VEC_READ_ONLY, Options, VecState, count, encode, lib, options

_open: "Dict[int, Region]" = {}  # by id() of their guards


_LAST = 3  # references that sys.getrefcount() finds in __del__ of an object that nothing else refers to


class Guard:
    """Whoever has it keeps a region open."""

    __slots__ = ("successor",)

    # The names of modules may be gone when the interpreter ends.
    def __del__(self, _all: "Dict[int, Region]" = _open, _count: Any = sys.getrefcount, _id: Any = id, _last: int = _LAST) -> None:
        region = _all.pop(_id(self), None)
        if region is None:
            return
        if _count(self) > _last:
            self.successor = type(self)()
            _all[_id(self.successor)] = region
        else:
            region.give_up()


class Region:
    """A vector of the library: region, length, capacity."""

    @classmethod
    def anonymous(cls, da: int, size: int) -> "Region":
        return cls(lib.diskalloc_vec_init(da, b"diskalloc.array"), size)

    @classmethod
    def named(cls, da: int, size: int, name: str, o: Options) -> "Region":
        return cls(lib.diskalloc_vec_open(da, encode(name), ctypes.byref(o), size, b"diskalloc.array"), size)

    @classmethod
    def named_of(cls, da: int, size: int, name: str, mode: int, n: int) -> "Region":
        """One that is there; or a new one of N elements, which does not stay if it cannot have them."""
        while True:
            try:
                return cls.named(da, size, name, options(mode))
            except FileNotFoundError:
                pass
            try:
                region = cls.named(da, size, name, options(mode, CREATE | EXCLUSIVE))
                break
            except FileExistsError:
                pass  # since then another process has made it
        try:
            region.resize(n)
        except BaseException:
            lib.diskalloc_region_unlink(da, encode(name))
            region.give_up()
            raise
        return region

    @classmethod
    def attached(cls, pointer: Optional[int], size: int, n: int, read_only: bool) -> "Region":
        """N elements of a region that another process resizes."""
        have = lib.diskalloc_region_size(pointer) // size
        if have < n:
            lib.diskalloc_region_close(pointer)
            raise Error(errno.ESTALE, f"the array has been cut to {have} elements")
        state = VecState(lib.diskalloc_region_data(pointer), n, n, pointer, 0, VEC_READ_ONLY if read_only else 0, 0)
        return cls(state, size, is_attached=True)

    def __init__(self, state: VecState, size: int, is_attached: bool = False) -> None:
        check(state.result)
        self._state, self._size, self._attached = state, size, is_attached
        self.len: int = state.len
        self._cap: int = state.cap
        reserve = lib.diskalloc_region_reserve(state.region)
        self._type = ctypes.c_char * reserve  # one type: ctypes keeps each for ever
        self._memory: Optional[memoryview] = memoryview(self._type.from_address(state.data)).cast("B")

    def guard(self) -> Guard:
        """To be called once."""
        guard = Guard()
        _open[id(guard)] = self
        return guard

    @property
    def is_closed(self) -> bool:
        return self._memory is None

    @property
    def is_read_only(self) -> bool:
        return bool(self._state.flags & VEC_READ_ONLY)

    @property
    def handle(self) -> str:
        self.memory()
        text: str = lib.diskalloc_region_handle(self._state.region).decode()
        return text

    def memory(self) -> memoryview:
        """For the methods of Array, which keep none of it."""
        if self._memory is None:
            raise ValueError("the array is closed")
        return self._memory

    def check_writable(self) -> None:
        self.memory()
        if self.is_read_only:
            raise Error(errno.EROFS, "the array was opened for reading only")

    def buffer(self, guard: Guard) -> Any:
        """A view.  Its length is that of the address space, not of the array."""
        self.memory()
        view = self._type.from_address(self._state.data)
        view.guard = guard
        return view

    def _check_length(self) -> None:
        self.check_writable()
        if self._attached:
            raise Error(errno.EBUSY, "the array was attached by its handle: who made it changes its length")

    def make_room(self, n: int) -> None:
        self._check_length()
        if n > self._cap - self.len:
            count(self.len + n)
            self._take(lib.diskalloc_vec_grow(self._state.region, self.len, self._cap, n, self._size, b"diskalloc.array"))

    def _take(self, grown: Any) -> None:
        self._cap = grown.cap
        check(grown.result)

    def copy(self, at: int, source: int, n: int) -> None:
        """N bytes from the address SOURCE to where there is room."""
        lib.diskalloc_vec_copy(self._state.region, at, source, n)

    def resize(self, n: int) -> None:
        self._check_length()
        count(n)
        s, more, zeros = self._state, n - self.len, min(n, self._cap) - self.len
        if n > self._cap:
            self._take(lib.diskalloc_vec_grow_zeroed(s.region, self.len, self._cap, more, self._size, b"diskalloc.resize"))
        if zeros > 0:
            ctypes.memset(s.data + self.len * self._size, 0, zeros * self._size)
        self.len = n

    def shrink(self) -> None:
        self._check_length()
        s, base = self._state, ctypes.c_uint64(self._state.base_size)
        cap = lib.diskalloc_vec_shrink(s.region, self.len, self._cap, self._size, ctypes.byref(base), b"diskalloc.shrink")
        s.base_size = base.value
        self._take(cap)

    def commit(self, flags: int) -> None:
        self._check_length()
        s, base = self._state, ctypes.c_uint64(self._state.base_size)
        done = lib.diskalloc_vec_commit(
            s.region, self.len, self._cap, self._size, ctypes.byref(base), flags, b"diskalloc.commit"
        )
        s.base_size = base.value
        check(done.result)

    def commit_if_named(self) -> None:
        if self._state.flags & ADOPTED and not self.is_read_only and not self._attached:
            self.commit(0)

    def give_up(
        self, _close: Any = lib.diskalloc_region_close, _deinit: Any = lib.diskalloc_vec_deinit
    ) -> None:
        """Nobody has a view."""
        if self._memory is None:
            return
        self._memory = None
        s = self._state
        if self._attached:
            _close(s.region)
        else:
            _deinit(s.region, s.base_size, s.flags, self.len * self._size)


class Unattached:
    """In the place of a region that could not be attached: whatever is done with it is refused as that was."""

    is_closed = True

    def __init__(self, error: Error) -> None:
        self._error = error

    def guard(self) -> None:
        """There is nothing to guard."""

    def __getattr__(self, name: str) -> Any:
        raise self._error


def count_views(guard: Guard) -> int:
    """Of an array that has one reference itself; the caller has it from the array without another one."""
    return sys.getrefcount(guard) - 3


@atexit.register
def _at_exit() -> None:
    """What is still open is committed.  Its memory stays: it may be used while the interpreter ends."""
    for region in list(_open.values()):
        if not region.is_closed:
            try:
                region.commit_if_named()
            except OSError:
                pass  # the last commit counts
