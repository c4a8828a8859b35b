#!/usr/bin/python3
"""The manual pages are good mdoc, and become HTML whose links have an end: lint.py PROTOCOL-PAGE"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import manual

if not shutil.which("mandoc"):
    print("skipped: mandoc is not there", file=sys.stderr)
    sys.exit(77)

PAGES = [page.path for page in manual.all_pages()] + sys.argv[1:]
del sys.argv[1:]


class Lint(unittest.TestCase):
    def test_mandoc_has_nothing_to_say(self):
        for page in PAGES:
            with self.subTest(page):
                done = subprocess.run(["mandoc", "-T", "lint", "-W", "style", page], cwd=manual.ROOT, capture_output=True, text=True, check=False)
                # A sentence is a line, however long.  Pages of other packages may not be installed; agree.py looks after ours.
                said = [line for line in done.stdout.splitlines()
                        if not re.search("input text line longer than 80 bytes|referenced manual not found", line)]
                self.assertEqual(said, [])

    def test_all_pages_are_of_one_language(self):
        for page in PAGES:
            with self.subTest(page):
                self.assertRegex(manual.read(page), r"\A\.Dd ")

    def test_the_links_of_the_html_have_an_end(self):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, "-B", os.path.join(manual.ROOT, "systemd/html_pages"), folder, *PAGES], cwd=manual.ROOT, check=True,
                           stdout=subprocess.DEVNULL)
            files = set(os.listdir(folder))
            self.assertEqual(len(files), len(PAGES) + 1)
            links = 0
            for file in files:
                text = manual.read(os.path.join(folder, file))
                for target in re.findall(r'href="([^"#][^"]*)"', text):
                    links += 1
                    with self.subTest(f"{file}: {target}"):
                        self.assertIn(target.partition("#")[0], files)
            self.assertGreater(links, 100)
            for page in PAGES:
                self.assertIn(f'href="{os.path.basename(page)}.html"', manual.read(os.path.join(folder, "index.html")))


if __name__ == "__main__":
    unittest.main()
