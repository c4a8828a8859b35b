"""What the tests of metrics share: asking over HTTP, and reading what comes."""

import http.client
import json
import os
import re
import socket
import time

import wire_case
from wire_client import DEADLINE_SECONDS

LISTEN = "metrics_listen = localhost:0\n"
CONFIG = wire_case.CONFIG.replace("keep_free = 0\n", "keep_free = 0\n" + LISTEN)
SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\["\\n])*)"(?:,|$)')


def port():
    """The last port that the daemon's log names."""
    return int(re.findall(r"metrics are served at http://[^ ]*:(\d+)/", wire_case.daemon.log())[-1])


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=DEADLINE_SECONDS)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(DEADLINE_SECONDS)
        self.sock.connect(self.path)


def ask(path, method="GET", headers=None, at=None, body=None):
    """The response, and its body.  AT: a port, or the path of a socket."""
    at = at or port()
    connection = UnixConnection(at) if isinstance(at, str) else http.client.HTTPConnection("127.0.0.1", at, timeout=DEADLINE_SECONDS)
    try:
        connection.request(method, path, headers=headers or {}, body=body)
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def state(at=None):
    return json.loads(ask("/state.json", at=at)[1])


def parse(text):
    """Samples as a dictionary (name, frozenset of labels) -> value; a line that is none, or comes twice, is an error."""
    found = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        match = SAMPLE.match(line)
        assert match, line
        labels = LABEL.findall(match[2] or "")
        assert ",".join(f'{k}="{v}"' for k, v in labels) == (match[2] or ""), line
        key = (match[1], frozenset(labels))
        assert key not in found, f"twice: {line}"
        found[key] = float(match[3])
    return found


def families(text):
    """The families of an OpenMetrics text: name -> type."""
    return dict(re.findall(r"(?m)^# TYPE (\S+) (\S+)$", text))


def value(samples, name, /, **labels):
    return samples[name, frozenset(labels.items())]


def labels_of(samples):
    """The names of the samples, and the names of the labels of each."""
    found = {}
    for name, labels in samples:
        found.setdefault(name, set()).update(k for k, _ in labels)
    return found


def tcp_sockets(pid):
    """The sockets of a process at addresses of IPv4: their ports, and whether they listen."""
    inodes = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    with open("/proc/net/tcp", encoding="ascii") as file:
        lines = [line.split() for line in file.readlines()[1:]]
    return [(int(fields[1].split(":")[1], 16), fields[3] == "0A") for fields in lines if fields[9] in inodes]


def wait_until(condition, what):
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"in vain: {what}")
        time.sleep(0.01)
