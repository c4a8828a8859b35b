#!/usr/bin/python3
"""What diskallocd --check-config says, and how it exits: check.py DAEMON"""

import os
import subprocess
import sys
import tempfile
import unittest

DAEMON = sys.argv.pop(1)


class CheckConfig(unittest.TestCase):
    def check(self, text, **drop_ins):
        """The exit status, and what is said to whom, of a configuration with TEXT and files beside it."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "diskallocd.conf")
            os.mkdir(path + ".d")
            for name, content in [(path, text)] + [(os.path.join(path + ".d", f"{n}.conf"), c) for n, c in drop_ins.items()]:
                with open(name, "w", encoding="utf-8") as stream:
                    stream.write(content)
            done = subprocess.run([DAEMON, "--config", path, "--check-config"], capture_output=True, text=True, timeout=60, check=False)
            return done.returncode, done.stdout, done.stderr.replace(folder, "FOLDER")

    def test_a_good_configuration_is_called_good_and_by_whom_it_was_read(self):
        said = f"no mistake in the configuration, as user {os.geteuid()} reads it\n"
        self.assertEqual(self.check("[daemon]\nspill_dir = /srv/spill\n[quota default]\nbytes = 50G\n"), (0, said, ""))

    def test_a_mistake_is_named_with_file_and_line(self):
        status, out, err = self.check("[daemon]\n", later="[daemon]\n# a comment\nspil_dir = /srv/spill\n")
        self.assertEqual((status, out), (78, ""))
        self.assertIn("FOLDER/diskallocd.conf.d/later.conf:3: spil_dir", err)

    def check_fifo(self, make):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "diskallocd.conf")
            os.mkdir(path + ".d")
            with open(path, "w", encoding="utf-8") as stream:
                stream.write("[daemon]\n")
            make(os.path.join(path + ".d", "a.conf"))
            return subprocess.run([DAEMON, "--config", path, "--check-config"], capture_output=True, text=True, timeout=60, check=False)

    def test_what_would_be_waited_for_is_no_file(self):
        done = self.check_fifo(os.mkfifo)
        self.assertEqual(done.returncode, 78)
        self.assertIn("a.conf is a pipe or a socket", done.stderr)
        self.assertEqual(self.check_fifo(lambda path: os.symlink("/dev/null", path)).returncode, 0)

    def test_a_group_is_a_name_or_a_number(self):
        for group in ("+99999999999", "+-1", "+", "+4294967295", "+1x"):
            with self.subTest(group=group):
                status, _, err = self.check(f"[daemon]\nadmin_group = {group}\n")
                self.assertEqual(status, 78)
                self.assertIn("the name of a group, or +GID", err)
        self.assertEqual(self.check("[daemon]\nadmin_group = +0\n")[0], 0)

    def test_what_has_to_be_free_is_never_said_to_be_unlimited(self):
        for value in ("-1", "99999999999999999999T", "x", "unlimited"):
            with self.subTest(value=value):
                status, _, err = self.check(f"[daemon]\nkeep_free = {value}\n")
                self.assertEqual(status, 78)
                self.assertNotIn("unlimited", err.replace("keep_free = unlimited", ""))

    def test_output_that_cannot_be_written_is_a_failure(self):
        for arguments in (("--help",), ("--version",), ("--config", "/dev/null", "--check-config")):
            with self.subTest(arguments=arguments), open("/dev/full", "w", encoding="utf-8") as full:
                self.assertEqual(subprocess.run([DAEMON, *arguments], stdout=full, stderr=subprocess.DEVNULL, check=False).returncode, 1)


if __name__ == "__main__":
    unittest.main()
