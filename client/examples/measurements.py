"""measurements: an array that outlives its programs, and that several processes fill without copying.

    python3 measurements.py [ADDRESS]

Needs python3-numpy.  Each call adds a million measurements to those that are there.
"""

import multiprocessing
import sys

import diskalloc

N = 1000000


def square(part):
    """The array was pickled as a handle: this process attaches the same memory."""
    array, first, end = part
    view = array.np
    view[first:end] *= view[first:end]


def main():
    with diskalloc.open(sys.argv[1] if len(sys.argv) > 1 else None) as da, da.array("f8", name="measurements") as a:
        before = len(a)
        a.resize(before + N)
        view = a.np
        view[before:] = 3
        with multiprocessing.Pool(2) as pool:
            half = before + N // 2
            pool.map(square, [(a, before, half), (a, half, len(a))])
        print(f"{len(a)} measurements, their mean is {view.mean():g}")
        a.commit()
        del view  # an array can't be closed while something refers to its memory


if __name__ == "__main__":
    try:
        main()
    except OSError as e:
        sys.exit(f"measurements: {e.strerror}")
