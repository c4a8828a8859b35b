#!/usr/bin/python3
"""A daemon with several spill directories: where regions go, how they move, and what becomes of a disk that is lost."""

import mmap
import os
import shutil
import signal
import subprocess
import time
import unittest
import unittest.mock

import disks_case
import wire_case
from disks_case import FEATURES, DisksTest, thaw_at_the_end, wait_until
from wire_case import MIB
from wire_client import Client, Refused, pb

FAILED, SHORT, TAKEN = 1, 71, 75


def setUpModule():
    disks_case.mount_unseen()


class ChoiceTest(DisksTest):
    def test_status_tells_of_each_disk_and_counts_one_file_system_once(self):
        self.start(text="[disk DIR/b]\nkeep_free = 3M\n[disk DIR/a]\nkeep_free = 1M\n[quota total]\nbytes = 100%\n")
        status = self.status()
        a, b = status.disks
        self.assertEqual([d.dir.decode() for d in (a, b)], [self.daemon.path("a"), self.daemon.path("b")])
        self.assertTrue(a.in_use and b.in_use and not a.is_leaving)
        self.assertEqual((a.keep_free, b.keep_free, status.keep_free), (MIB, 3 * MIB, 3 * MIB))
        self.assertEqual((status.disk_total, status.spill_dir), (a.total, a.dir))
        self.assertEqual(status.bytes_limit, a.total)
        self.assertEqual((a.regions, a.bytes, b.regions), (0, 0, 0))
        with self.connect() as client:
            _, disk = self.make(client, b"one")
            self.assertEqual((self.disk(disk).regions, self.disk(disk).bytes), (1, MIB))

    def test_a_closed_disk_gets_no_new_region_and_names_are_those_of_all_disks(self):
        self.start(text="[disk DIR/b]\nnew_regions = no\n")
        with self.connect() as client:
            self.assertEqual(self.make(client, b"one")[1], "a")
            self.daemon.configure(text="[disk DIR/a]\nnew_regions = no\n")
            self.daemon.reload()
            self.assertEqual(self.make(client, b"two")[1], "b")
            self.assert_refused(pb.EXISTS, "", lambda: self.make(client, b"one"))
            found = client.call(open_region=pb.OpenRegion(name=b"one")).region
            self.assertEqual(found.disk, self.daemon.path("a").encode())
            self.daemon.configure(text="[disk DIR/a]\nnew_regions = no\n[disk DIR/b]\nnew_regions = no\n")
            self.daemon.reload()
            self.assert_refused(pb.ACCESS, "no spill directory takes new regions", lambda: self.make(client, b"three"))

    def test_what_is_grantable_is_so_on_a_disk_that_the_user_may_have(self):
        full = "[disk DIR/a]\nkeep_free = 100%\n[disk DIR/b]\n"
        self.start(text=full)
        with self.connect() as client:
            for rule, is_any in ((f"users = +{os.getuid()}", True), (f"users = +{os.getuid() + 1}", False), ("new_regions = no", False)):
                with self.subTest(rule):
                    self.daemon.configure(text=full + rule + "\n")
                    self.daemon.reload()
                    self.assertEqual(client.call(get_usage=pb.GetUsage()).usage.grantable_bytes > 0, is_any)
                    # Of all users together nobody's rules count.
                    self.assertGreater(client.call(get_usage=pb.GetUsage(subject=b"total")).usage.grantable_bytes, 0)

    def test_rules_by_user_and_by_size(self):
        self.start(text=f"[disk DIR/b]\nusers = +{os.getuid()}\n")
        with self.connect() as client:
            self.assertEqual(self.make(client, b"one")[1], "b")
            self.daemon.configure(text=f"[disk DIR/b]\nusers = +{os.getuid() + 1}\n")
            self.daemon.reload()
            self.assertEqual(self.make(client, b"two")[1], "a")
            self.daemon.configure(text="[disk DIR/a]\nmin_bytes = 2M\n[disk DIR/b]\nkeep_free = 1M\n")
            self.daemon.reload()
            self.assertEqual(self.make(client, b"three", size=2 * MIB - 1)[1], "b")
            self.assertEqual(self.make(client, b"four", size=2 * MIB)[1], "a")

    def test_regions_go_where_most_is_free(self):
        self.start_mounted({"a": 64, "b": 96}, text="[quota default]\nbytes = unlimited\n[quota total]\nbytes = 100%\n")
        status = self.status()
        self.assertEqual(status.disk_total, sum(d.total for d in status.disks))
        self.assertEqual(status.bytes_limit, status.disk_total)
        with self.connect() as client:
            error = self.assert_refused(pb.NO_SPACE, "", lambda: self.make(client, b"huge", size=120 * MIB))
            self.assertGreater(error.limit - error.used, self.disk("a").total)  # the numbers are of the one that has most
            made = [self.make(client, b"%d" % i, size=8 * MIB)[1] for i in range(8)]
            self.assertEqual(made[0], "b")
            self.assertIn("a", made)
            a, b = self.disk("a"), self.disk("b")
            self.assertLess(abs(a.free - b.free), 24 * MIB)
            # What neither disk has is refused by the disk, and what one has is not.
            room = max(a.free, b.free)
            self.assert_refused(pb.NO_SPACE, "", lambda: self.make(client, b"large", size=room + 32 * MIB))
            self.make(client, b"fits", size=room - 8 * MIB)


    def test_file_systems_with_blocks_of_different_sizes_charge_alike(self):
        self.start_mounted({"a": 32, "b": 64}, block_sizes={"b": 1024})
        with self.connect() as client:
            self.assertEqual(client.hello.block_size, 4096)
            region, disk = self.make(client, b"one", size=5 * 4096 + 1)
            self.assertEqual((disk, region.granted), ("b", 6 * 4096))
            client.call(discard_region=pb.DiscardRegion(handle=region.handle, offset=4096, length=2 * 4096))
        self.daemon.restart()
        with self.connect() as client:
            found = client.call(open_region=pb.OpenRegion(name=b"one")).region
            self.assertEqual((found.granted, found.discarded), (4 * 4096, 2 * 4096))
            client.call(detach_region=pb.DetachRegion(handle=region.handle))
            self.assertEqual(self.move(client, b"one", "a").granted, 4 * 4096)

    def test_a_disk_with_larger_blocks_is_not_added_to_a_running_daemon(self):
        self.start_mounted({"a": 32}, block_sizes={"a": 1024})
        os.mkdir(self.daemon.path("b"), 0o700)
        self.mount("b", 32)
        self.daemon.configure(names=("a", "b"))
        self.daemon.reload()
        missing = wait_until(lambda: self.disk("b"))
        self.assertFalse(missing.in_use)
        self.assertIn(b"blocks of 4096 bytes", missing.problem)
        self.daemon.restart()
        self.assertTrue(self.disk("b").in_use)


