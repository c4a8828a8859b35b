"""The manual pages of this tree, as the tests read them."""

import os
import re
import subprocess

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as stream:
        return stream.read()


class Page:
    """A page of mdoc(7)."""

    def __init__(self, path):
        self.path = path
        self.text = read(path)
        self.file = os.path.basename(path)
        self.title, _, self.section = self.file.rpartition(".")
        self.names = re.findall(r"^\.Nm (\S+)", self.part("NAME"), re.M)

    def part(self, title):
        """The section TITLE; empty: the page has none."""
        found = re.search(rf"^\.Sh {re.escape(title)}\n(.*?)(?=^\.Sh |\Z)", self.text, re.M | re.S)
        return found[1] if found else ""

    def has_word(self, word):
        return re.search(rf"(?<![A-Za-z0-9_]){re.escape(word)}(?![A-Za-z0-9_])", self.text) is not None

    def arguments(self, macro):
        """The first argument of each MACRO of the page, such as the options of `Fl Fl`."""
        return set(re.findall(rf"(?:^\.|[ |]){macro} ([A-Za-z0-9_:.-]+)", self.text, re.M))


def blocks(text):
    """The literal blocks of a page: what stands in them, whether they are indented, and what was said last before each."""
    for before, is_indented, block in re.findall(r"^([^\n]*)\n\.Bd -literal( -offset indent)?\n(.*?)^\.Ed$", text, re.M | re.S):
        yield block.replace("\\e", "\\").replace("\\&", ""), bool(is_indented), before


def programs(text):
    """The complete programs of a page, and what it says that each prints, or None."""
    found = []
    for block, is_indented, before in blocks(text):
        if "int main(" in block and not is_indented:
            found.append([block, None])
        elif is_indented and before == "It prints:" and found:
            found[-1][1] = block
    return [tuple(program) for program in found]


def all_pages():
    """Every page of the source: those of git, or of the folders where there is no git."""
    skipped = {"build", ".git"}
    found = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = sorted(set(folders) - skipped)
        found += [os.path.relpath(os.path.join(folder, file), ROOT) for file in files if re.fullmatch(r"[A-Za-z_.-]+\.[1-8]", file)]
    return [Page(path) for path in sorted(found)]


def said(program, *arguments):
    return subprocess.run([program, *arguments], stdout=subprocess.PIPE, check=True, text=True, timeout=60).stdout
