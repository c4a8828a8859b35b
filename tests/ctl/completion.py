#!/usr/bin/python3
"""The completions of diskallocctl: what bash offers at each place, and that zsh and fish understand theirs; help."""

import os
import re
import shutil
import subprocess
import tempfile
import unittest

import ctl_case
import ctl_users
import wire_case
from ctl_users import AdminTest
from wire_client import pb


def setUpModule():
    ctl_users.set_up_module()


class HelpTest(AdminTest):
    def test_help_lists_every_command_and_every_option(self):
        text = self.run_ctl("--help")
        self.assertEqual(self.run_ctl("help"), text)
        self.assertEqual(self.run_ctl("-h"), text)
        for command in "status usage regions quota rm set-expiry disconnect check top events selftest doctor run completion help".split():
            self.assertRegex(text, rf"(?m)^  {command}\b")
        for option in re.findall(r"--[a-z]+", self.run_ctl("completion", "bash")):
            if option not in ("--warning", "--critical"):  # other spellings
                self.assertIn(option, text)

    def test_help_of_a_command_has_its_options(self):
        text = self.run_ctl("help", "check")
        self.assertIn("-w, --warn N%", text)
        self.assertNotIn("--force", text)
        self.assertEqual(self.run_ctl("check", "--help"), text)
        self.assertIn("quota unset", self.run_ctl("help", "quota"))
        self.assertIn("nonsense is not a command", self.run_ctl("help", "nonsense", status=2))

    def test_help_needs_neither_daemon_nor_address(self):
        for address in ("unix:/nonexistent", "dir:/var/tmp", "nonsense"):
            self.assertTrue(self.run_ctl("help", address=address))
            self.assertTrue(self.run_ctl("completion", "zsh", address=address))

    def test_wrong_usage(self):
        self.assertIn("bash, zsh or fish", self.run_ctl("completion", "csh", status=2))
        self.assertIn("usage: diskallocctl completion", self.run_ctl("completion", status=2))
        self.assertIn("usage: diskallocctl completion", self.run_ctl("completion", "bash", "zsh", status=2))
        self.run_ctl("help", "status", "more", status=2)

    def test_the_manual_has_every_command_and_option(self):
        path = os.path.join(os.path.dirname(__file__), "..", "..", "client", "ctl", "diskallocctl.1")
        with open(path, encoding="utf-8") as file:
            manual = file.read()
        text = self.run_ctl("--help")
        commands, _, options = text.partition("\nOptions")
        for command in set(re.findall(r"(?m)^  ([a-z][a-z-]*)", commands)):
            self.assertRegex(manual, rf"(?m)^\.It Cm {command}\b", command)
        for option in re.findall(r"(?m)^  .*?--([a-z]+)", options):
            self.assertIn(f"Fl Fl {option}", manual)


