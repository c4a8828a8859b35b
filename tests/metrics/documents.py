#!/usr/bin/python3
"""What is written about the metrics elsewhere is true: the manual page, the alerts, the dashboard."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest

import metrics_case
import wire_case
from wire_case import USER
from wire_client import Client, Refused, pb

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
PAGE = os.path.join(ROOT, "daemon/diskalloc-metrics.7")
RULES = os.path.join(ROOT, "systemd/monitoring/diskalloc.rules.yml")
DASHBOARD = os.path.join(ROOT, "systemd/monitoring/diskalloc.json")
RULES_TEST = os.path.join(ROOT, "tests/metrics/rules.test.yml")
# Series that a small daemon on an ordinary disk may not have: a quota of the file system, inodes that are limited.
MAY_BE_MISSING = {"diskalloc_disk_quota_limit_bytes", "diskalloc_disk_quota_used_bytes", "diskalloc_disk_inodes_limit", "diskalloc_disk_inodes_used"}
OF_PROMETHEUS = {"job", "instance", "alertname"}


def setUpModule():
    wire_case.start_daemon(wire_case.CONFIG + f"[quota user:{USER}]\n" + "soft_bytes = 4K\n")


def tearDownModule():
    wire_case.stop_daemon()


def fetch(format=pb.METRICS_OPENMETRICS):
    with Client(wire_case.daemon.socket) as client:
        handle, text, cursor = os.urandom(16), b"", b""
        client.call(create_region=pb.CreateRegion(handle=handle, size=8192))
        try:
            client.call(grow_region=pb.GrowRegion(handle=handle, size=1 << 30))
        except Refused:
            pass
        while True:
            page = client.call(get_metrics=pb.GetMetrics(cursor=cursor, format=format)).metrics
            text, cursor = text + page.text, page.next_cursor
            if not cursor:
                return text.decode()


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def selectors(expression):
    """The names of metrics in an expression of Prometheus, each with the labels that its braces name."""
    for name, braces in re.findall(r"\b((?:diskalloc|process)_[a-z0-9_]+)(?:\{([^}]*)\})?", expression):
        yield name, set(re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)", re.sub(r'"(?:[^"\\]|\\.)*"', '""', braces or "")))


def groupings(expression):
    return {label.strip() for group in re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", expression) for label in group.split(",")}


class DocumentsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.text = fetch()
        cls.labels = metrics_case.labels_of(metrics_case.parse(cls.text))
        endings = {"counter": "_total", "info": "_info"}
        cls.names = {name + endings.get(kind, ""): kind for name, kind in metrics_case.families(cls.text).items()}
        # The samples of a histogram, and those that are not there now.
        for name, kind in cls.names.items():
            if kind == "histogram":
                cls.labels[name] = cls.labels[name + "_sum"]

    def check(self, expression, where):
        found = list(selectors(expression))
        for name, labels in found:
            base = re.sub("_(bucket|sum|count)$", "", name) if name not in self.names else name
            self.assertTrue(name in self.labels or base in MAY_BE_MISSING, f"{where}: there is no {name}")
            self.assertLessEqual(labels, self.labels.get(name, set()) | OF_PROMETHEUS, f"{where}: {name} has no such labels")
        for label in groupings(expression):
            known = set().union(*(self.labels.get(name, set()) for name, _ in found))
            self.assertIn(label, known | OF_PROMETHEUS, f"{where}: nothing there has the label {label}")
        return found

    def test_the_manual_page_has_each_metric_with_its_labels(self):
        written = {name: set(re.split(", *", labels)) if labels else set()
                   for name, labels in re.findall(r"(?m)^\.It Ic ((?:diskalloc|process)_\S+)(?: Bro (\S.*?) Brc)?(?: \*)?$", read(PAGE))}
        self.assertEqual(set(written), set(self.names))
        for name, labels in written.items():
            if name in self.labels:
                self.assertEqual(labels, self.labels[name] - {"le"}, name)

    def test_the_manual_page_has_a_star_where_others_may_look(self):
        with_star = set(re.findall(r"(?m)^\.It Ic (\S+)(?: Bro .* Brc)? \*$", read(PAGE)))
        source = read(os.path.join(ROOT, "daemon/metrics/families.c"))
        table = source[source.index("static const struct family families[]"):]
        for_all = set()
        for name, kind, rest in re.findall(r'\{"([a-z_]+)", FAMILY_([A-Z]+),(.*?)\},\n', table, re.S):
            if re.search(r",\s*true,", rest):
                for_all.add(name + {"COUNTER": "_total", "INFO": "_info"}.get(kind, ""))
        self.assertEqual(with_star, for_all)

    def test_the_values_of_labels_that_the_page_names_are_those(self):
        page = read(PAGE)
        for label in ("operation", "result", "fence"):
            values = {dict(labels).get(label) for name, labels in metrics_case.parse(self.text)} - {None}
            for value in values:
                self.assertRegex(page, rf"(?m)^\.Cm .*\b{value}\b", f"{label}={value}")

    def test_the_alerts_ask_for_metrics_that_exist(self):
        rules = read(RULES)
        expressions = re.findall(r"(?m)^        expr: (?:>-\n((?:          .*\n)+)|(.*)\n)", rules)
        self.assertEqual(len(expressions), rules.count("- alert:"))
        for folded, single in expressions:
            self.check(folded or single, "an alert")

    def test_each_panel_asks_for_metrics_that_exist(self):
        dashboard = json.loads(read(DASHBOARD))
        targets = [(p["title"], t["expr"], t["legendFormat"]) for p in dashboard["panels"] for t in p["targets"]]
        targets += [(a["name"], a["expr"], "") for a in dashboard["annotations"]["list"]]
        self.assertGreater(len(targets), 20)
        for title, expression, legend in targets:
            found = self.check(expression, title)
            self.assertTrue(found, title)
            known = set().union(*(self.labels.get(name, set()) for name, _ in found)) | OF_PROMETHEUS
            self.assertLessEqual(set(re.findall(r"\{\{(.*?)\}\}", legend)), known, title)
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                self.assertIn(re.match(r"label_values\((\w+),", variable["query"]["query"])[1], self.labels)

    def test_no_panel_lies_on_another(self):
        taken = set()
        for p in json.loads(read(DASHBOARD))["panels"]:
            g = p["gridPos"]
            cells = {(x, y) for x in range(g["x"], g["x"] + g["w"]) for y in range(g["y"], g["y"] + g["h"])}
            self.assertLessEqual(g["x"] + g["w"], 24)
            self.assertFalse(cells & taken, p["title"])
            taken |= cells

    def test_each_metric_of_use_is_watched_or_shown(self):
        """A metric that neither an alert nor a panel uses is one that nobody would find."""
        asked = {name for name, _ in selectors(read(RULES) + read(DASHBOARD))}
        asked = {re.sub("_(bucket|sum|count)$", "", n) if n not in self.names else n for n in asked}
        left = set(self.names) - asked - MAY_BE_MISSING
        self.assertLessEqual(left, {"process_resident_memory_bytes", "process_cpu_seconds_total", "diskalloc_account_soft_limit_bytes",
                                    "diskalloc_account_connections_limit", "diskalloc_account_regions_limit", "diskalloc_config_reloads_total",
                                    "diskalloc_foreign_files", "diskalloc_unreadable_files", "diskalloc_regions_lacking_blocks", "diskalloc_disk_regions",
                                    "diskalloc_fence_events_total", "diskalloc_fence_overflows_total"})

    @unittest.skipUnless(shutil.which("promtool"), "promtool (prometheus) is not there")
    def test_promtool_takes_the_alerts_and_their_tests_pass(self):
        with tempfile.TemporaryDirectory() as directory:
            for path in (RULES, RULES_TEST):
                shutil.copy(path, directory)
            for arguments in (["check", "rules", os.path.basename(RULES)], ["test", "rules", os.path.basename(RULES_TEST)]):
                done = subprocess.run(["promtool", *arguments], cwd=directory, capture_output=True, text=True, timeout=120)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_each_alert_has_a_test(self):
        tested = set(re.findall(r"alertname: (\S+)", read(RULES_TEST)))
        self.assertEqual(tested, set(re.findall(r"- alert: (\S+)", read(RULES))))


if __name__ == "__main__":
    wire_case.program = wire_case.take_argument() or wire_case.program
    wire_case.take_argument()
    unittest.main()
