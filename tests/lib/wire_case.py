"""What the tests from outside stand on: the real daemon in a private directory, and who is to be served meanwhile."""

import ctypes
import grp
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

try:
    import google.protobuf  # noqa: F401
except ImportError:
    print("skipped: Python's protobuf (python3-protobuf) is not there", file=sys.stderr)
    sys.exit(77)
if not shutil.which("protoc"):
    print("skipped: protoc (protobuf-compiler) is not there", file=sys.stderr)
    sys.exit(77)

from wire_client import DEADLINE_SECONDS, Client, Closed, Refused, pb

BASE_DIR = os.environ.get("DISKALLOC_TEST_DIR", "/var/tmp")
MIB = 1 << 20
# Who runs the tests, and the group.
USER = pwd.getpwuid(os.getuid()).pw_name
GROUP = grp.getgrgid(os.getgid()).gr_name

# keep_free would depend on the machine's disk.
CONFIG = """
[daemon]
keep_free = 0
[quota default]
bytes = 64M
regions = 50
region_bytes = 48M
[quota total]
bytes = 256M
"""


def die_with_parent():
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Daemon:
    """diskallocd in a private directory; it is ready when this is made."""

    def __init__(self, config=CONFIG):
        self.dir = tempfile.mkdtemp(prefix="diskalloc-wire-", dir=BASE_DIR)
        self.socket = os.path.join(self.dir, "socket")
        self.spill = os.path.join(self.dir, "spill")
        os.mkdir(self.spill, 0o700)
        self.config = os.path.join(self.dir, "diskallocd.conf")
        self.configure(config)
        self.start()

    def configure(self, config):
        with open(self.config, "w", encoding="ascii") as file:
            file.write(config)

    def arguments(self):
        return ["--config", self.config, "--socket", self.socket, "--spill-dir", self.spill]

    def start(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.settimeout(DEADLINE_SECONDS)
            notify.bind(os.path.join(self.dir, "notify"))
            with open(os.path.join(self.dir, "log"), "ab") as log:
                self.process = subprocess.Popen(
                    [program, *self.arguments()],
                    env=os.environ | {"NOTIFY_SOCKET": notify.getsockname()},
                    stdin=subprocess.DEVNULL,
                    stderr=log,
                    preexec_fn=die_with_parent,
                )
            try:
                while b"READY=1" not in notify.recv(4096).split(b"\n"):
                    pass
            except TimeoutError:
                self.process.kill()
                raise RuntimeError("diskallocd did not get ready:\n" + self.log()) from None
        os.unlink(os.path.join(self.dir, "notify"))

    def restart(self, meanwhile=lambda: None):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(DEADLINE_SECONDS)
        if status != 0:
            raise RuntimeError(f"diskallocd ended with {status}:\n{self.log()}")
        meanwhile()
        self.start()

    def log(self):
        with open(os.path.join(self.dir, "log"), encoding="utf-8", errors="replace") as log:
            return log.read()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(DEADLINE_SECONDS)
        log = self.log()
        shutil.rmtree(self.dir)
        return status, log


program = os.environ.get("TEST_DISKALLOCD", "diskallocd")
daemon = None


def start_daemon(config=CONFIG):
    global daemon
    daemon = Daemon(config)


def stop_daemon():
    status, log = daemon.stop()
    if status != 0:
        raise RuntimeError(f"diskallocd ended with {status}:\n{log}")


def take_argument():
    """A program's path from the command line, or None: only unittest's own arguments are left."""
    return sys.argv.pop(1) if len(sys.argv) > 1 and os.access(sys.argv[1], os.X_OK) else None


class WireTest(unittest.TestCase):
    """Around each test: the daemon serves a connection that was open all the time, and a new one."""

    def setUp(self):
        self.bystander = Client(daemon.socket, name=b"bystander")
        self.wait_until_nothing_is_charged()
        self.handle = os.urandom(16)
        self.addCleanup(self.check_bystander)

    def wait_until_nothing_is_charged(self):
        """What earlier tests left goes after their connections have closed, not before."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while usage := self.bystander.call(get_usage=pb.GetUsage()).usage.regions:
            if time.monotonic() > deadline:
                self.fail(f"{usage} regions are still charged")
            time.sleep(0.001)

    def check_bystander(self):
        with self.bystander:
            self.assertEqual(self.bystander.call(get_status=pb.GetStatus()).status.pid, daemon.process.pid)
        with Client(daemon.socket) as another:
            self.assertEqual(another.call(get_usage=pb.GetUsage()).WhichOneof("body"), "usage")

    def connect(self, **arguments):
        client = Client(daemon.socket, **arguments)
        self.addCleanup(client.close)
        return client

    def assert_refused(self, code, client, **body):
        with self.assertRaises(Refused) as caught:
            client.call(**body)
        error = caught.exception.error
        self.assertEqual(pb.ErrorCode.Name(error.code), pb.ErrorCode.Name(code), error.message)
        self.assertTrue(error.message)
        return error

    def assert_last_word(self, client, code=pb.PROTOCOL, ids=(0,)):
        """One Reply with that error, then the end."""
        reply, fd = client.receive()
        self.assertIsNone(fd)
        self.assertIn(reply.id, ids)
        self.assertEqual(pb.ErrorCode.Name(reply.error.code), pb.ErrorCode.Name(code), reply.error.message)
        self.assertTrue(reply.error.message)
        self.assertRaises(Closed, client.receive)
        return reply.error

    def assert_open(self, client):
        self.assertTrue(client.call(get_status=pb.GetStatus()).status.version)