@unittest.skipUnless(shutil.which("bash"), "there is no bash")
class BashTest(AdminTest):
    def setUp(self):
        super().setUp()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        os.chmod(self.directory, 0o755)
        # bash finds the tool by its name.
        os.symlink(os.path.abspath(ctl_case.program), os.path.join(self.directory, "diskallocctl"))
        self.script = os.path.join(self.directory, "completion")
        with open(self.script, "w", encoding="utf-8") as file:
            file.write(self.run_ctl("completion", "bash"))

    def complete(self, *words):
        """What bash offers for the last word."""
        program = r"""
            source "$1"; shift
            COMP_WORDS=(diskallocctl "$@"); COMP_CWORD=$#; COMP_LINE="${COMP_WORDS[*]}"; COMP_POINT=${#COMP_LINE}
            _diskallocctl diskallocctl "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
            printf '%s\n' "${COMPREPLY[@]}"
        """
        done = subprocess.run(
            ["bash", "--norc", "-c", program, "bash", self.script, *words],
            env=os.environ | {"PATH": f"{self.directory}:{os.environ['PATH']}", "DISKALLOC_ADDRESS": f"unix:{wire_case.daemon.socket}"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout.split()

    def test_commands(self):
        self.assertGreaterEqual(set(self.complete("")), {"status", "usage", "quota", "top", "doctor", "events", "selftest"})
        self.assertEqual(self.complete("dis"), ["disconnect"])
        self.assertEqual(self.complete("--json", "reg"), ["regions"])
        self.assertEqual(self.complete("--timeout", "5", "sta"), ["status"])
        self.assertEqual(set(self.complete("quota", "")), {"list", "set", "unset"})
        self.assertEqual(self.complete("help", "sel"), ["selftest"])
        self.assertEqual(self.complete("completion", "f"), ["fish"])

    def test_options_are_those_of_the_command(self):
        self.assertEqual(set(self.complete("rm", "--f")), {"--force"})
        self.assertEqual(self.complete("status", "--f"), [])
        self.assertEqual(set(self.complete("check", "--c")), {"--crit"})
        self.assertGreaterEqual(set(self.complete("--")), {"--address", "--instance", "--json", "--help"})
        self.assertEqual(self.complete("top", "--sort", "wai"), ["waiting"])
        self.assertIn("--strict", self.complete("run", "--s"))

    def test_names_of_regions_and_subjects(self):
        self.make_named(self.connect())
        self.assertEqual(self.complete("rm", self.name[:20]), [self.name])
        self.assertEqual(self.complete("set-expiry", self.name[:20]), [self.name])
        user = self.me.removeprefix("user:")
        # The colon is a word of its own for bash, and what is before it is not inserted again.
        self.assertEqual(self.complete("usage", "user", ":"), [user])
        self.assertEqual(self.complete("usage", "user", ":", user[:2]), [user])
        self.assertEqual(self.complete("usage", "tot"), ["total"])
        self.assertEqual(self.complete("quota", "set", "tot"), ["total"])
        self.assertEqual(self.complete("disconnect", user[:2]), [user])
        self.assertEqual(self.complete("regions", "--user", user[:2]), [user])
        self.run_ctl("rm", "--force", self.name)

    def test_without_a_daemon_there_are_no_names_and_no_errors(self):
        self.assertEqual(self.complete("--address", "unix", ":", "/nonexistent", "rm", ""), [])
        self.assertEqual(self.complete("--instance", "no-such", "usage", ""), [])

    def test_the_script_is_good_shell(self):
        if not shutil.which("shellcheck"):
            self.skipTest("there is no shellcheck")
        done = subprocess.run(["shellcheck", "-s", "bash", self.script], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout)


class OtherShellsTest(AdminTest):
    def script(self, shell):
        if not shutil.which(shell):
            self.skipTest(f"there is no {shell}")
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        os.symlink(os.path.abspath(ctl_case.program), os.path.join(directory.name, "diskallocctl"))
        path = os.path.join(directory.name, "_diskallocctl" if shell == "zsh" else "diskallocctl.fish")
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.run_ctl("completion", shell))
        return directory.name, path

    def test_zsh_understands_its_script(self):
        directory, path = self.script("zsh")
        done = subprocess.run(["zsh", "-n", path], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_fish_completes(self):
        directory, path = self.script("fish")

        def complete(line):
            done = subprocess.run(
                ["fish", "--no-config", "-c", f"source {path}; complete -C '{line}'"],
                env=os.environ
                | {"HOME": directory, "PATH": f"{directory}:{os.environ['PATH']}", "DISKALLOC_ADDRESS": f"unix:{wire_case.daemon.socket}"},
                capture_output=True,
                text=True,
                timeout=60,
            )
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            return [l.split("\t")[0] for l in done.stdout.splitlines()]

        self.assertEqual(complete("diskallocctl dis"), ["disconnect"])
        self.assertIn("--force", complete("diskallocctl rm --f"))
        self.assertIn("total", complete("diskallocctl usage to"))
        self.assertEqual(set(complete("diskallocctl quota ")) & {"list", "set", "unset"}, {"list", "set", "unset"})


if __name__ == "__main__":
    wire_case.program = wire_case.take_argument() or wire_case.program
    ctl_case.program = wire_case.take_argument() or ctl_case.program
    unittest.main()