class CopyTest(DisksTest):
    def test_a_copy_that_has_the_same_inode_number_has_all_it_was_granted(self):
        self.start_mounted({"a": 64, "b": 64}, text="[disk DIR/b]\nnew_regions = no\n")
        with self.connect() as client:
            region, _ = self.make(client, b"one", size=4 * MIB)
            client.call(discard_region=pb.DiscardRegion(handle=region.handle, offset=MIB, length=MIB))
        path = os.path.join(self.daemon.path("a"), str(os.getuid()), region.handle.hex())
        self.daemon.restart(lambda: self.replace_by_copy(path))
        with self.connect() as client:
            found = client.call(open_region=pb.OpenRegion(name=b"one")).region
            self.assertEqual((found.granted, found.discarded), (4 * MIB, 0))
            client.call(discard_region=pb.DiscardRegion(handle=region.handle, offset=0, length=MIB))
        self.daemon.restart()
        with self.connect() as client:
            found = client.call(open_region=pb.OpenRegion(name=b"one")).region
            self.assertEqual((found.granted, found.discarded), (3 * MIB, MIB))

    def replace_by_copy(self, path):
        inode = os.stat(path).st_ino
        aside = os.path.join(self.daemon.dir, "aside")
        subprocess.run(["cp", "-a", path, aside], check=True)
        os.unlink(path)
        subprocess.run(["cp", "-a", aside, path], check=True)
        os.unlink(aside)
        self.assertEqual(os.stat(path).st_ino, inode)  # ext4 gives the number again


class EndTest(DisksTest):
    def test_the_daemon_ends_while_regions_are_copied(self):
        # The C library fills what is freed: a use of it shows.
        tunables = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0:glibc.malloc.perturb=165"}
        size = 256 * MIB
        for source, copies in ((bytes(15) + b"\1", b"\xff" * 15), (b"\xff" * 16, bytes(15))):
            with self.subTest(source), unittest.mock.patch.dict(os.environ, tunables):
                self.daemon = disks_case.Disks(text="[quota default]\nbytes = 4G\n[disk DIR/b]\n")
                with self.connect() as client:
                    _, fd = client.call_with_fd(create_region=pb.CreateRegion(handle=source, size=size))
                    with mmap.mmap(fd, size) as memory:
                        for at in range(0, size, MIB):
                            memory[at : at + MIB] = b"x" * MIB
                    os.close(fd)
                    for i in range(1, 4):
                        client.send(pb.Request(clone_region=pb.CloneRegion(source=source, handle=copies + bytes([i]))))
                    self.end()


