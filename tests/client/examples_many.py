#!/usr/bin/python3
"""The examples with many processes: examples_many.py DISKALLOCD EXAMPLE-TABLE EXAMPLE-SERVER."""

import os
import re
import signal
import socket
import subprocess
import time
import unittest

import wire_case
from example_case import ExampleCase
from wire_case import MIB
from wire_client import Client, pb


class TableTest(ExampleCase):
    def write(self, n, name="words"):
        with open(self.path(name), "w", encoding="ascii") as file:
            file.writelines(f"word{i * 7919 % n} {i * 7919 % n * 3}\n" for i in range(n))
        return self.path(name)

    def name(self):
        return self.id().rsplit(".", 1)[1][-60:]

    def test_the_table_is_built_once_for_all_processes(self):
        n = 50021
        self.write(n)
        for address in self.addresses:
            processes = [
                self.start("table", self.name(), self.path("words"), "word0", f"word{i}", "nothing", "word50020", address=address)
                for i in range(8)
            ]
            heads = []
            for i, process in enumerate(processes):
                output, said = process.communicate(timeout=100)
                self.assertEqual((process.returncode, said), (0, b""))
                head, *numbers = output.decode().splitlines()
                heads.append(head)
                self.assertEqual(numbers, ["word0 0", f"word{i} {3 * i}", "nothing is not in the table", "word50020 150060"])
            self.assertEqual(sorted(heads), [f"{n} entries, built by another one"] * 7 + [f"{n} entries, built by this process"])
            # Later ones do not even need the file.
            output = self.run_program("table", self.name(), "nowhere", "word77", address=address)
            self.assertEqual(output, b"50021 entries, built by another one\nword77 231\n")

    def test_another_process_builds_it_if_the_builder_is_killed(self):
        self.write(1000)
        for address in self.addresses:
            pipe = self.path(f"pipe-{address}")
            os.mkfifo(pipe)
            builder = self.start("table", self.name(), pipe, address=address)
            with open(pipe, "wb") as writer:
                writer.write(b"word5 15\n" * 100000)
                writer.flush()  # more than a pipe holds: the builder reads
                waiting = self.start("table", self.name(), self.path("words"), "word5", address=address)
                with self.assertRaises(subprocess.TimeoutExpired):
                    waiting.wait(0.2)
                builder.kill()
                builder.communicate(timeout=100)
            output, said = waiting.communicate(timeout=100)
            self.assertEqual((output, said), (b"1000 entries, built by this process\nword5 15\n", b""))

    def test_a_reader_keeps_the_table_of_a_name_that_is_unlinked(self):
        self.write(100)
        self.run_program("table", self.name(), self.path("words"))
        with Client(wire_case.daemon.socket, name=b"remover") as client:
            client.call(unlink_region=pb.UnlinkRegion(name=self.name().encode()))
        output = self.run_program("table", self.name(), self.path("words"))
        self.assertEqual(output, b"100 entries, built by this process\n")

    def test_what_is_wrong_is_said_and_builds_nothing(self):
        self.assertRegex(self.run_program("table", "name", status=2), "^usage: table ")
        for text, sentence in (
            (b"", "entry 1 of the file is no word"),
            (b"good 1\nbad\n", "entry 2 of the file is no word"),
            (b"good 1\n" + b"x" * 24 + b" 1\n", "entry 2 of the file is no word of at most 23 letters"),
        ):
            with open(self.path("bad"), "wb") as file:
                file.write(text)
            self.assertIn(sentence, self.run_program("table", self.name(), self.path("bad"), status=1))
        self.assertIn("nowhere: No such file", self.run_program("table", self.name(), "nowhere", status=1))
        self.assertRegex(self.run_program("table", "a/b/c", "nowhere", status=1), "^table: ")
        self.assertRegex(self.run_program("table", "x", "nowhere", address="unix:/nowhere", status=1), "^table: diskalloc_open: ")
        self.write(100)
        self.assertIn(b"100 entries, built by this process", self.run_program("table", self.name(), self.path("words")))


