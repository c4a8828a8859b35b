"""The package diskalloc, with a daemon and in a directory: python.py LIBRARY DISKALLOCD.

Each test that could crash the interpreter runs in one of its own.
"""

import array
import errno
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import unittest

LIBRARY, DISKALLOCD = sys.argv[1:3]
SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "client", "python")
with open(LIBRARY, "rb") as _stream:
    _text = _stream.read()
if b"__asan_init" in _text or b"__tsan_init" in _text:
    print("skipped: the library is built with a sanitizer, which this interpreter has not", file=sys.stderr)
    sys.exit(77)
if os.environ.get("LD_LIBRARY_PATH") != os.path.dirname(LIBRARY):
    os.environ["LD_LIBRARY_PATH"] = os.path.dirname(LIBRARY)
    os.execv(sys.executable, [sys.executable, "-B", *sys.argv])
del sys.argv[1:]
sys.path.insert(0, SOURCE)

import diskalloc  # noqa: E402

try:
    import numpy
except ImportError:
    numpy = None
try:
    import pandas
except ImportError:
    pandas = None

needs_numpy = unittest.skipIf(numpy is None, "numpy is not there (python3-numpy)")


def base_dir():
    return os.environ.get("DISKALLOC_TEST_DIR", "/var/tmp")


class Daemon:
    def __init__(self, config="[daemon]\nkeep_free = 0\n"):
        self.dir = tempfile.mkdtemp(prefix="diskalloc-test-", dir=base_dir())
        os.chmod(self.dir, 0o755)
        spill, conf = os.path.join(self.dir, "spill"), os.path.join(self.dir, "conf")
        os.mkdir(spill, 0o700)
        with open(conf, "w", encoding="utf-8") as stream:
            stream.write(config)
        self.address = f"unix:{self.dir}/socket"
        self.log = open(os.path.join(self.dir, "log"), "wb")  # noqa: SIM115
        self.process = subprocess.Popen(
            [DISKALLOCD, "--config", conf, "--socket", f"{self.dir}/socket", "--spill-dir", spill], stderr=self.log
        )
        for _ in range(3000):
            try:
                diskalloc.open(self.address).close()
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                signal.sigtimedwait([], 0.01)
        raise RuntimeError(f"the daemon did not start: {self.dir}/log")

    def stop(self):
        self.process.terminate()
        self.process.wait(30)
        self.log.close()
        shutil.rmtree(self.dir)