class MoveTest(DisksTest):
    def test_a_region_moves_with_its_content_and_is_charged_once(self):
        self.start(text="[disk DIR/b]\nnew_regions = no\n")
        region, _ = self.make_and_leave(b"one", size=5 * MIB + 3, content=b"hello")
        with self.connect() as client:
            moved = self.move(client, b"one", "b")
            self.assertEqual((moved.handle, moved.size, moved.disk), (region.handle, 5 * MIB + 3, self.daemon.path("b").encode()))
            self.assertEqual(client.call(get_usage=pb.GetUsage()).usage.bytes, moved.granted)
            self.assertEqual((self.files("a"), self.files("b")), ([], [region.handle.hex()]))
            self.assertEqual((self.disk("a").bytes, self.disk("b").bytes), (0, moved.granted))
            self.assertEqual(self.read(b"one", 5), b"hello")
            by_handle = client.call(move_region=pb.MoveRegion(handle=region.handle, disk=self.daemon.path("a").encode()))
            self.assertEqual(by_handle.region.disk, self.daemon.path("a").encode())
        self.daemon.restart()
        self.assertEqual(self.read(b"one", 5), b"hello")
        self.assertEqual(self.files("b"), [])

    def move_between(self, kind, megabytes):
        if kind != "tmpfs" and not shutil.which(f"mkfs.{kind}"):
            self.skipTest(f"mkfs.{kind} is not there")
        self.start_mounted({"a": 64, "b": megabytes}, text="[disk DIR/b]\nnew_regions = no\n", kinds={"b": kind})
        self.assertEqual(self.disk("b").file_system, kind)
        content = os.urandom(3 * MIB + 5)
        region, _ = self.make_and_leave(b"one", size=len(content), content=content)
        for disk, other in (("b", "a"), ("a", "b")):
            with self.connect() as client:
                self.move(client, b"one", disk)
                self.assertEqual((self.files(disk), self.files(other)), ([region.handle.hex()], []))
            self.daemon.restart()
            self.assertEqual(self.read(b"one", len(content)), content)
        self.assertEqual((self.disk("a").bytes, self.disk("b").bytes), (region.granted, 0))

    def test_a_region_moves_to_tmpfs_unless_parts_of_it_are_discarded(self):
        self.move_between("tmpfs", 64)
        with self.connect() as client:
            region = client.call(open_region=pb.OpenRegion(name=b"one")).region
            client.call(discard_region=pb.DiscardRegion(handle=region.handle, offset=0, length=MIB))
            client.call(detach_region=pb.DetachRegion(handle=region.handle))
            self.assert_refused(pb.UNSUPPORTED, "discarded", lambda: self.move(client, b"one", "b"))

    def test_a_region_moves_to_xfs(self):
        self.move_between("xfs", 320)

    def test_a_region_moves_to_btrfs(self):
        self.move_between("btrfs", 128)

    def test_what_cannot_move_is_refused_with_a_sentence(self):
        self.start(text="[disk DIR/b]\nnew_regions = no\n")
        with self.connect() as client, self.connect() as other:
            region, _ = self.make(client, b"one")
            self.assert_refused(pb.BUSY, "has the region attached", lambda: self.move(other, b"one", "b"))
            client.call(detach_region=pb.DetachRegion(handle=region.handle))
            self.assert_refused(pb.EXISTS, "on that disk already", lambda: self.move(other, b"one", "a"))
            self.assert_refused(pb.NOT_FOUND, "no such disk", lambda: self.move(other, b"one", "c"))
            self.assert_refused(pb.NOT_FOUND, "no such disk", lambda: self.move(other, b"one", self.daemon.path("b") + "/"))
            self.assert_refused(pb.NOT_FOUND, "", lambda: self.move(other, b"two", "b"))
            self.assert_refused(pb.INVALID, "", lambda: other.call(move_region=pb.MoveRegion(disk=b"/")))
            anonymous = client.call(create_region=pb.CreateRegion(handle=os.urandom(16), size=5)).region
            self.assert_refused(
                pb.INVALID,
                "anonymous",
                lambda: other.call(
                    move_region=pb.MoveRegion(handle=anonymous.handle, disk=self.daemon.path("b").encode())
                ),
            )
            self.daemon.configure(names=("a",), text="")
            self.daemon.reload()
            self.assertTrue(self.disk("b").is_leaving)
            self.assert_refused(pb.NOT_FOUND, "not in the configuration any more", lambda: self.move(other, b"one", "b"))

    @unittest.skipUnless(os.getuid() == 0, "another user can be had by root only")
    def test_a_stranger_moves_nothing_and_an_owner_needs_the_quota_for_the_copy(self):
        self.start(text="[disk DIR/b]\nmin_bytes = 1G\n[quota user:+4242]\nbytes = 3M\n")
        os.chmod(self.daemon.dir, 0o755)

        def as_user(uid, what):
            """The exit status of a child with that uid, which is 0 if WHAT raises nothing."""
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    os.setgroups([])
                    os.setresgid(uid, uid, uid)
                    os.setresuid(uid, uid, uid)
                    with Client(self.daemon.socket, features=FEATURES) as client:
                        what(client)
                    status = 0
                except Refused as refusal:
                    status = 100 + refusal.code
                finally:
                    os._exit(status)
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

        self.assertEqual(as_user(4242, lambda client: self.make(client, b"one", size=2 * MIB)), 0)
        owned = pb.MoveRegion(name=b"one", user=b"+4242", disk=self.daemon.path("b").encode())
        self.assertEqual(as_user(4243, lambda client: client.call(move_region=owned)), 100 + pb.ACCESS)
        no_region = pb.MoveRegion(name=b"two", user=b"+4242", disk=self.daemon.path("b").encode())
        self.assertEqual(as_user(4243, lambda client: client.call(move_region=no_region)), 100 + pb.ACCESS)
        self.assertEqual(as_user(4242, lambda client: client.call(move_region=owned)), 100 + pb.LIMIT)
        for rule in ("new_regions = no", "users = +4243"):  # the disk is not for this user
            self.daemon.configure(text=f"[disk DIR/b]\n{rule}\n[quota user:+4242]\nbytes = 5M\n")
            self.daemon.reload()
            self.assertEqual(as_user(4242, lambda client: client.call(move_region=owned)), 100 + pb.ACCESS)
        with self.connect() as client:  # an administrator
            self.assertEqual(client.call(move_region=owned).region.disk, self.daemon.path("b").encode())

    def test_a_daemon_killed_during_a_move_leaves_exactly_one_whole_region(self):
        self.start(text="[disk DIR/b]\nnew_regions = no\n")
        content = os.urandom(4096) * (16 * MIB // 4096)
        region, _ = self.make_and_leave(b"one", size=len(content), content=content)
        places = {"a": "b", "b": "a"}
        where = "a"
        for i in range(10):
            with self.connect() as client:
                client.send(
                    pb.Request(move_region=pb.MoveRegion(name=b"one", disk=self.daemon.path(places[where]).encode()))
                )
                time.sleep(0.004 * i)  # anywhere: nothing is expected of the moment
                self.daemon.kill()
            self.daemon.start()
            files = self.files("a") + self.files("b")
            self.assertEqual(files, [region.handle.hex()])
            where = "a" if self.files("a") else "b"
            self.assertEqual(self.read(b"one", len(content)), content)
            with self.connect() as client:
                self.assertEqual(client.call(get_usage=pb.GetUsage()).usage.bytes, len(content))

    def test_while_it_is_copied_it_cannot_be_attached_and_a_cancel_or_rm_ends_the_move(self):
        self.start_mounted({"a": 48, "b": 48}, text="[disk DIR/b]\nnew_regions = no\n")
        self.make_and_leave(b"one", size=16 * MIB, content=b"hello" * 100000)
        frozen = self.daemon.path("b")
        thaw_at_the_end(self, frozen)
        for how in ("cancel", "rm"):
            subprocess.run(["fsfreeze", "-f", frozen], check=True)
            client = self.connect()  # whose requests are taken in their order
            moving = client.send(pb.Request(move_region=pb.MoveRegion(name=b"one", disk=frozen.encode())))
            self.assert_refused(pb.BUSY, "being moved", lambda: client.call(open_region=pb.OpenRegion(name=b"one")))
            self.assert_refused(pb.BUSY, "being moved", lambda: self.move(client, b"one", "b"))
            if how == "cancel":
                last = client.send(pb.Request(cancel=pb.Cancel(target=moving)))
            else:
                last = client.send(pb.Request(remove_region=pb.RemoveRegion(name=b"one")))
            subprocess.run(["fsfreeze", "-u", frozen], check=True)
            replies = {}
            while len(replies) < 2:
                reply, _ = client.receive()
                replies[reply.id] = reply
            self.assertEqual(replies[moving].error.code, pb.CANCELLED)
            self.assertFalse(replies[last].HasField("error"))
            self.assertEqual(self.files("b"), [])
            self.assertEqual(self.disk("b").bytes, 0)
            if how == "cancel":
                self.assertEqual(self.read(b"one", 5), b"hello")
        self.assert_refused(pb.NOT_FOUND, "", lambda: client.call(open_region=pb.OpenRegion(name=b"one")))

class ComeAndGoTest(DisksTest):
    def test_a_disk_that_is_taken_out_keeps_its_regions_and_is_told_of_until_it_is_back(self):
        self.start(text="[disk DIR/a]\nnew_regions = no\n")
        region, disk = self.make_and_leave(b"one", content=b"hello")
        self.assertEqual(disk, "b")
        self.daemon.configure(names=("a",), text="")
        self.daemon.restart()
        gone = wait_until(lambda: self.disk("b"))
        self.assertFalse(gone.in_use)
        self.assertIn(b"holds 1 regions", gone.problem)
        self.assertIn("not in the configuration any more, and holds 1 regions", self.daemon.log())
        with self.connect() as client:
            self.assert_refused(pb.NOT_FOUND, "", lambda: self.attach_by_name(client, b"one"))
        self.assertEqual(self.files("b"), [region.handle.hex()])
        self.daemon.configure(names=("a", "b"))
        self.daemon.reload()
        wait_until(lambda: self.disk("b").in_use)
        self.assertEqual(self.read(b"one", 5), b"hello")
        self.assertEqual((self.disk("b").regions, self.disk("b").bytes), (1, MIB))

    def test_a_list_of_former_disks_that_cannot_be_read_is_not_written_over(self):
        self.start()
        self.daemon.restart()  # the list is written
        path = wait_until(lambda: next((p for p in [self.daemon.path("a/.disks")] if os.path.exists(p)), None))
        os.rename(path, self.daemon.path("kept"))
        os.symlink(self.daemon.path("kept"), path)  # is not followed
        self.daemon.configure(names=("a",))
        self.daemon.restart()
        wait_until(lambda: path + " cannot be read" in self.daemon.log())
        self.daemon.process.send_signal(signal.SIGTERM)  # when it has ended, nothing is being written any more
        self.assertEqual(self.daemon.process.wait(60), 0)
        self.assertTrue(os.path.islink(path))
        self.daemon.start()

    def attach_by_name(self, client, name):
        return client.call(open_region=pb.OpenRegion(name=name, flags=pb.REGION_READ_ONLY))

    def test_a_name_that_was_given_anew_meanwhile_is_not_taken_away(self):
        self.start(text="[disk DIR/a]\nnew_regions = no\n")
        self.make_and_leave(b"one", content=b"older")
        self.daemon.configure(names=("a",), text="")
        self.daemon.restart()
        self.make_and_leave(b"one", content=b"newer")
        self.daemon.configure(names=("a", "b"))
        self.daemon.reload()
        wait_until(lambda: self.disk("b").in_use)
        self.assertEqual(self.read(b"one", 5), b"newer")
        self.assertIn("has two regions with the name one", self.daemon.log())
        self.assertEqual(len(self.files("b")), 1)

    def test_a_disk_is_added_by_a_reload_and_leaves_with_a_restart(self):
        self.start(names=("a",))
        self.daemon.configure(names=("a", "b"), text="[disk DIR/a]\nnew_regions = no\n")
        self.daemon.reload()
        wait_until(lambda: len(self.status().disks) == 2)
        with self.connect() as client:
            region, disk = self.make(client, b"one", content=b"hello")
            self.assertEqual(disk, "b")
            self.daemon.configure(names=("a",), text="")
            self.daemon.reload()
            self.assertTrue(self.disk("b").is_leaving)
            # What is there goes on, and nothing new comes.
            self.assertEqual(client.call(grow_region=pb.GrowRegion(handle=region.handle, size=2 * MIB)).region.size, 2 * MIB)
            self.assertEqual(self.make(client, b"two")[1], "a")
            client.call(detach_region=pb.DetachRegion(handle=region.handle))
            self.assertEqual(self.move(client, b"one", "a").disk, self.daemon.path("a").encode())
        self.daemon.restart()
        self.assertEqual(self.read(b"one", 5), b"hello")
        wait_until(lambda: len(self.status().disks) == 1)

    def test_quotas_set_at_run_time_are_found_when_the_order_has_changed(self):
        self.start()

        def set_to(text):
            with self.connect() as client:
                client.call(
                    set_quota=pb.SetQuota(subject=b"default", settings=[pb.QuotaSetting(key=b"regions", text=text)])
                )

        def limit():
            with self.connect() as client:
                return client.call(get_usage=pb.GetUsage()).usage.regions_limit

        set_to(b"33")
        for names, value in ((("b", "a"), 34), (("a", "b"), 35)):
            before = limit()
            self.daemon.configure(names=names)
            self.daemon.restart()
            self.assertEqual(limit(), before)
            set_to(b"%d" % value)
            self.assertEqual(limit(), value)
        self.daemon.restart()
        self.assertEqual(limit(), 35)

    def refused_start(self, status, words, **configuration):
        self.daemon.configure(**configuration)
        done = subprocess.run(
            [wire_case.program, *self.daemon.arguments()], capture_output=True, text=True, timeout=60, check=False
        )
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertIn(words, done.stderr)

    def test_directories_that_are_one_or_anothers_or_the_first_and_missing_are_refused_at_start(self):
        self.start()
        os.mkdir(self.daemon.path("c"), 0o700)
        self.refused_start(TAKEN, "another diskallocd has it", names=("c", "b"))
        self.daemon.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.daemon.process.wait(60), 0)
        os.symlink(self.daemon.path("a"), self.daemon.path("d"))
        self.refused_start(FAILED, "it is the same directory as", names=("a", "d"))
        self.daemon.configure(names=("a", "b"))
        shutil.rmtree(self.daemon.path("c"))
        with open(self.daemon.config, encoding="ascii") as file:
            text = file.read().replace("/a\n", "/c\n")
        with open(self.daemon.config, "w", encoding="ascii") as file:
            file.write(text)
        done = subprocess.run(
            [wire_case.program, *self.daemon.arguments()], capture_output=True, text=True, timeout=60, check=False
        )
        self.assertEqual(done.returncode, FAILED)
        self.assertIn("No such file or directory", done.stderr)

    def test_without_a_further_disk_the_daemon_starts_and_takes_it_when_it_is_there(self):
        self.start()
        self.make_and_leave(b"one", content=b"hello")
        shutil.move(self.daemon.path("b"), self.daemon.path("away"))
        self.daemon.restart()
        missing = self.disk("b")
        self.assertFalse(missing.in_use)
        self.assertIn(b"No such file or directory", missing.problem)
        self.daemon.reload()
        wait_until(lambda: "is not used until the daemon is told to reload again" in self.daemon.log())
        shutil.move(self.daemon.path("away"), self.daemon.path("b"))
        self.daemon.reload()
        wait_until(lambda: self.disk("b").in_use)
        self.assertEqual(self.read(b"one", 5), b"hello")


