"""What the library refuses, as exceptions."""

import ctypes
import errno
from typing import Dict, Type

from ._library import ErrorInfo, lib


class Error(OSError):
    """A call of the library failed.

    errno and strerror are those of OSError; strerror is the library's sentence.  Where a limit refused, limit_name says
    which ("user:alice bytes"), and limit, used and asked are its numbers; else limit_name is "".  Errors that Python has
    classes for (FileNotFoundError, FileExistsError, PermissionError, ...) are of these classes too.
    """

    limit_name: str = ""
    limit: int = 0
    used: int = 0
    asked: int = 0
    handle: str = ""


class _NotFound(Error, FileNotFoundError):
    pass


class _Exists(Error, FileExistsError):
    pass


class _Permission(Error, PermissionError):
    pass


class _Refused(Error, ConnectionRefusedError):
    pass


class _Reset(Error, ConnectionResetError):
    pass


class _Timeout(Error, TimeoutError):
    pass


_CLASSES: Dict[int, Type[Error]] = {
    errno.ENOENT: _NotFound,
    errno.EEXIST: _Exists,
    errno.EACCES: _Permission,
    errno.ECONNREFUSED: _Refused,
    errno.ECONNRESET: _Reset,
    errno.ETIMEDOUT: _Timeout,
}


def last_failure() -> Error:
    """The exception for this thread's last call, which failed."""
    info = ErrorInfo()
    lib.diskalloc_last_error_info(ctypes.byref(info), ctypes.sizeof(info))
    error = _CLASSES.get(-info.code, Error)(-info.code, lib.diskalloc_last_error().decode(errors="replace"))
    error.limit_name = info.limit_name.decode(errors="replace")
    error.limit, error.used, error.asked = info.limit, info.used, info.asked
    error.handle = info.handle.decode(errors="replace")
    return error


def check(code: int) -> int:
    """CODE, unless it is a negative errno: then the exception is raised."""
    if code < 0:
        raise last_failure()
    return code