def run(code, *arguments, without=(), preexec=None):
    """CODE in an interpreter of its own, with DA open and an ARGUMENT for each further %s."""
    blocked = "".join(f"sys.modules[{name!r}] = None\n" for name in without)
    text = f"import sys\nsys.path.insert(0, {SOURCE!r})\n{blocked}import diskalloc\nda = diskalloc.open(sys.argv[1])\n"
    return subprocess.run(
        [sys.executable, "-B", "-c", text + textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        preexec_fn=preexec,
    )


def add_one(a):
    for i in range(len(a)):
        a[i] += 1
    return os.getpid()


VALUES_THAT_DO_NOT_FIT = """
for dtype, values in (
    ("u1", (300, -1, 2**70, 256, 1.5, 1.0, "1", None, 1j)),
    ("i1", (128, -129)),
    ("u8", (-1, 2**64)),
    ("i8", (2**63, -(2**63) - 1)),
    (">i2", (40000,)),
):
    with da.array(dtype, 1) as a:
        for value in values:
            error = OverflowError if isinstance(value, int) else TypeError
            for call in (lambda: a.extend([0, value]), lambda: a.extend(iter([0, value])), lambda: a.append(value), lambda: a.__setitem__(0, value)):
                try:
                    call()
                except error:
                    assert list(a) == [0], (dtype, value, list(a))
                else:
                    raise AssertionError((dtype, value, list(a)))
for dtype, values in (("u8", [2**64 - 1, 0]), ("i8", [-(2**63), 2**63 - 1]), ("u1", [True, 255]), ("f8", [2**70, 1, 1.5]), ("f4", [1, 2]), ("b1", [1, 0, True])):
    with da.array(dtype) as a:
        a.extend(values)
        a.extend([])
        a.extend(tuple(values))
        assert list(a) == values * 2, (dtype, list(a))
"""

BUFFERS_OF_ALL_FORMATS = """
import array, ctypes, struct, sys

def swapped(code, values):
    order = ">" if sys.byteorder == "little" else "<"
    kind = {"h": ctypes.c_int16, "d": ctypes.c_double, "q": ctypes.c_int64}[code]
    items = (getattr(kind, "__ctype_be__" if order == ">" else "__ctype_le__") * len(values))(*values)
    assert bytes(items) == struct.pack(order + code * len(values), *values)
    return items

for to in ("f8", ">f8", "<f8", "i8", ">i8", "i2"):
    for source in (array.array("l", [1, 2]), array.array("L", [1, 2]), array.array("q", [1, 2]), array.array("b", [1, 2]), memoryview(bytes([1, 2])),
                   memoryview(bytes([1, 9, 2, 9]))[::2], swapped("h", [1, 2]), swapped("q", [1, 2]), (ctypes.c_uint16 * 2)(1, 2),
                   memoryview(bytes([1, 2])).cast("B", (2, 1))):
        if "i" in to and isinstance(source, array.array) and source.typecode == "L" and sys.modules["numpy"]:
            continue  # NumPy's rule: signed integers do not take unsigned ones of their size
        with da.array(to) as a:
            a.extend(source)
            assert list(a) == [1, 2], (to, source, list(a))
with da.array("f8") as a:
    for source in (array.array("d", [1.5]), swapped("d", [1.5])):
        a.extend(source)
    assert list(a) == [1.5, 1.5], list(a)
with da.array(">i8", 1) as a, da.array("i8") as b:
    a[0] = 5
    b.extend(a)
    a.extend(b)
    assert (list(a), list(b)) == ([5, 5], [5])
with da.array("i8") as a:
    for source in (array.array("d", [1.5]), (ctypes.c_char * 2)(b"a", b"b"), (ctypes.c_void_p * 1)()):
        try:
            a.extend(source)
        except TypeError:
            assert len(a) == 0
        else:
            raise AssertionError((source, list(a)))
"""


class Both:
    """The tests that both backends pass: `address` is the backend's."""

    def setUp(self):
        self.da = diskalloc.open(self.address)
        self.addCleanup(self.da.close)

    def ok(self, code, **options):
        done = run(code, self.address, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def unlink(self, *names):
        for name in names:
            self.da.unlink(name)

    def test_an_array_of_numbers(self):
        with self.da.array("f8") as a:
            for i in range(1000):
                a.append(i / 2)
            self.assertEqual(len(a), 1000)
            self.assertEqual((a[0], a[1], a[-1]), (0.0, 0.5, 499.5))
            a[1] = 7
            self.assertEqual(list(a)[:3], [0.0, 7.0, 1.0])
            for wrong in (1000, -1001):
                with self.assertRaises(IndexError):
                    a[wrong]
            a.resize(10)
            a.resize(20)
            self.assertEqual(a[9:20].tolist() if numpy else [a[i] for i in range(9, 20)], [4.5] + [0.0] * 10)
            a.extend([1, 2, 3])
            a.extend(array.array("d", [4, 5]))
            a.extend(i for i in (6, 7))
            a.extend(a.memory.cast("d")[:1])
            self.assertEqual([a[i] for i in range(20, 28)], [1, 2, 3, 4, 5, 6, 7, 0])
            self.assertEqual((a.nbytes, a.itemsize), (28 * 8, 8))
            with self.assertRaises(ValueError):
                a.resize(-1)
            a.shrink_to_fit()
            self.assertEqual(a[20], 1)
        with self.assertRaises(ValueError):
            a.append(1)
        a.close()
        self.assertIn("closed", repr(a))

    def test_an_array_with_a_name_stays(self):
        with self.da.array("i4", 5, name="kept") as a:
            self.assertEqual(len(a), 5)
            a.append(42)
            a.commit(durable=True)
        with self.da.array("i4", 1000, name="kept") as a:
            self.assertEqual((len(a), a[5], a.name), (6, 42, "kept"))
        with self.da.array("i4", name="kept", read_only=True) as a:
            self.assertEqual(a[5], 42)
            for change in (lambda: a.append(1), lambda: a.resize(0), lambda: a.__setitem__(0, 1), a.commit):
                with self.assertRaises(OSError) as caught:
                    change()
                self.assertEqual(caught.exception.errno, errno.EROFS)
        with self.assertRaises(OSError) as caught:
            self.da.array("i8", name="kept")
        self.assertEqual(caught.exception.errno, errno.EPROTOTYPE)
        with self.assertRaises(FileNotFoundError):
            self.da.array("i8", name="nothing", read_only=True)
        self.assertIn("kept", [r.name for r in self.da.regions()])
        self.unlink("kept")

    def test_the_length_counts_for_a_new_one_only_and_a_refused_one_does_not_stay(self):
        self.da.array("i4", name="empty").close()
        with self.da.array("i4", 1000, name="empty") as a:
            self.assertEqual(len(a), 0)
        self.unlink("empty")
        with self.assertRaises(FileNotFoundError):
            self.unlink("empty")
        with self.assertRaises(OSError) as caught:
            self.da.array("u1", 1 << 60, name="huge")
        self.assertEqual(caught.exception.errno, errno.ENOMEM)
        self.assertEqual([r.name for r in self.da.regions() if r.name], [])

    def test_numbers_and_names_that_c_would_cut_are_refused(self):
        with self.da.array("u1", 3) as a, self.da.strings() as s:
            s.append("kept")
            for n in (1 << 63, 1 << 64, (1 << 64) + 1):
                for call in (lambda: a.resize(n), lambda: self.da.array("u1", n), lambda: self.da.array("u1", n, name="n"), lambda: s.truncate(n)):
                    with self.assertRaises(OverflowError):
                        call()
            self.assertEqual((len(a), len(s)), (3, 1))
            s.truncate(100)
            self.assertEqual(list(s), ["kept"])
        name = "cut\0here"
        for call in (lambda: self.da.array("u1", name=name), lambda: self.da.array("u1", 1, name=name), lambda: self.da.strings(name),
                     lambda: self.da.unlink(name), lambda: self.da.usage(name), lambda: diskalloc.open(self.address + name)):
            with self.assertRaises(ValueError):
                call()
        self.assertEqual([r.name for r in self.da.regions() if r.name], [])

    def test_values_that_do_not_fit_are_refused_and_none_is_cut(self):
        self.ok(VALUES_THAT_DO_NOT_FIT)
        self.ok(VALUES_THAT_DO_NOT_FIT, without=("numpy",))

    def test_buffers_of_all_formats_are_converted(self):
        self.ok(BUFFERS_OF_ALL_FORMATS)
        self.ok(BUFFERS_OF_ALL_FORMATS, without=("numpy",))

    def test_strings_that_are_added_to_themselves_are_there_twice(self):
        with self.da.strings() as s:
            s.extend(["a", "b"])
            s.extend(s)
            self.assertEqual(list(s), ["a", "b"] * 2)

    def test_wrong_arguments(self):
        for dtype in ("O", "nonsense", None if numpy is None else "V0"):
            with self.assertRaises(TypeError):
                self.da.array(dtype)
        with self.assertRaises(ValueError):
            self.da.array("f8", -1)
        with self.assertRaises(ValueError):
            self.da.array("f8", read_only=True)
        with self.assertRaises(TypeError):
            diskalloc.Array()
        with self.assertRaises(OSError) as caught:
            self.da.array("f8", name="a name")
        self.assertEqual((caught.exception.errno, caught.exception.limit_name), (errno.EINVAL, ""))
        self.assertIsInstance(caught.exception, diskalloc.Error)

    def test_failing_extensions_add_nothing(self):
        with self.da.array("f8") as a, self.da.strings() as s:
            a.append(1)
            with self.assertRaises((TypeError, ValueError)):
                a.extend([1, "no number", 3])
            with self.assertRaises(ZeroDivisionError):
                a.extend(1 / (i - 5) for i in range(10))
            self.assertEqual(len(a), 1)
            with self.assertRaises(TypeError):
                s.extend(["a", 7])
            with self.assertRaises(ZeroDivisionError):
                s.extend(str(1 // (100000 - i)) for i in range(200000))
            self.assertEqual(len(s), 0)

    def test_strings(self):
        with self.da.strings() as s:
            s.append("one")
            s.append(b"\xff\0")
            s.extend(["ä", "", b"x"])
            self.assertEqual(list(s), ["one", "\udcff\0", "ä", "", "x"])
            self.assertEqual((s[0], s[-1], s[1:3], s.get_bytes(1)), ("one", "x", ["\udcff\0", "ä"], b"\xff\0"))
            s[0] = "another one"
            s.sort()
            self.assertEqual(list(s), ["", "another one", "x", "ä", "\udcff\0"])
            s.compact()
            self.assertEqual(s.pop(), "\udcff\0")
            s.truncate(2)
            self.assertEqual(list(s), ["", "another one"])
            s.extend(str(i) for i in range(200000))
            self.assertEqual((len(s), s[200001]), (200002, "199999"))
            for wrong in (200002, -200003):
                with self.assertRaises(IndexError):
                    s[wrong]
            s.truncate(0)
            with self.assertRaises(IndexError):
                s.pop()
            with self.assertRaises(TypeError):
                s.append(7)
            with self.assertRaises(TypeError):
                pickle.dumps(s)
        with self.assertRaises(ValueError):
            len(s)

    def test_strings_with_a_name_stay(self):
        with self.da.strings("words") as s:
            s.extend(["a", "b"])
            s.commit()
            s.append("not committed")
            with self.assertRaises(OSError) as caught:
                self.da.strings("words")
            self.assertEqual(caught.exception.errno, errno.EBUSY)
            with pickle.loads(pickle.dumps(s)) as other:
                self.assertEqual(list(other), ["a", "b"])
                with self.assertRaises(OSError):
                    other.append("x")
        with self.da.strings("words") as s:
            self.assertEqual(len(s), 3)
        self.unlink("words", "words.bytes")

    def test_usage_and_regions(self):
        with self.da.array("u1", 1 << 22) as a, self.da.strings():
            usage = self.da.usage()
            self.assertGreaterEqual(usage.bytes, 1 << 22)
            self.assertGreaterEqual(usage.regions, 3)
            info = next(r for r in self.da.regions() if r.handle == a.handle)
            self.assertGreaterEqual(info.size, 1 << 22)
            self.assertIsNone(info.name)
            self.assertEqual(info.owner, os.geteuid())

    def test_processes_attach_and_do_not_copy(self):
        a = self.da.array("i8", 1000)
        with multiprocessing.get_context("fork").Pool(2) as pool:
            pids = pool.map(add_one, [a] * 6, chunksize=1)
        self.assertNotIn(os.getpid(), pids)
        self.assertGreater(a[0], 0)
        b = pickle.loads(pickle.dumps(a))
        b[999] = -5
        self.assertEqual((a[999], b.handle), (-5, a.handle))
        for change in (lambda: b.append(1), lambda: b.resize(0), b.commit):
            with self.assertRaises(OSError) as caught:
                change()
            self.assertEqual(caught.exception.errno, errno.EBUSY)
        b.close()
        a.append(1)
        a.close()

    def test_a_view_after_close_is_no_crash(self):
        out = self.ok(
            """
            a = da.array("u8", 100000)
            view = a.memory
            part = view[8:16]
            del view
            try:
                a.close()
            except BufferError as e:
                print("refused:", e)
            da.close()
            part[0] = 1
            assert a[1] == 1
            del a                          # the memory stays with its last view
            import gc
            gc.collect()
            part[7] = 1
            assert bytes(part) == b"\\1\\0\\0\\0\\0\\0\\0\\1"
            keep = part                    # also while the interpreter ends
            class AtTheEnd:
                def __del__(self):
                    keep[0] = 2
            last = AtTheEnd()
            """
        )
        self.assertIn("refused: 1 views", out)

    def test_what_is_forgotten_is_given_up(self):
        out = self.ok(
            """
            import gc
            class Owner:
                def __init__(self):
                    self.array = da.array("u8", 100000)
                    self.view = self.array.memory
                    self.self = self
                def __del__(self):
                    self.view[0] = 1           # the memory is still there
                    print(self.view[0])
            import time
            def regions_are(n):                # they are given up in the background
                for _ in range(1000):
                    found = sum(1 for _ in da.regions())
                    if found == n:
                        return True
                    time.sleep(0.01)
                return False
            for _ in range(3):
                Owner()
                gc.collect()
            a = da.array("u8", 5)
            view = a.memory
            del a
            assert regions_are(1)
            del view
            assert regions_are(0)
            """
        )
        self.assertEqual(out, "1\n" * 3)

    def test_an_exception_in_a_block_is_not_hidden(self):
        with self.assertRaises(ZeroDivisionError):
            with self.da.array("u8", 10) as a:
                view = a.memory
                1 / len(view[:0])
        view.release()

    def test_everything_but_np_works_without_numpy(self):
        out = self.ok(
            """
            import array
            with da.array("f8") as a:
                a.append(1)
                a.extend([2, 3])
                a.extend(array.array("d", [4]))
                a.extend(array.array("i", [5]))
                a.extend(a)
                assert list(a) == [1, 2, 3, 4, 5] * 2, list(a)
                a.memory.cast("d")[0] = 9
                assert (a[0], a.dtype, len(a)) == (9, "f8", 10)
                try:
                    a.np
                except ImportError as e:
                    print(e)
            for dtype in ("int32", "u1", ">i2", "<f4", "d", float, bool):
                with da.array(dtype, 3) as a:
                    a[0] = 1
                    a.extend([1, 0])
                    assert list(a) == [1, 0, 0, 1, 0], (dtype, list(a))
            """,
            without=("numpy",),
        )
        self.assertIn("needs NumPy", out)

    def test_an_end_without_close_commits(self):
        self.ok("a = da.array('i8', name='open')\na.extend(range(50))\nview = a.memory\n")
        self.ok("s = da.strings('strings')\ns.append('kept')\n")
        with self.da.array("i8", name="open") as a:
            self.assertEqual(list(a), list(range(50)))
        with self.da.strings("strings") as s:
            self.assertEqual(list(s), ["kept"])
        self.unlink("open", "strings", "strings.bytes")

    @needs_numpy
    def test_numpy_views_stay_valid_while_it_grows(self):
        with self.da.array("f8") as a:
            a.extend(numpy.arange(100.0))
            view = a.np
            address = view.ctypes.data
            for _ in range(50):
                a.extend(numpy.ones(100000))
            self.assertEqual(a.np.ctypes.data, address)
            view[0] = 5
            self.assertEqual((a[0], len(view), len(a.np)), (5, 100, 5000100))
            self.assertEqual(a.np[100:].sum(), 5000000)
            a.extend(numpy.arange(10, dtype="i2"))
            self.assertEqual(a.np[-10:].tolist(), list(range(10)))
            a.extend(numpy.arange(20.0)[::2])
            self.assertEqual(a[-1], 18)
            a.extend(numpy.ones((3, 4)))
            a.extend(view)
            with self.assertRaises(TypeError):
                a.extend(numpy.array(["x"]))
            with self.assertRaises(BufferError):
                a.shrink_to_fit()
            del view

    @needs_numpy
    def test_large_numpy_arrays_of_all_kinds_are_added(self):
        n = 3 << 20
        numbers = numpy.arange(n, dtype="f8")
        table = numbers.reshape(1024, -1)
        for values in (numbers, numbers.astype("f4"), numbers[::-1], table, table.T, numbers.astype(">f8"), numbers[:0]):
            with self.da.array("f8") as a:
                a.append(-1)
                a.extend(values)
                a.extend(values[:1])
                wanted = numpy.concatenate([[-1], values.reshape(-1), values[:1].reshape(-1)])
                self.assertTrue(numpy.array_equal(a.np, wanted), values.dtype)
        with self.da.array("f8") as a:
            a.extend(numbers)
            a.extend(a)
            self.assertTrue(numpy.array_equal(a.np[n:], numbers))

    @needs_numpy
    def test_numpy_elements_with_a_shape(self):
        rows = [[1, 2, 3], [4, 5, 6]]
        with self.da.array("(3,)f4") as a:
            a.append(rows[0])
            a.extend(rows[1:])
            a.extend(numpy.array(rows))
            a.extend(numpy.array([rows, rows], dtype=">f8"))
            a.extend(numpy.tile(numpy.array(rows, dtype="f4"), (1 << 20, 1)))
            self.assertEqual((len(a), a.np.shape, a[1].tolist()), (8 + (2 << 20), (8 + (2 << 20), 3), rows[1]))
            self.assertTrue((a.np.reshape(-1, 2, 3) == rows).all())
            for wrong in ([1, 2, 3, 4], [[1, 2]], 5):
                with self.assertRaises(ValueError):
                    a.extend(numpy.array(wrong))
            self.assertEqual(len(a), 8 + (2 << 20))

    @needs_numpy
    def test_numpy_records(self):
        dtype = numpy.dtype([("id", "<u4"), ("name", "S12")])
        with self.da.array(dtype) as a:
            a.append((7, b"seven"))
            a.extend(numpy.array([(8, b"eight")], dtype=dtype))
            a.extend([(9, b"nine")])
            self.assertEqual(a.np["id"].tolist(), [7, 8, 9])
            self.assertEqual(a[1]["name"], b"eight")
            with self.assertRaises(TypeError):
                self.da.array([("text", object)])
        with self.da.array("f8", 3, name="ro"):
            pass
        with self.da.array("f8", name="ro", read_only=True) as a, self.assertRaises(ValueError):
            a.np[0] = 1
        self.unlink("ro")

    @needs_numpy
    def test_numpy_views_after_close_are_no_crash(self):
        out = self.ok(
            """
            import numpy
            a = da.array("f8", 1000)
            view = a.np[10:20].reshape(2, 5)
            try:
                a.close()
            except BufferError:
                print("refused")
            view += 1
            del a
            view += 1
            assert view.sum() == 20
            """
        )
        self.assertIn("refused", out)

    @needs_numpy
    def test_the_example_runs(self):
        example = os.path.join(SOURCE, "..", "examples", "measurements.py")
        for n in (1000000, 2000000):
            done = subprocess.run(
                [sys.executable, "-B", example, self.address],
                env=os.environ | {"PYTHONPATH": SOURCE},
                capture_output=True,
                text=True,
                timeout=100,
                check=False,
            )
            self.assertEqual(done.stdout, f"{n} measurements, their mean is 9\n", done.stderr)
        self.unlink("measurements")

    @unittest.skipIf(pandas is None, "pandas is not there (python3-pandas)")
    def test_pandas(self):
        with self.da.array("f8") as a:
            a.extend(numpy.arange(1000.0))
            series = pandas.Series(a.np, copy=False)
            self.assertEqual(series.sum(), 499500)
            series.iloc[0] = 1
            self.assertEqual(a[0], 1)
            with self.assertRaises(BufferError):
                a.close()
            del series

    @needs_numpy
    def test_an_array_larger_than_the_memory_limit(self):
        """The limit is one of the address space's private memory: what is on disk does not count."""
        import resource

        out = self.ok(
            """
            import numpy
            piece = numpy.arange(1 << 20, dtype="u8")
            with da.array("u8") as a:
                for i in range(64):
                    a.extend(piece)
                try:
                    numpy.ones(1 << 26)
                except MemoryError:
                    print("no room in memory")
                assert a.nbytes == 512 << 20
                assert int(a.np[:: 1 << 12].sum()) == 64 * int(piece[:: 1 << 12].sum())
            """,
            preexec=lambda: resource.setrlimit(resource.RLIMIT_DATA, (384 << 20, 384 << 20)),
        )
        self.assertIn("no room in memory", out)


class WithDaemon(Both, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon()
        cls.address = cls.daemon.address

    @classmethod
    def tearDownClass(cls):
        cls.daemon.stop()

    def test_processes_that_are_not_forked_attach_too(self):
        a = self.da.array("i8", 3)
        a[1] = 5
        out = self.ok(f"import pickle\na = pickle.loads({pickle.dumps(a)!r})\nprint(a[1])\na[1] = 6\n")
        self.assertEqual((out, a[1]), ("5\n", 6))
        a.close()


class Embedded(Both, unittest.TestCase):
    def test_a_worker_is_told_what_it_cannot_attach(self):
        self.ok(
            """
            import multiprocessing, os, shutil
            a, s = da.array("u1", 5), da.strings("s")
            s.commit()
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                assert pool.apply_async(len, (s,)).get(60) == 0
                s.close()
                for name in ("s", "s.bytes"):
                    da.unlink(name)
                for thing, call in ((a, len), (a, list), (s, len), (s, list)):
                    try:
                        print(pool.apply_async(call, (thing,)).get(60))
                    except diskalloc.Error as e:
                        assert isinstance(e, FileNotFoundError), e
                    else:
                        raise AssertionError(thing)
                assert "closed" in pool.apply_async(repr, (a,)).get(60)
            """
        )

    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="diskalloc-test-", dir=base_dir())
        cls.address = "dir:" + cls.dir

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.dir)


class Limits(unittest.TestCase):
    def test_a_refusal_says_which_limit(self):
        daemon = Daemon("[daemon]\nkeep_free = 0\n[quota default]\nbytes = 4M\n")
        self.addCleanup(daemon.stop)
        with diskalloc.open(daemon.address) as da, da.array("u1", 1 << 20) as a, da.strings() as s:
            for grow in (lambda: a.resize(1 << 23), lambda: s.append(b"x" * (1 << 23)), lambda: da.array("u1", 1 << 23)):
                with self.assertRaises(OSError) as caught:
                    grow()
                e = caught.exception
                self.assertEqual(e.errno, errno.EDQUOT)
                self.assertRegex(e.limit_name, "^user:.* bytes$")
                self.assertEqual(e.limit, 4 << 20)
                self.assertGreater(e.asked + e.used, e.limit)
                self.assertIn("limit 4.0M", e.strerror)
            self.assertEqual((len(a), len(s)), (1 << 20, 0))
            self.assertEqual(da.usage().bytes_limit, 4 << 20)

    def test_no_daemon_is_an_error(self):
        with self.assertRaises(ConnectionRefusedError):
            diskalloc.open("unix:/nonexistent/socket")
        with self.assertRaises(ValueError):
            da = diskalloc.open("dir:" + base_dir())
            da.close()
            da.close()
            da.array("f8")


if __name__ == "__main__":
    unittest.main()
