"""A client for diskallocd in Python, as somebody would write it who has diskalloc.proto and nothing else of the project.

The messages' classes come from the .proto by protoc; the rest is a SOCK_SEQPACKET socket and recvmsg.
"""

import atexit
import importlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile

PROTO_DIR = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "proto")
MAX_PACKET_BEFORE_HELLO = 65536
# On a machine that is emulated, or busy with other tests, three times as long.
DEADLINE_SECONDS = 180 if "DISKALLOC_TEST_SLOW" in os.environ else 60


def _generate():
    directory = tempfile.mkdtemp(prefix="diskalloc-wire-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    subprocess.run(
        ["protoc", f"--proto_path={PROTO_DIR}", f"--python_out={directory}", "diskalloc.proto"],
        check=True,
    )
    sys.path.insert(0, directory)
    try:
        return importlib.import_module("diskalloc_pb2")
    finally:
        sys.path.remove(directory)


pb = _generate()


class Closed(Exception):
    """The daemon closed the connection."""


class Refused(Exception):
    """The daemon answered with an Error."""

    def __init__(self, error):
        super().__init__(f"{pb.ErrorCode.Name(error.code)}: {error.message}")
        self.error = error
        self.code = error.code


class Client:
    """One connection.  Calls are made one after another; send and receive are there for those that are not."""

    def __init__(self, path, hello=True, name=b"wire_client.py", features=0):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(DEADLINE_SECONDS)
        self.socket.connect(path)
        self.last_id = 0
        self.events = []
        self.hello = None
        if hello:
            self.hello = self.say_hello(name=name, features=features).hello

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send_bytes(self, data, fds=()):
        if fds:
            socket.send_fds(self.socket, [data], list(fds))
        else:
            self.socket.send(data)

    def send(self, request):
        """Sends a Request, with an id of its own unless it has one; the id."""
        if not request.id:
            self.last_id += 1
            request.id = self.last_id
        self.send_bytes(request.SerializeToString())
        return request.id

    def receive(self):
        """The next Reply and the descriptor that came with it, or None."""
        try:
            data, fds, flags, _ = socket.recv_fds(self.socket, MAX_PACKET_BEFORE_HELLO, 2)
        except ConnectionResetError:
            # The daemon closed before it had read all that was sent.  Linux tells that first, and once; what the daemon said
            # before it closed can still be read.
            data, fds, flags, _ = socket.recv_fds(self.socket, MAX_PACKET_BEFORE_HELLO, 2)
        if not data:
            raise Closed()
        assert not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC), "a packet longer than allowed"
        reply = pb.Reply.FromString(data)
        assert reply.has_fd == (len(fds) == 1), "has_fd and the descriptors that came disagree"
        return reply, (fds[0] if fds else None)

    def next_reply(self):
        """The next Reply to a request, and its descriptor.  Events that come before it are kept for next_event."""
        while True:
            reply, fd = self.receive()
            if reply.id:
                return reply, fd
            self.events.append(reply.event)

    def call_with_fd(self, **body):
        """Sends a Request with that body and waits for its Reply."""
        wanted = self.send(pb.Request(**body))
        reply, fd = self.next_reply()
        assert reply.id == wanted, "an answer to something that was not asked"
        if reply.HasField("error"):
            raise Refused(reply.error)
        return reply, fd

    def call(self, **body):
        reply, fd = self.call_with_fd(**body)
        if fd is not None:
            os.close(fd)
        return reply

    def say_hello(self, lowest=1, highest=1, name=b"wire_client.py", features=0):
        return self.call(
            hello=pb.Hello(version_min=lowest, version_max=highest, features=features, client_name=name, pid=os.getpid())
        )

    def next_event(self):
        """The next event: one that came before an answer, or one that is waited for."""
        if self.events:
            return self.events.pop(0)
        reply, _ = self.receive()
        assert reply.id == 0 and reply.WhichOneof("body") == "event", "an answer to something that was not asked"
        return reply.event

    def regions(self, page=0):
        """All regions that this user may see, page by page."""
        found, cursor = [], b""
        while True:
            page_of = self.call(list_regions=pb.ListRegions(cursor=cursor, max=page)).region_list
            found.extend(page_of.regions)
            cursor = page_of.next_cursor
            if not cursor:
                return found
