#!/usr/bin/python3
"""diskallocctl doctor: each fault that a test can make is found, with what it means and how to mend it."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import unittest

import ctl_case
import ctl_users
import wire_case
from ctl_users import ANYBODY, AdminTest, identity, needs_users
from memory_group import MemoryGroup
from wire_case import MIB
from wire_client import pb


def setUpModule():
    ctl_users.set_up_module()


needs_mounts = unittest.skipUnless(os.getuid() == 0 and shutil.which("unshare"), "only root can mount")


class MadeUpDaemon:
    """A daemon that has whatever can be wrong: it answers the questions of `doctor` with STATUS and USAGES."""

    def __init__(self, status, version="0.1.0", usages=()):
        self.directory = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.directory.name, "socket")
        self.replies = {
            "hello": {"hello": pb.HelloReply(version=1, daemon_version=version)},
            "get_status": {"status": status},
            "list_quota": {"quota_list": pb.QuotaList()},
            "list_regions": {"region_list": pb.RegionList()},
            "list_usage": {"usage_list": pb.UsageList(usages=usages, everything=True)},
        }
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(self.path)
        self.listener.listen()
        self.thread = threading.Thread(target=self.serve)

    def serve(self):
        connection, _ = self.listener.accept()
        with connection:
            while data := connection.recv(65536):
                request = pb.Request.FromString(data)
                reply = pb.Reply(id=request.id, **self.replies[request.WhichOneof("body")])
                connection.send(reply.SerializeToString())

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.thread.join(60)
        self.listener.close()
        self.directory.cleanup()


class DoctorTest(AdminTest):
    def examine(self, *arguments, address=None, user=None, prefix=(), environment=None):
        """The findings by their ids, and the exit status."""
        identity_of = dict(zip(("user", "group", "extra_groups"), user)) if user else {}
        done = subprocess.run(
            [*prefix, ctl_case.program, "--json", "doctor", *arguments],
            env=os.environ | {"DISKALLOC_ADDRESS": address or f"unix:{wire_case.daemon.socket}"} | (environment or {}),
            capture_output=True,
            text=True,
            timeout=60,
            cwd="/",
            **identity_of,
        )
        answer = json.loads(done.stdout)
        self.assertEqual(done.stderr, "")
        self.assertEqual(answer["version"], 1)
        found = {}
        for finding in answer["findings"]:
            found.setdefault(finding["id"], []).append(finding)
        wrong = [f for f in answer["findings"] if f["state"] == "wrong"]
        self.assertEqual((answer["wrong"], done.returncode), (len(wrong), 1 if wrong else 0))
        for finding in answer["findings"]:
            if finding["state"] != "well":
                self.assertTrue(finding["what"] and finding["mend"], finding)
        return found, done.returncode

    def find(self, name, state, **more):
        found, _ = self.examine(**more)
        self.assertIn(name, found)
        self.assertIn(state, [f["state"] for f in found[name]], found[name])
        return [f for f in found[name] if f["state"] == state][0]

    def test_what_is_well(self):
        found, _ = self.examine()
        for name in ("socket", "daemon", "daemon-version", "spill-directory", "spill-directory-mode", "limits", "clock"):
            self.assertEqual([f["state"] for f in found[name]], ["well"], found[name])
        text = self.start_ctl("doctor").stdout
        self.assertRegex(text, r"(Nothing is wrong|\d+ things? (is|are) wrong)\.  \d+ things were looked at, ")

    def test_a_fault_as_text_says_what_it_means_and_how_to_mend_it(self):
        done = self.start_ctl("doctor", address="unix:/nonexistent/socket")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(
            done.stdout, r"(?m)^WRONG  socket: /nonexistent/socket: No such file.*\n       Programs get.*\n       To mend it: systemctl"
        )
        self.assertRegex(done.stdout, r"thing(s are| is) wrong")

    def test_addresses_and_sockets(self):
        self.assertIn("a directory", self.find("address", "wrong", address="dir:/var/tmp")["what"])
        self.assertIn("unix:", self.find("address", "wrong", address="relative")["mend"])
        self.assertIn("No such file", self.find("socket", "wrong", address="unix:/nonexistent/socket")["what"])
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "socket")
            with open(path, "w", encoding="ascii"):
                pass
            self.assertIn("is no socket", self.find("socket", "wrong", address=f"unix:{path}")["what"])
            os.unlink(path)
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stale:
                stale.bind(path)
            self.assertIn("Connection refused", self.find("daemon", "wrong", address=f"unix:{path}")["what"])

    @needs_users
    def test_a_socket_without_the_right_to_write(self):
        os.chmod(wire_case.daemon.socket, 0o600)
        self.addCleanup(os.chmod, wire_case.daemon.socket, 0o666)
        finding = self.find("socket", "wrong", user=identity(ANYBODY))
        self.assertIn("0600", finding["what"])
        self.assertIn("socket_mode", finding["mend"])

    @needs_mounts
    def test_only_the_socket_is_mounted(self):
        path = wire_case.daemon.socket
        prefix = ("unshare", "--mount", "sh", "-c", f'mount --bind {path} {path} && exec "$0" "$@"')
        finding = self.find("socket-mount", "note", prefix=prefix)
        self.assertIn("mount the directory", finding["mend"])
        # The old socket stays when the daemon makes a new one: any command says so.
        prefix = ("unshare", "--mount", "sh", "-c", f'mount --bind {path} {path} && kill -9 $1 && shift && exec "$0" "$@"')
        pid = str(wire_case.daemon.process.pid)
        done = subprocess.run(
            [*prefix, ctl_case.program, pid, "--address", f"unix:{path}", "status"], capture_output=True, text=True, timeout=60
        )
        wire_case.daemon.process.wait(60)
        wire_case.daemon.start()
        self.assertEqual(done.returncode, 3)
        self.assertIn("mount its directory, never the socket", done.stderr)

    # A healthy one.
    STATUS = dict(
        version="0.1.0", pid=1, started=1700000000, spill_dir=b"/nonexistent", guarantee=pb.HARD, disk_total=1000 * MIB,
        disk_available=900 * MIB, keep_free=50 * MIB, connections_limit=10, disk_inodes=1000, disk_inodes_available=900,
        fences="landlock, tripwire",
    )

    def examine_made_up(self, version="0.1.0", usages=(), **status):
        with MadeUpDaemon(pb.Status(**self.STATUS | status), version, usages) as daemon:
            return self.examine(address=f"unix:{daemon.path}")[0]

    def test_whatever_the_status_tells(self):
        healthy = self.examine_made_up()
        for name in ("spill-directory", "guarantee", "fences", "disk", "inodes", "limits"):
            self.assertEqual([f["state"] for f in healthy[name]], ["well"], healthy[name])
        for name in ("file-system-quota", "lacking-blocks", "foreign-files", "unreadable-files", "orphans", "mended", "fences-missing"):
            self.assertNotIn(name, healthy)
        for name, state, said, status in (
            ("spill-directory", "wrong", "it is gone", dict(problem=b"it is gone")),
            ("guarantee", "note", "soft: reflink", dict(guarantee=pb.SOFT, guarantee_reason="reflink")),
            ("fences", "note", "there are none", dict(fences="")),
            ("fences-missing", "note", "old kernel", dict(fences_missing="old kernel")),
            ("mended", "note", "3 files", dict(mended=3)),
            ("disk", "wrong", "50M are free, and keep_free keeps 50M", dict(disk_available=50 * MIB)),
            ("disk", "note", "98% of what may be granted", dict(disk_available=65 * MIB)),
            ("inodes", "wrong", "99%", dict(disk_inodes_available=10)),
            ("file-system-quota", "wrong", "96%", dict(fs_quota_limit=100, fs_quota_used=96)),
            ("lacking-blocks", "wrong", "2 regions", dict(lacking_blocks=2)),
            ("foreign-files", "note", "4 entries", dict(foreign_files=4)),
            ("unreadable-files", "wrong", "6 files or directories", dict(unreadable_files=6)),
            ("orphans", "note", "5 regions", dict(orphans=5)),
            ("clock", "wrong", "still to come", dict(started=1 << 40)),
        ):
            with self.subTest(name=name, state=state):
                (finding,) = self.examine_made_up(**status)[name]
                self.assertEqual(finding["state"], state)
                self.assertIn(said, finding["what"])

    def test_another_version_is_noted(self):
        (finding,) = self.examine_made_up(version="9.9.9")["daemon-version"]
        self.assertEqual(finding["state"], "note")
        self.assertIn("9.9.9", finding["what"])

    def test_a_daemon_that_may_open_too_few_files_for_its_connections(self):
        (finding,) = self.examine_made_up(pid=os.getpid(), connections_limit=10**9)["open-files"]
        self.assertEqual(finding["state"], "wrong")
        self.assertIn("LimitNOFILE", finding["mend"])

    def examine_states(self, name, **more):
        """The states of the findings with that id, and what they say."""
        found = self.examine(**more)[0].get(name, [])
        return [f["state"] for f in found], " ".join(f["what"] for f in found)

    @staticmethod
    def with_files(folder, *files, also="true"):
        """A prefix: the command finds a TEXT in each PATH of FILES."""
        commands = []
        for i, (path, text) in enumerate(files):
            with open(os.path.join(folder, str(i)), "w", encoding="ascii") as file:
                file.write(text)
            commands.append(f"mount --bind {file.name} {path}")
        return ("unshare", "--mount", "sh", "-c", " && ".join([*commands, also]) + ' && exec "$0" "$@"')

    @needs_mounts
    def test_settings_of_the_kernel(self):
        for name, state, path, bad, said, good in (
            ("overcommit", "note", "/proc/sys/vm/overcommit_memory", "2", "vm.overcommit_memory is 2", "1"),
            ("mappings", "note", "/proc/sys/vm/max_map_count", "65529", "vm.max_map_count is 65529", "65530"),
            ("large-pages", "note", "/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]", "are off",
             "always [madvise] never"),
            ("leases", "wrong", "/proc/sys/fs/leases-enable", "0", "fs.leases-enable is 0", "1"),
            ("inotify", "note", "/proc/sys/fs/inotify/max_user_watches", "8191", "8191 inotify watches", "8192"),
            ("cgroups", "note", "/proc/$$/cgroup", "4:memory:/", "no control groups of version 2", "0::/"),
        ):
            if path.startswith("/sys") and not os.path.exists(path):
                continue
            with self.subTest(name=name), tempfile.TemporaryDirectory() as folder:
                states, what = self.examine_states(name, prefix=self.with_files(folder, (path, bad + "\n")))
                self.assertEqual(states, [state])
                self.assertIn(said, what)
                states, _ = self.examine_states(name, prefix=self.with_files(folder, (path, good + "\n")))
                self.assertIn(states, ([], ["well"]))

    MADE_UP_MACHINE = {
        "LD_PRELOAD": os.environ["TEST_MADE_UP_MACHINE"],
        "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0",
    }

    def test_a_machine_that_has_used_its_swap_space(self):
        for percent, state in (("49", "note"), ("50", "well")):
            states, what = self.examine_states("swap", environment=self.MADE_UP_MACHINE | {"TEST_SWAP_FREE": percent})
            self.assertEqual(states, [state])
        self.assertIn("more than half", what)

    def test_a_clock_that_was_never_set(self):
        environment = self.MADE_UP_MACHINE | {"TEST_TIME": "86400"}
        states, what = self.examine_states("clock", environment=environment, address="unix:/nonexistent/socket")
        self.assertEqual((states, what), (["wrong"], "the clock says 1970-01-02T00:00:00Z"))

    def test_a_library_of_another_version(self):
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(os.environ["TEST_MADE_UP_MACHINE"], os.path.join(folder, "libdiskalloc-client.so.0"))
            states, what = self.examine_states("library-version", environment={"LD_LIBRARY_PATH": folder})
        self.assertEqual(states, ["note"])
        self.assertIn("libdiskalloc-client is 9.9.9", what)

    def with_programs(self, folder, **programs):
        """An environment: these shell scripts are found before other programs."""
        for name, script in programs.items():
            path = os.path.join(folder, name)
            with open(path, "w", encoding="ascii") as file:
                file.write(f"#!/bin/sh\n{script}\n")
            os.chmod(path, 0o755)
        return {"PATH": folder + ":" + os.environ["PATH"]}

    def test_why_an_instance_does_not_run(self):
        address = "unix:/run/diskalloc/no-such.sock"
        for status, state in ((78, "wrong"), (0, "well")):
            with self.subTest(status=status), tempfile.TemporaryDirectory() as folder:
                programs = dict(
                    diskallocd=f'echo of a warning >&2; echo "$* has a mistake" >&2; exit {status}',
                    journalctl='echo "an older line"; echo "of $2: the disk is gone"',
                )
                found, _ = self.examine(address=address, environment=self.with_programs(folder, **programs))
                (configuration,), (journal,) = found["configuration"], found["journal"]
                self.assertEqual(configuration["state"], state)
                self.assertEqual(configuration["what"], "--check-config --config /etc/diskalloc/no-such.conf has a mistake")
                self.assertEqual(journal["state"], "note")
                self.assertEqual(journal["what"], "the last warning: of diskallocd@no-such: the disk is gone")
        with tempfile.TemporaryDirectory() as folder:
            programs = dict(diskallocd="exit 1", journalctl="echo '-- No entries --'")
            found, _ = self.examine(address=address, environment=self.with_programs(folder, **programs))
        self.assertNotIn("configuration", found)
        self.assertNotIn("journal", found)

    @needs_mounts
    def test_units_of_systemd(self):
        for name, state, said, socket_unit, service in (
            ("socket-unit", "wrong", "diskallocd.socket is failed", "LoadState=loaded ActiveState=failed", ""),
            ("socket-unit", "note", "diskallocd.socket is disabled", "ActiveState=active UnitFileState=disabled", ""),
            ("socket-unit", "well", "diskallocd.socket is active", "ActiveState=active UnitFileState=enabled", ""),
            ("socket-unit", None, "", "LoadState=not-found ActiveState=inactive", ""),
            ("service", "wrong", "diskallocd.service has failed: exit-code", "", "ActiveState=failed Result=exit-code"),
            ("service", "well", "diskallocd.service is inactive", "", "ActiveState=inactive"),
            ("service", None, "", "", "LoadState=not-found ActiveState=inactive"),
        ):
            with self.subTest(name=name, state=state), tempfile.TemporaryDirectory() as folder:
                environment = self.with_programs(
                    folder,
                    systemctl=f"""for unit; do true; done; case $unit in
                    *.socket) printf '%s\\n' {socket_unit};;
                    *.service) printf '%s\\n' {service};;
                    esac""",
                )
                prefix = self.with_files(folder, also="mount -t tmpfs none /run && mkdir -p /run/systemd/system")
                states, what = self.examine_states(
                    name, address="unix:/run/diskalloc/diskallocd.sock", prefix=prefix, environment=environment
                )
                self.assertEqual((states, what), ([state] if state else [], said))

    def test_a_spill_directory_of_another_user(self):
        other = {"user": 65533, "group": 65533} if os.geteuid() == 0 else {}
        with subprocess.Popen(["sleep", "1000"], stdout=subprocess.DEVNULL, **other) as process:
            (finding,) = self.examine_made_up(pid=process.pid, spill_dir=b"/usr")["spill-directory-owner"]
            process.kill()
        self.assertEqual(finding["state"], "wrong")
        self.assertRegex(finding["what"], r"^/usr belongs to uid 0, the daemon runs as uid \d+$")
        self.assertNotIn("spill-directory-owner", self.examine_made_up(pid=1, spill_dir=b"/usr"))

    @needs_mounts
    def test_a_spill_directory_that_is_read_only(self):
        with tempfile.TemporaryDirectory() as folder:
            status = pb.Status(**self.STATUS | dict(spill_dir=folder.encode()))
            for option, states in (("ro", ["wrong"]), ("rw", [])):
                prefix = self.with_files(folder, also=f"mount -t tmpfs -o {option} none {folder}")
                with MadeUpDaemon(status) as daemon:
                    found = self.examine_states(
                        "spill-directory-read-only", address=f"unix:{daemon.path}", prefix=prefix
                    )
                self.assertEqual(found[0], states)

    def test_requests_that_wait(self):
        usage = pb.Usage(
            subject=b"user:evil\x1b[31m", bytes=1, bytes_limit=9, regions_limit=9, connections_limit=9, waiters=7
        )
        (finding,) = self.examine_made_up(usages=[usage])["waiting"]
        self.assertEqual(finding["what"], "7 requests wait for a limit of user:evil\\x1b[31m")

    def test_limits_that_are_reached(self):
        self.set_quota(self.me, "bytes=4M", "regions=2")
        self.connect().call(create_region=pb.CreateRegion(handle=self.handle, size=4 * MIB))
        self.assertEqual(self.find("at-limit", "wrong")["what"], f"{self.me} has 4.0M of 4.0M bytes")
        self.set_quota(self.me, "bytes=8M", "regions=1")
        self.assertEqual(self.find("at-limit", "wrong")["what"], f"{self.me} has 1 of 1 regions")

    def test_soft_limits_in_their_grace_and_beyond(self):
        self.set_quota(self.me, "soft_bytes=1M", "grace=7d")
        self.connect().call(create_region=pb.CreateRegion(handle=self.handle, size=2 * MIB))
        self.assertRegex(self.find("soft-limit", "note")["what"], rf"^{self.me} is above its soft limit, until \d{{4}}-")
        self.run_ctl("quota", "set", self.me, "grace=0")
        self.assertIn("too long", self.find("soft-limit", "wrong")["what"])

    def test_limits_that_mean_nothing(self):
        self.start_ctl("quota", "set", "user:no-such-user-here", "bytes=1G")
        self.addCleanup(self.run_ctl, "quota", "unset", "user:no-such-user-here")
        self.set_quota("group:root", "bytes=0")
        self.set_quota("user:+4000000001", "bytes=16000000T")
        found, _ = self.examine()
        self.assertIn("user:no-such-user-here", found["stale-quota"][0]["what"])
        self.assertIn("group:root: bytes = 0", found["nothing-allowed"][0]["what"])
        self.assertIn("user:+4000000001", found["limit-above-disk"][0]["what"])

    def test_orphans_and_foreign_files(self):
        with open(os.path.join(wire_case.daemon.spill, "not-ours"), "w", encoding="ascii"):
            pass
        self.addCleanup(wire_case.daemon.restart)
        self.addCleanup(os.unlink, os.path.join(wire_case.daemon.spill, "not-ours"))
        wire_case.daemon.restart()
        self.assertIn("1 entries", self.find("foreign-files", "note")["what"])
        client = self.connect()
        _, fd = client.call_with_fd(create_region=pb.CreateRegion(handle=self.handle, size=4096))
        client.close()
        with os.fdopen(fd, "r+b"):
            deadline = time.monotonic() + 60
            while "orphans" not in self.examine()[0] and time.monotonic() < deadline:
                pass  # the daemon has not noticed the end yet
            self.assertIn("1 regions wait", self.find("orphans", "note")["what"])
            (region,) = [r for r in self.run_json("regions")["regions"] if r["handle"] == self.handle.hex()]
            self.assertEqual(region["state"], "mapped")
        self.wait_for_regions(0)

    @unittest.skipUnless(os.getuid() == 0, "only root can look into the spill directory")
    def test_the_mode_and_the_owner_of_the_spill_directory(self):
        os.chmod(wire_case.daemon.spill, 0o755)
        self.addCleanup(os.chmod, wire_case.daemon.spill, 0o700)
        self.assertIn("0755", self.find("spill-directory-mode", "wrong")["what"])

    def test_a_process_with_limits(self):
        shell = ("sh", "-c", 'ulimit -v 4000000; ulimit -n 100; exec "$0" "$@"')
        if subprocess.run([*shell, ctl_case.program, "--version"], capture_output=True).returncode != 0:
            self.skipTest("with a sanitizer the program needs more address space")
        found, _ = self.examine(prefix=shell)
        self.assertEqual(found["address-space"][0]["state"], "note")
        self.assertIn("DISKALLOC_RESERVE", found["address-space"][0]["mend"])
        self.assertIn("100 files", found["open-files-here"][0]["what"])

    def test_a_process_in_a_control_group_with_little_memory(self):
        try:
            with MemoryGroup(200 * MIB) as group:
                found, _ = self.examine(prefix=("sh", "-c", f'echo $$ >{group.path}/cgroup.procs && exec "$0" "$@"'))
        except MemoryGroup.NoGroup as reason:
            self.skipTest(str(reason))
        self.assertIn("may have 200M of memory", found["memory-limit"][0]["what"])

    @needs_users
    def test_regions_of_nobody_are_named_and_removed(self):
        client = self.connect(user=(54321, 54321))
        for name in (b"one", b"two"):
            client.call(open_region=pb.OpenRegion(name=name, handle=os.urandom(16), size=4096, flags=pb.REGION_CREATE))
        finding = self.find("ownerless", "note")
        self.assertIn("2 regions", finding["what"])
        self.assertIn("+54321", finding["what"])
        sentence = self.run_ctl("rm", "--user", "+54321", status=1)
        self.assertIn("2 regions are attached, and stay; with --force", sentence)
        self.assertEqual(self.run_ctl("rm", "--user", "+54321", "--force"), "2 regions removed\n")
        client.close()
        self.assertEqual(self.run_json("rm", "--user", "+54321")["removed"], 0)
        # Whoever may not see them has removed none of them.
        self.assertIn("administrators", self.run_ctl("rm", "--user", "+54321", user=identity(ANYBODY), status=1))
        self.assertIn("no user no-such-user-here", self.run_ctl("rm", "--user", "no-such-user-here", status=1))
        self.assertEqual(self.run_ctl("rm", "--user", ANYBODY, user=identity(ANYBODY)), "0 regions removed\n")

    @needs_users
    def test_an_ordinary_user_is_told_that_not_everything_was_looked_at(self):
        self.assertIn("only what concerns you", self.find("rights", "note", user=identity(ANYBODY))["what"])

    @unittest.skipUnless(os.getuid() == 0, "only root can be somebody else")
    def test_the_uid_of_nobody(self):
        """It stands for many users only where users are without a number."""
        with open("/proc/self/uid_map", encoding="ascii") as file:
            if file.read().split() == ["0", "0", str(2**32 - 1)]:
                found, _ = self.examine(user=(65534, 65534, []))
                self.assertNotIn("uid", found)
        if subprocess.run(["unshare", "--user", "true"], capture_output=True).returncode != 0:
            self.skipTest("no user namespaces here")
        self.assertIn("65534", self.find("uid", "wrong", prefix=("unshare", "--user"))["what"])

    def test_a_daemon_that_does_not_answer(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "socket")
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as mute:
                mute.bind(path)
                mute.listen()
                found, _ = self.examine("--timeout", "1", address=f"unix:{path}")
        self.assertEqual(found["daemon"][0]["state"], "wrong")

    def test_wrong_usage(self):
        for arguments in (("doctor", "more"), ("doctor", "--all"), ("doctor", "--size", "5")):
            with self.subTest(arguments=arguments):
                self.assertIn("usage: diskallocctl doctor", self.run_ctl(*arguments, status=2))


if __name__ == "__main__":
    wire_case.program = wire_case.take_argument() or wire_case.program
    ctl_case.program = wire_case.take_argument() or ctl_case.program
    unittest.main()
