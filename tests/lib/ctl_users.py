"""Users, an administrator by group, and a daemon that knows them: for tests of what diskallocctl may do for whom."""

import grp
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import ctl_case
import wire_case
from ctl_case import CtlTest
from wire_case import CONFIG
from wire_client import DEADLINE_SECONDS, Client, pb

ANYBODY, ADMIN = f"dact-u{os.getpid()}", f"dact-a{os.getpid()}"
ADMINS = f"dact-g{os.getpid()}"
WITH_USERS = os.getuid() == 0 and all(shutil.which(tool) for tool in ("useradd", "userdel", "groupadd", "groupdel"))
needs_users = unittest.skipUnless(WITH_USERS, "users and groups can be made by root with useradd only")

def run(*command):
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def remove(names):
    """Users first: a group that is somebody's primary one stays."""
    for name in names:
        subprocess.run(["userdel", name], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    for name in names:
        subprocess.run(["groupdel", name], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def remove_leftovers():
    """What a run that was killed could not remove."""
    names = {entry[0] for entry in pwd.getpwall() + grp.getgrall()}
    ours = ((name, re.fullmatch(r"dact-[uag](\d+)", name)) for name in names)
    remove([name for name, match in ours if match and not os.path.exists(f"/proc/{match[1]}")])


def make_users():
    remove_leftovers()
    run("groupadd", ADMINS)
    for user, more in ((ANYBODY, ()), (ADMIN, ("--groups", ADMINS))):
        run("useradd", "--no-create-home", "--home-dir", "/", "--user-group", *more, user)


def set_up_module():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # by the cleanups
    tool_dir = tempfile.mkdtemp(prefix="diskalloc-ctl-", dir=wire_case.BASE_DIR)
    unittest.addModuleCleanup(shutil.rmtree, tool_dir)
    config = CONFIG
    if WITH_USERS:
        unittest.addModuleCleanup(remove, (ANYBODY, ADMIN, ADMINS))
        make_users()
        config = config.replace("[daemon]", f"[daemon]\nadmin_group = {ADMINS}")
        # Where it was built, other users may not be able to go.
        os.chmod(tool_dir, 0o755)
        ctl_case.program = shutil.copy(ctl_case.program, tool_dir)
    wire_case.start_daemon(config)
    unittest.addModuleCleanup(wire_case.stop_daemon)
    os.chmod(wire_case.daemon.dir, 0o711)


def identity(name):
    user = pwd.getpwnam(name)
    return user.pw_uid, user.pw_gid, os.getgrouplist(name, user.pw_gid)


class AdminTest(CtlTest):
    def setUp(self):
        self.me = self.run_json("usage")["subject"]
        self.handle = os.urandom(16)
        self.name = "ctl-" + self.handle.hex()
        self.wait_for_regions(0)

    def wait_for_regions(self, n):
        """What a closed connection held goes after it, not before."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while self.run_json("usage")["regions"] != n:
            self.assertLess(time.monotonic(), deadline)

    def connect(self, name=b"holder", user=None):
        if user:
            os.setegid(user[1])
            os.seteuid(user[0])
        try:
            client = Client(wire_case.daemon.socket, name=name)
        finally:
            if user:
                os.seteuid(0)
                os.setegid(0)
        self.addCleanup(client.close)
        return client

    def make_named(self, client, size=4096, mode=0o600):
        """Whatever becomes of the test, the region does not stay."""
        self.addCleanup(self.start_ctl, "rm", "--force", self.handle.hex())
        client.call(
            open_region=pb.OpenRegion(
                name=self.name.encode(), handle=self.handle, size=size, flags=pb.REGION_CREATE, mode=mode
            )
        )

    def set_quota(self, *arguments):
        self.assertEqual(self.run_ctl("quota", "set", *arguments), "")
        self.addCleanup(self.run_ctl, "quota", "unset", arguments[0])

    def listed(self, subject, key, user=None):
        """What `quota list` says of it, or None."""
        found = [
            q for q in self.run_json("quota", "list", user=user)["quotas"] if (q["subject"], q["key"]) == (subject, key)
        ]
        self.assertLessEqual(len(found), 1)
        return found[0] if found else None
