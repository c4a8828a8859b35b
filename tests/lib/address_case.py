"""What tests stand on whose programs get memory both from a daemon and from a directory."""

import shutil
import tempfile
import unittest

import wire_case

CONFIG = """
[daemon]
keep_free = 0
[quota default]
bytes = {bytes}
"""


class AddressCase(unittest.TestCase):
    """`self.addresses` are those of a daemon, whose users have the bytes that `quota` says, and of a directory."""

    quota = "20G"
    prefix = "diskalloc-"

    @classmethod
    def setUpClass(cls):
        wire_case.start_daemon(CONFIG.format(bytes=cls.quota))
        cls.dir = tempfile.mkdtemp(prefix=cls.prefix, dir=wire_case.BASE_DIR)
        cls.addresses = {"daemon": f"unix:{wire_case.daemon.socket}", "dir": f"dir:{cls.dir}"}

    @classmethod
    def tearDownClass(cls):
        wire_case.stop_daemon()
        shutil.rmtree(cls.dir)