class FailingTest(DisksTest):
    """A further disk that can be opened, and whose directories cannot be read."""

    def usage(self):
        with self.connect() as client:
            usage = client.call(get_usage=pb.GetUsage()).usage
        return usage.regions, usage.bytes

    def expect_left_out(self):
        disk = self.disk("b")
        self.assertFalse(disk.in_use)
        self.assertEqual(disk.problem, b"it cannot be read: Input/output error")
        self.assertIn(self.daemon.path("b").encode() + b": it cannot be read", self.status().problem)
        self.assertEqual(self.usage(), (1, MIB))
        with self.connect() as client:
            opening = pb.OpenRegion(name=b"far", flags=pb.REGION_READ_ONLY)
            self.assert_refused(pb.NOT_FOUND, "", lambda: client.call(open_region=opening))

    def test_it_is_left_out_and_taken_with_its_charges_when_it_can_be_read(self):
        self.start_failing(text="[disk DIR/b]\nnew_regions = no\n")
        self.make_and_leave(b"near", content=b"near")
        self.daemon.configure(text="[disk DIR/a]\nnew_regions = no\n")
        self.daemon.reload()
        _, disk = self.make_and_leave(b"far", size=2 * MIB, content=b"far")
        self.assertEqual(disk, "b")
        self.daemon.configure(text="")
        # Of one user only: those of other users may have been found before.
        for folders in (("b",), ("b", str(os.getuid())), ("b", "4294967290")):
            with self.subTest(folders=folders):
                marker = self.fail_to_read(*folders)
                self.daemon.restart()
                self.expect_left_out()
                self.assertIn(f"{self.daemon.path('b')}: it cannot be read: Input/output error", self.daemon.log())
                self.assertEqual(self.make_and_leave(b"new")[1], "a")
                with self.connect() as client:
                    client.call(remove_region=pb.RemoveRegion(name=b"new"))
                told = self.daemon.log().count("is not used until the daemon is told to reload again")
                self.daemon.reload()
                wait_until(lambda: self.daemon.log().count("is not used until the daemon") > told)
                self.expect_left_out()
                os.unlink(marker)
                self.daemon.reload()
                wait_until(lambda: self.disk("b").in_use)
                self.assertEqual((self.usage(), self.read(b"far", 3)), ((2, 3 * MIB), b"far"))
                self.assertEqual((self.disk("b").regions, self.disk("b").bytes), (1, 2 * MIB))

    def end_daemon(self):
        self.daemon.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.daemon.process.wait(60), 0)

    def expect_no_start(self, status, words):
        done = subprocess.run(
            [wire_case.program, *self.daemon.arguments()], capture_output=True, text=True, timeout=60, check=False
        )
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertIn(words, done.stderr)

    def test_percentages_are_of_the_disks_that_are_left(self):
        if not disks_case.can_mount:
            self.skipTest("file systems can be mounted by root only, with mkfs.ext4")

        def mount_all(daemon):
            self.daemon = daemon
            self.mount("a", 32)
            self.mount("b", 64)

        self.start_failing(text="[quota total]\nbytes = 100%\n", prepare=mount_all)
        self.assertEqual(self.status().bytes_limit, self.disk("a").total + self.disk("b").total)
        self.fail_to_read("b")
        self.daemon.restart()
        status = self.status()
        self.assertEqual((status.bytes_limit, status.disk_total), (status.disks[0].total, status.disks[0].total))

    def test_without_the_first_disk_the_daemon_does_not_start(self):
        self.start_failing()
        self.end_daemon()
        marker = self.fail_to_read("a")
        self.expect_no_start(FAILED, f"{self.daemon.path('a')}: it cannot be read: Input/output error")
        os.unlink(marker)
        marker = self.fail_to_read("a", "1234")
        words = "cannot be read: Input/output error: check the disk (dmesg, fsck); if it cannot be mended, move that"
        self.expect_no_start(FAILED, f"{self.daemon.path('a')}/1234 {words}")
        os.unlink(marker)
        self.daemon.start()

    def test_a_daemon_that_lacks_descriptors_to_read_a_disk_is_to_be_started_again(self):
        self.start_failing()
        self.end_daemon()
        for disk in "ab":  # a further disk is not left out
            with self.subTest(disk=disk):
                marker = self.lack_descriptors(disk, "1234")
                self.expect_no_start(SHORT, f"{self.daemon.path(disk)}/1234 cannot be read: Too many open files in system\n")
                os.unlink(marker)
        self.daemon.start()


