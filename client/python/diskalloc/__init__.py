"""Arrays and strings on disk, in memory that grows in place and never moves.

    import diskalloc

    with diskalloc.open() as da:
        a = da.array("f8")
        a.append(1.5)
        a.extend(numpy.arange(1e9))     # larger than memory, if need be
        a.np.mean()                     # a numpy array over the same bytes

A daemon, diskallocd, makes the files and keeps users within limits; without one, the library makes them in a directory.
An array that has a name stays when the program ends.  NumPy is needed for `np`, and for nothing else.
"""

from ._array import Array
from ._client import Client, RegionInfo, Usage, open
from ._errors import Error
from ._strings import Strings

__all__ = ["Array", "Client", "Error", "RegionInfo", "Strings", "Usage", "open", "version"]


def version() -> str:
    """The version of the library, libdiskalloc-client."""
    from ._library import lib

    return lib.diskalloc_version().decode()
