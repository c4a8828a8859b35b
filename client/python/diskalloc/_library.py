"""libdiskalloc-client, by ctypes: structs and functions as <diskalloc/client.h>, vec.h and strvec.h have them."""

import ctypes
import sys
from ctypes import POINTER, Structure, c_char, c_char_p, c_int, c_size_t, c_uint32, c_uint64, c_void_p
from typing import Any

SPARSE, READ_ONLY, CREATE, EXCLUSIVE, SOLE_WRITER = 1, 2, 4, 8, 16
DURABLE = 1
NO_LIMIT = 2**64 - 1
ADOPTED, VEC_READ_ONLY = 1, 2


class Options(Structure):
    """struct diskalloc_region_options"""

    _fields_ = [("struct_size", c_size_t), ("size", c_uint64), ("reserve", c_uint64), ("mode", c_uint32), ("flags", c_uint32)]


def options(mode: int = 0o600, flags: int = 0, size: int = 0) -> Options:
    return Options(ctypes.sizeof(Options), size, 0, mode, flags)


class ErrorInfo(Structure):
    """struct diskalloc_error_info"""

    _fields_ = [
        ("code", c_int),
        ("limit_name", c_char * 64),
        ("limit", c_uint64),
        ("used", c_uint64),
        ("asked", c_uint64),
        ("handle", c_char * 33),
    ]


class UsageStruct(Structure):
    """struct diskalloc_usage"""

    _fields_ = [
        (name, c_uint64)
        for name in (
            "bytes",
            "bytes_limit",
            "regions",
            "regions_limit",
            "connections",
            "connections_limit",
            "warn_bytes",
            "waiters",
            "grantable_bytes",
        )
    ]


class RegionStruct(Structure):
    """struct diskalloc_region_info"""

    _fields_ = [
        ("handle", c_char * 33),
        ("name", c_char * 129),
        ("owner", c_uint32),
        ("mode", c_uint32),
        ("flags", c_uint32),
        ("element_size", c_uint32),
        ("attached", c_uint32),
        ("size", c_uint64),
        ("granted", c_uint64),
        ("used", c_uint64),
        ("created_s", c_uint64),
        ("expires_s", c_uint64),
    ]


class VecState(Structure):
    """struct diskalloc_vec_state: a vector, and the result of the call that made it"""

    _fields_ = [
        ("data", c_void_p),
        ("len", c_size_t),
        ("cap", c_size_t),
        ("region", c_void_p),
        ("base_size", c_uint64),
        ("flags", c_uint32),
        ("result", c_int),
    ]


class VecCap(Structure):
    """struct diskalloc_vec_cap"""

    _fields_ = [("cap", c_size_t), ("result", c_int)]


class StrvecStruct(Structure):
    """struct diskalloc_strvec"""

    _fields_ = [
        ("bytes", VecState),
        ("offsets", VecState),
        ("first", c_uint64),
        ("kept_bytes", c_uint64),
        ("kept_strings", c_uint64),
        ("changes", c_uint64),
    ]


_REGION = (c_void_p, c_size_t, c_size_t)  # region, len, cap
_STRVEC = POINTER(StrvecStruct)
_PROTOTYPES: "dict[str, tuple[Any, ...]]" = {  # the result, then the arguments
    "version": (c_char_p,),
    "open": (c_int, c_char_p, c_void_p, POINTER(c_void_p)),
    "close": (None, c_void_p),
    "address": (c_char_p, c_void_p),
    "last_error": (c_char_p,),
    "last_error_info": (c_int, POINTER(ErrorInfo), c_size_t),
    "get_usage": (c_int, c_void_p, c_char_p, POINTER(UsageStruct), c_size_t),
    "next_region": (c_int, c_void_p, POINTER(c_uint64), POINTER(RegionStruct), c_size_t),
    "region_unlink": (c_int, c_void_p, c_char_p),
    "region_attach": (c_int, c_void_p, c_char_p, POINTER(Options), POINTER(c_void_p)),
    "region_close": (None, c_void_p),
    "region_data": (c_void_p, c_void_p),
    "region_size": (c_uint64, c_void_p),
    "region_reserve": (c_uint64, c_void_p),
    "region_handle": (c_char_p, c_void_p),
    "region_refresh": (c_int, c_void_p),
    "vec_init": (VecState, c_void_p, c_char_p),
    "vec_open": (VecState, c_void_p, c_char_p, POINTER(Options), c_size_t, c_char_p),
    "vec_deinit": (None, c_void_p, c_uint64, c_uint32, c_uint64),
    "vec_commit": (VecCap, *_REGION, c_size_t, POINTER(c_uint64), c_uint32, c_char_p),
    "vec_shrink": (VecCap, *_REGION, c_size_t, POINTER(c_uint64), c_char_p),
    "vec_grow": (VecCap, *_REGION, c_size_t, c_size_t, c_char_p),
    "vec_grow_zeroed": (VecCap, *_REGION, c_size_t, c_size_t, c_char_p),
    "vec_copy": (None, c_void_p, c_uint64, c_void_p, c_uint64),
    "strvec_init": (c_int, _STRVEC, c_void_p),
    "strvec_open": (c_int, _STRVEC, c_void_p, c_char_p, c_uint32),
    "strvec_deinit": (None, _STRVEC),
    "strvec_push": (c_int, _STRVEC, c_char_p, c_size_t),
    "strvec_get": (c_void_p, _STRVEC, c_size_t, POINTER(c_size_t)),
    "strvec_set": (c_int, _STRVEC, c_size_t, c_char_p, c_size_t),
    "strvec_truncate": (c_int, _STRVEC, c_size_t),
    "strvec_len": (c_size_t, _STRVEC),
    "strvec_append": (c_int, _STRVEC, c_char_p, c_void_p, c_size_t),
    "strvec_pop": (c_int, _STRVEC),
    "strvec_sort": (c_int, _STRVEC),
    "strvec_compact": (c_int, _STRVEC),
    "strvec_commit": (c_int, _STRVEC, c_uint32),
}


def encode(text: str) -> bytes:
    """TEXT for a function that reads it up to its NUL."""
    if "\0" in text:
        raise ValueError("embedded null byte")
    return text.encode()


def count(n: int) -> int:
    """N for a function that takes a size_t, of which ctypes would pass on the lower bits only."""
    if n < 0:
        raise ValueError("a negative length")
    if n > sys.maxsize:
        raise OverflowError(f"{n} elements are more than memory has addresses")
    return n


def _load() -> ctypes.CDLL:
    loaded = ctypes.CDLL("libdiskalloc-client.so.0")
    for name, (result, *arguments) in _PROTOTYPES.items():
        function = getattr(loaded, "diskalloc_" + name)
        function.restype = result
        function.argtypes = arguments
    return loaded


lib = _load()