class QuotasTest(DisksTest):
    """The quotas that were set at run time, when the disk that has them is lost and comes back."""

    def call(self, **request):
        with self.connect() as client:
            return client.call(**request)

    def set_to(self, key, text, subject=b"default"):
        self.call(set_quota=pb.SetQuota(subject=subject, settings=[pb.QuotaSetting(key=key, text=text)]))

    def unset(self, key, subject=b"default"):
        self.call(unset_quota=pb.UnsetQuota(subject=subject, keys=[key]))

    def were_set(self):
        """What was set at run time: the texts, by subject and key."""
        found = self.call(list_quota=pb.ListQuota()).quota_list
        return {
            (entry.subject.decode(), value.key.decode()): value.text.decode()
            for entry in found.entries
            for value in entry.values
            if value.origin == b"set at run time"
        }

    def lose_the_first(self):
        """The second disk becomes the first, and the first is not there."""
        shutil.move(self.daemon.path("a"), self.daemon.path("away"))
        with open(self.daemon.config, "w", encoding="ascii") as file:
            file.write(f"[daemon]\nkeep_free = 0\nspill_dir = {self.daemon.path('b')}\nspill_dir = {self.daemon.path('a')}\n")
        self.daemon.restart()
        self.assertFalse(self.disk("a").in_use)

    def bring_it_back(self):
        shutil.move(self.daemon.path("away"), self.daemon.path("a"))
        self.daemon.reload()
        wait_until(lambda: self.disk("a").in_use)

    def test_what_was_set_last_of_each_key_holds_when_a_former_first_disk_comes_back(self):
        self.start()
        for key, text in ((b"regions", b"33"), (b"connections", b"44"), (b"bytes", b"5G"), (b"region_bytes", b"1G")):
            self.set_to(key, text)
        self.set_to(b"bytes", b"7G", subject=b"user:+4242")
        self.lose_the_first()
        self.assertEqual(self.were_set(), {})
        self.set_to(b"regions", b"55")
        self.unset(b"connections")  # which is not set here
        self.set_to(b"bytes", b"6G", subject=b"total")
        self.bring_it_back()
        expected = {
            ("default", "regions"): "55",
            ("default", "bytes"): "5G",
            ("default", "region_bytes"): "1G",
            ("total", "bytes"): "6G",
            ("user:+4242", "bytes"): "7G",
        }
        wait_until(lambda: self.were_set() == expected)
        self.assertIn("3 were set or unset last in " + self.daemon.path("a"), self.daemon.log())
        # They are in one place again, whichever disk comes first.
        wait_until(lambda: os.path.exists(self.daemon.path("a/.quota.old")))
        self.assertFalse(os.path.exists(self.daemon.path("a/.quota")))
        self.daemon.restart()
        self.assertEqual(self.were_set(), expected)
        self.daemon.configure(names=("a", "b"))
        self.daemon.restart()
        self.assertEqual(self.were_set(), expected)
        self.assertFalse(os.path.exists(self.daemon.path("b/.quota")))

    def test_it_may_come_back_at_a_start_too(self):
        self.start()
        self.set_to(b"regions", b"33")
        self.set_to(b"connections", b"44")
        self.lose_the_first()
        self.set_to(b"regions", b"55")
        self.set_to(b"connections", b"66")
        self.unset(b"connections")
        shutil.move(self.daemon.path("away"), self.daemon.path("a"))
        self.daemon.restart()
        self.assertEqual(self.were_set(), {("default", "regions"): "55"})

    def test_a_file_without_times_counts_as_of_when_it_was_changed(self):
        self.start()
        self.set_to(b"regions", b"33")
        self.set_to(b"connections", b"44")
        self.lose_the_first()
        path = self.daemon.path("away/.quota")
        with open(path, "w", encoding="ascii") as file:
            file.write("[quota default]\nregions = 22\nbytes = 1G\n")
        os.utime(path, (1, 1))
        self.set_to(b"regions", b"55")
        self.bring_it_back()
        wait_until(lambda: self.were_set() == {("default", "regions"): "55", ("default", "bytes"): "1G"})

    def test_a_copy_with_a_mistake_is_told_of_and_left_alone(self):
        self.start()
        self.lose_the_first()
        self.set_to(b"regions", b"55")
        path = self.daemon.path("away/.quota")
        with open(path, "w", encoding="ascii") as file:
            file.write("[quota default]\nregions = many\n")
        self.bring_it_back()
        wait_until(lambda: "the quotas that were set there do not hold" in self.daemon.log())
        self.assertEqual(self.were_set(), {("default", "regions"): "55"})
        self.daemon.restart()
        self.assertEqual(self.were_set(), {("default", "regions"): "55"})
        self.assertTrue(os.path.exists(self.daemon.path("a/.quota")))

    def count_refused_copies(self):
        return self.daemon.log().count("the quotas that were set there do not hold")

    def bring_back_a_mistake(self):
        self.start()
        self.lose_the_first()
        self.set_to(b"regions", b"55")
        with open(self.daemon.path("away/.quota"), "w", encoding="ascii") as file:
            file.write("[quota default]\nbytes = many\n")
        self.bring_it_back()
        wait_until(self.count_refused_copies)

    def mend_the_mistake(self):
        told = self.count_refused_copies()
        self.daemon.reload()
        wait_until(lambda: self.count_refused_copies() > told)
        with open(self.daemon.path("a/.quota"), "w", encoding="ascii") as file:
            file.write("[quota default]\nbytes = 1G\n")
        self.daemon.reload()
        expected = {("default", "regions"): "55", ("default", "bytes"): "1G"}
        wait_until(lambda: self.were_set() == expected)
        wait_until(lambda: os.path.exists(self.daemon.path("a/.quota.old")))
        self.daemon.restart()
        self.assertEqual(self.were_set(), expected)

    def test_a_mistake_in_a_copy_that_was_mended_needs_a_reload_only(self):
        self.bring_back_a_mistake()
        self.mend_the_mistake()

    def test_so_does_a_mistake_that_was_found_at_the_start(self):
        self.bring_back_a_mistake()
        told = self.count_refused_copies()
        self.daemon.restart()
        self.assertGreater(self.count_refused_copies(), told)
        self.mend_the_mistake()

    def test_they_hold_over_reloads_until_they_can_be_written(self):
        self.start()
        self.set_to(b"regions", b"33")
        self.lose_the_first()
        obstacle = self.daemon.path("b/.quota.new")
        os.makedirs(os.path.join(obstacle, "kept"))
        self.bring_it_back()
        expected = {("default", "regions"): "33"}
        wait_until(lambda: self.were_set() == expected)
        self.assertIn(self.daemon.path("b/.quota") + " cannot be written", self.daemon.log())
        self.daemon.reload()
        self.assertEqual(self.were_set(), expected)
        self.assertFalse(os.path.exists(self.daemon.path("b/.quota")))
        shutil.rmtree(obstacle)
        self.daemon.reload()
        self.assertEqual(self.were_set(), expected)
        self.assertTrue(os.path.exists(self.daemon.path("b/.quota")))

    def test_a_reload_without_their_file_keeps_them(self):
        self.start(text="[quota total]\nregions = 1000\n")
        self.set_to(b"regions", b"33")
        self.unset(b"bytes")
        path = self.daemon.path("a/.quota")
        os.rename(path, self.daemon.path("kept"))
        os.symlink("/dev/null", path)  # is not followed
        self.daemon.configure(text="[quota total]\nregions = 2000\n")
        self.daemon.reload()
        self.assertEqual(self.status().regions_limit, 2000)
        self.assertEqual(self.were_set(), {("default", "regions"): "33"})
        self.assertIn("the quotas set by diskallocctl stay as they are", self.daemon.log())
        os.rename(self.daemon.path("kept"), path)
        self.daemon.reload()
        self.assertEqual(self.were_set(), {("default", "regions"): "33"})


