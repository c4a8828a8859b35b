"""A memory limit around a program: cgroup v2 or v1, whichever has the memory controller and may be written."""

import os
import time

V2, V1 = "/sys/fs/cgroup", "/sys/fs/cgroup/memory"


def _read(path):
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except OSError:
        return ""


def _write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


class MemoryGroup:
    """`with MemoryGroup(bytes) as group:` and preexec_fn=group.enter.  NoGroup: none can be made."""

    class NoGroup(Exception):
        pass

    _made = 0

    def __init__(self, limit):
        v2 = "memory" in _read(f"{V2}/cgroup.controllers")
        base = V2 if v2 else V1
        if not os.path.exists(f"{base}/cgroup.procs"):
            raise self.NoGroup("no memory controller below /sys/fs/cgroup")
        MemoryGroup._made += 1
        self.path = f"{base}/diskalloc-{os.getpid()}-{MemoryGroup._made}"
        try:
            if v2 and "memory" not in _read(f"{V2}/cgroup.subtree_control"):
                _write(f"{V2}/cgroup.subtree_control", "+memory")
            os.mkdir(self.path)
        except OSError as error:
            raise self.NoGroup(f"/sys/fs/cgroup may not be written (root may): {error}") from None
        try:
            _write(f"{self.path}/{'memory.max' if v2 else 'memory.limit_in_bytes'}", str(limit))
            if v2 and os.path.exists(f"{self.path}/memory.swap.max"):
                _write(f"{self.path}/memory.swap.max", "0")
        except OSError as error:
            self.remove()
            raise self.NoGroup(f"{self.path} takes no limit: {error}") from None

    def enter(self):
        """The calling process, before it runs a program."""
        _write(f"{self.path}/cgroup.procs", str(os.getpid()))

    def remove(self):
        """A group is busy for a moment after its last process was reaped."""
        for _ in range(500):
            try:
                os.rmdir(self.path)
                return
            except FileNotFoundError:
                return
            except OSError:
                time.sleep(0.01)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()
