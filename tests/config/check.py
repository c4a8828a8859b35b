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


if __name__ == "__main__":
    unittest.main()