class LostTest(DisksTest):
    def test_a_disk_that_is_lost_stops_its_own_regions_only(self):
        self.start_mounted({"a": 48, "b": 96})
        path = self.daemon.path("b")
        with self.connect() as client:
            lost, disk = self.make(client, b"lost")
            self.assertEqual(disk, "b")
            self.daemon.configure(text="[disk DIR/b]\nnew_regions = no\n")
            self.daemon.reload()
            kept, disk = self.make(client, b"kept")
            self.assertEqual(disk, "a")
            self.daemon.configure(text="[daemon]\nkeep_free = 0\n")
            self.daemon.reload()
            subprocess.run(["mount", "-t", "tmpfs", "none", path], check=True)
            self.daemon.mounts.append(path)
            wait_until(lambda: self.disk("b").problem)
            self.assertEqual(self.disk("a").problem, b"")
            self.assert_refused(
                pb.IO, "another directory", lambda: client.call(grow_region=pb.GrowRegion(handle=lost.handle, size=2 * MIB))
            )
            client.call(grow_region=pb.GrowRegion(handle=kept.handle, size=2 * MIB))
            self.assertEqual(self.make(client, b"new")[1], "a")
            client.call(detach_region=pb.DetachRegion(handle=kept.handle))
            self.assert_refused(pb.IO, "another directory", lambda: self.move(client, b"kept", "b"))
            subprocess.run(["umount", path], check=True)
            wait_until(lambda: not self.disk("b").problem)
            client.call(grow_region=pb.GrowRegion(handle=lost.handle, size=2 * MIB))
            self.assertEqual(self.make(client, b"newer")[1], "b")


if __name__ == "__main__":
    wire_case.program = wire_case.take_argument() or wire_case.program
    unittest.main()
