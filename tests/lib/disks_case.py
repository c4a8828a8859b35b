"""A daemon with several spill directories, for tests in Python."""

import ctypes
import mmap
import os
import shutil
import signal
import subprocess
import time
import unittest
import unittest.mock

import wire_case
from wire_case import MIB
from wire_client import DEADLINE_SECONDS, Client, Refused, pb

CLONE_NEWNS = 0x20000
FEATURES = pb.FEATURE_MOVE

can_mount = False


def mount_unseen():
    """File systems are mounted where nobody else sees them, and are gone when the tests have ended."""
    global can_mount
    libc = ctypes.CDLL(None, use_errno=True)
    can_mount = (
        os.getuid() == 0
        and all(shutil.which(tool) for tool in ("mkfs.ext4", "mount", "umount", "fsfreeze"))
        and libc.unshare(CLONE_NEWNS) == 0
        and subprocess.run(["mount", "--make-rprivate", "/"], check=False, stderr=subprocess.DEVNULL).returncode == 0
    )


def thaw_at_the_end(test, path):
    """The file system at PATH is thawed when TEST ends, also when this process is killed: what waits for it can't be."""
    guard = subprocess.Popen(  # in a session of its own: a signal to all of the test's processes must not end it
        ["sh", "-c", 'cat; fsfreeze -u "$1"', "-", path],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )
    test.addCleanup(guard.wait)
    test.addCleanup(guard.stdin.close)


def wait_until(true):
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (result := true()):
        if time.monotonic() > deadline:
            raise AssertionError("it has not happened")
        time.sleep(0.01)
    return result