class ServerTest(ExampleCase):
    quota = "18M"  # warns at 14.4M, on the way from 8M to 16M

    def setUp(self):
        super().setUp()
        wire_case.daemon.restart()  # one daemon warns four times a minute at most
        self.socket = self.path("server")
        self.server = self.start("server", self.socket)
        self.assertEqual(self.server.stdout.readline(), b"ready\n")
        self.addCleanup(self.stop)

    def stop(self):
        if self.server.returncode is None:
            self.server.kill()
            self.server.communicate(timeout=60)

    def ask(self, line):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(60)
            client.connect(self.socket)
            client.sendall(line.encode() + b"\n")
            with client.makefile("rb") as answer:
                return answer.readline().decode().removesuffix("\n")

    def put_until_refused(self, first):
        for i in range(first, first + 20000):
            answer = self.ask(f"put job {i}")
            if answer != "ok":
                return i, answer
        return self.fail("it took all jobs")

    def usage(self):
        with Client(wire_case.daemon.socket, name=b"look") as client:
            return client.call(get_usage=pb.GetUsage()).usage.bytes

    def test_jobs_come_out_in_order(self):
        self.assertEqual(self.ask("get"), "none")
        for i in range(100):
            self.assertEqual(self.ask(f"put number {i}"), "ok")
        for i in range(100):
            self.assertEqual(self.ask("get"), f"job number {i}")
        self.assertEqual(self.ask("get"), "none")

    def test_load_is_shed_at_the_warning_and_taken_again_when_there_is_room(self):
        first = 0
        for _ in range(2):
            last, answer = self.put_until_refused(first)
            self.assertRegex(answer, r"^later: user:\S+ is nearly used up$")
            self.assertLess(self.usage(), 18 * MIB)  # it was not the limit
            self.assertRegex(self.server.stdout.readline(), rb"^user:\S+ bytes: \d+ of 18874368 are used, no jobs are taken\n$")
            # Each job is there that was taken, and refused are only new ones.
            taken = first
            while self.ask(f"put job {last}") != "ok":
                self.assertEqual(self.ask("get"), f"job job {taken}")
                taken += 1
            self.assertGreater(taken, first)
            self.assertLess(taken, last)
            self.assertRegex(self.server.stdout.readline(), rb"^user:\S+: \d+ are used, jobs are taken again\n$")
            for i in range(taken, last + 1):
                self.assertEqual(self.ask("get"), f"job job {i}")
            self.assertEqual(self.ask("get"), "none")
            first = last + 1

    def test_what_others_use_counts(self):
        self.assertEqual(self.ask("put a"), "ok")
        with Client(wire_case.daemon.socket, name=b"another") as another:
            another.call(create_region=pb.CreateRegion(handle=os.urandom(16), size=15 * MIB))
            self.assertRegex(self.server.stdout.readline(), b"no jobs are taken")
            self.assertRegex(self.ask("put b"), "^later: ")
            self.assertEqual(self.ask("get"), "job a")
        deadline = time.monotonic() + 60
        while self.ask("put c") != "ok":
            self.assertLess(time.monotonic(), deadline)
        self.assertEqual(self.ask("get"), "job c")

    def test_a_daemon_that_is_gone_is_an_answer(self):
        for i in range(40):  # more than a vector has without a file
            self.assertEqual(self.ask(f"put {i}"), "ok")
        wire_case.daemon.process.send_signal(signal.SIGTERM)
        self.assertEqual(wire_case.daemon.process.wait(60), 0)
        i = 40
        while (answer := self.ask(f"put {i}")) == "ok":  # there is room for some
            i += 1
        self.assertRegex(answer, "^later: jobs_push: ")
        self.assertEqual(self.ask("get"), "job 0")
        wire_case.daemon.start()
        self.assertEqual(self.ask(f"put {i}"), "ok")
        self.assertEqual(self.ask("get"), "job 1")

    def test_clients_that_do_not_keep_to_the_rules(self):
        self.assertRegex(self.ask("put"), "^no: say put TEXT, or get$")
        self.assertRegex(self.ask("put " + "x" * 1024), "^no: a job has 1023 letters at most$")
        self.assertEqual(self.ask("put " + "x" * 1023), "ok")
        self.assertRaises(ConnectionError, self.ask, "x" * 5000)
        silent = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        silent.connect(self.socket)
        self.assertEqual(self.ask("get"), "job " + "x" * 1023)
        silent.close()

    def test_what_is_wrong_is_said(self):
        self.assertRegex(self.run_program("server", status=2), "^usage: server ")
        self.assertIn("in use", self.run_program("server", self.socket, status=1))
        self.assertRegex(self.run_program("server", self.path("other"), address="unix:/nowhere", status=1), "^server: diskalloc_open: ")
        self.assertFalse(os.path.exists(self.path("other")))


if __name__ == "__main__":
    unittest.main()