class Disks(wire_case.Daemon):
    """diskallocd with the spill directories DIR/NAME, of which each exists.  TEXT: the rest of its configuration."""

    def __init__(self, names=("a", "b"), text="", prepare=None):
        self.names, self.text, self.prepare = names, text, prepare
        self.mounts = []
        super().__init__()

    def path(self, name):
        return os.path.join(self.dir, name)

    def configure(self, config=None, names=None, text=None):
        """Writes the configuration; the names of the disks and its text are as before unless they are given."""
        self.names = names or self.names
        self.text = self.text if text is None else text
        for name in self.names:
            os.makedirs(self.path(name), mode=0o700, exist_ok=True)
        if self.prepare:
            self.prepare(self)
            self.prepare = None
        lines = "".join(f"spill_dir = {self.path(name)}\n" for name in self.names)
        text = self.text.replace("DIR", self.dir)
        if "[daemon]" not in text:
            text = "[daemon]\nkeep_free = 0\n" + text
        super().configure(text.replace("[daemon]\n", "[daemon]\n" + lines, 1))

    def arguments(self):
        return ["--config", self.config, "--socket", self.socket]

    def reload(self):
        before = self.log().count("the configuration was read again")
        self.process.send_signal(signal.SIGHUP)
        wait_until(lambda: self.log().count("the configuration was read again") > before)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status, log = self.process.wait(DEADLINE_SECONDS), self.log()
        for path in reversed(self.mounts):
            subprocess.run(["umount", "-l", path], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(self.dir)
        return status, log


class DisksTest(unittest.TestCase):
    def start(self, *arguments, **options):
        self.daemon = Disks(*arguments, **options)
        self.addCleanup(self.end)

    def end(self):
        status, log = self.daemon.stop()
        self.assertEqual(status, 0, log)

    def preload(self, *libraries, **environment):
        """Daemons that this test starts from now on have these libraries preloaded."""
        environment |= {
            "LD_PRELOAD": " ".join(libraries),
            "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0",
        }
        patch = unittest.mock.patch.dict(os.environ, environment)
        patch.start()
        self.addCleanup(patch.stop)

    def start_failing(self, *arguments, **options):
        """As start, with disks that can fail: see fail_to_read."""
        self.preload(os.environ["TEST_FAILING_DISK"])
        self.start(*arguments, **options)

    def mark(self, marker, *folders):
        path = os.path.join(self.daemon.dir, *folders)
        os.makedirs(path, mode=0o700, exist_ok=True)
        marker = os.path.join(path, marker)
        with open(marker, "wb"):
            pass
        return marker

    def fail_to_read(self, *folders):
        """From now on a directory fails with an I/O error.  The file that makes it fail."""
        return self.mark(".fails", *folders)

    def lack_descriptors(self, *folders):
        """From now on reading a directory fails for want of descriptors.  The file that makes it fail."""
        return self.mark(".lacks", *folders)

    def hang_when_opened(self, name):
        """From now on opening a disk hangs, and touching it does not.  The file that makes it hang."""
        return self.mark(".hangs", name)

    def connect(self, **options):
        client = Client(self.daemon.socket, features=FEATURES, **options)
        self.addCleanup(client.close)
        return client

    def status(self):
        with Client(self.daemon.socket) as client:
            return client.call(get_status=pb.GetStatus()).status

    def disk(self, name):
        """What the status says of one disk; None: it does not name it."""
        path = self.daemon.path(name).encode()
        return next((d for d in self.status().disks if d.dir == path), None)

    def make(self, client, name, size=MIB, content=b"", **fields):
        """Makes a named region, and the name of the disk that has it."""
        reply, fd = client.call_with_fd(
            open_region=pb.OpenRegion(
                name=name, handle=os.urandom(16), size=size, flags=pb.REGION_CREATE | pb.REGION_EXCLUSIVE, mode=0o600, **fields
            )
        )
        if content:
            with mmap.mmap(fd, size) as memory:
                memory[: len(content)] = content
        os.close(fd)
        return reply.region, os.path.basename(reply.region.disk.decode())

    def make_and_leave(self, name, **options):
        with self.connect() as client:
            region, disk = self.make(client, name, **options)
            client.call(detach_region=pb.DetachRegion(handle=region.handle))
        return region, disk

    def read(self, name, n):
        with self.connect() as client:
            reply, fd = client.call_with_fd(open_region=pb.OpenRegion(name=name, flags=pb.REGION_READ_ONLY))
            with mmap.mmap(fd, n, prot=mmap.PROT_READ) as memory:
                content = memory[:n]
            os.close(fd)
            client.call(detach_region=pb.DetachRegion(handle=reply.region.handle))
        return content

    def move(self, client, name, disk):
        path = disk if disk.startswith("/") else self.daemon.path(disk)
        return client.call(move_region=pb.MoveRegion(name=name, disk=path.encode())).region

    def assert_refused(self, code, words, call):
        with self.assertRaises(Refused) as caught:
            call()
        self.assertEqual(caught.exception.code, code, caught.exception)
        self.assertIn(words, caught.exception.error.message)
        return caught.exception.error

    def files(self, disk):
        """The regions' files on a disk."""
        found = []
        for folder, _, names in os.walk(self.daemon.path(disk)):
            found += [name for name in names if len(name) == 32 and os.path.basename(folder).isdigit()]
        return found

    def mount(self, name, megabytes, block_size=4096, kind="ext4"):
        path, image = self.daemon.path(name), self.daemon.path(f"{name}.img")
        if kind == "tmpfs":
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", path], check=True)
        else:
            with open(image, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, megabytes * MIB)
            options = {"ext4": ["-q", "-m", "0", "-b", str(block_size)], "xfs": ["-q"], "btrfs": ["-q"]}
            subprocess.run([f"mkfs.{kind}", *options[kind], image], check=True, capture_output=True)
            subprocess.run(["mount", "-o", "loop", image, path], check=True)
        os.chmod(path, 0o700)
        self.daemon.mounts.append(path)

    def start_mounted(self, sizes, text="", **by_name):
        """SIZES: in mebibytes, by the names of the disks.  Other arguments of mount, in the plural, by these names."""
        if not can_mount:
            self.skipTest("file systems can be mounted by root only, with mkfs.ext4")

        def mount_all(daemon):
            self.daemon = daemon
            for name, megabytes in sizes.items():
                self.mount(name, megabytes, **{key[:-1]: of[name] for key, of in by_name.items() if name in of})

        self.start(tuple(sizes), text=text, prepare=mount_all)
