#!/usr/bin/python3
"""A real Prometheus scrapes the daemon, and finds in its own database what the daemon said."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
import urllib.parse

import metrics_case
import wire_case
from wire_client import Client, pb

if not shutil.which("prometheus"):
    print("skipped: prometheus is not there", file=sys.stderr)
    sys.exit(77)

SIZE = 7 * wire_case.MIB
SCRAPES = """
global: {{scrape_interval: 1s}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: diskalloc
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""
RULES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../systemd/monitoring/diskalloc.rules.yml")


def setUpModule():
    wire_case.start_daemon(metrics_case.CONFIG)


def tearDownModule():
    wire_case.stop_daemon()


class PrometheusTest(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="diskalloc-prometheus-", dir=wire_case.BASE_DIR)
        self.addCleanup(shutil.rmtree, self.dir)
        with open(os.path.join(self.dir, "prometheus.yml"), "w", encoding="ascii") as file:
            file.write(SCRAPES.format(port=metrics_case.port(), rules=RULES))
        with open(os.path.join(self.dir, "log"), "wb") as log:
            self.process = subprocess.Popen(
                ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address=127.0.0.1:0"],
                cwd=self.dir, stderr=log, stdout=log, preexec_fn=wire_case.die_with_parent)
        self.addCleanup(self.process.wait, 60)
        self.addCleanup(self.process.kill)
        metrics_case.wait_until(self.is_ready, "Prometheus is ready")

    def log(self):
        with open(os.path.join(self.dir, "log"), encoding="utf-8") as file:
            return file.read()

    def is_ready(self):
        return self.find_port() and metrics_case.ask("/-/ready", at=self.port)[0].status == 200

    def find_port(self):
        """Prometheus does not tell which port the kernel chose."""
        self.assertIsNone(self.process.poll(), self.log())
        self.port = next((port for port, listens in metrics_case.tcp_sockets(self.process.pid) if listens), None)
        return self.port is not None

    def query(self, expression):
        path = "/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        return [(r["metric"], float(r["value"][1])) for r in json.loads(metrics_case.ask(path, at=self.port)[1])["data"]["result"]]

    def test_a_scrape_finds_what_the_daemon_holds(self):
        with Client(wire_case.daemon.socket) as client:
            client.call(create_region=pb.CreateRegion(handle=os.urandom(16), size=SIZE))
            total = 'diskalloc_account_bytes{kind="total"}'
            metrics_case.wait_until(lambda: [v for _, v in self.query(total)] == [SIZE], "the bytes in Prometheus")
            self.assertEqual([v for _, v in self.query('up{job="diskalloc"}')], [1])
            self.assertEqual([v for _, v in self.query('sum(diskalloc_operations_total{operation="create",result="done"})')], [1])
            targets = json.loads(metrics_case.ask("/api/v1/targets", at=self.port)[1])["data"]["activeTargets"]
            self.assertEqual((targets[0]["health"], targets[0]["lastError"]), ("up", ""))
            # It has understood the types, units and sentences, which OpenMetrics has and the older format has not.
            about = json.loads(metrics_case.ask("/api/v1/targets/metadata?metric=diskalloc_operation_duration_seconds", at=self.port)[1])["data"]
            self.assertEqual([(a["type"], a["unit"]) for a in about], [("histogram", "seconds")])
            # The alerts are read, and none of those about a sick daemon fires.
            rules = json.loads(metrics_case.ask("/api/v1/rules", at=self.port)[1])["data"]["groups"][0]["rules"]
            self.assertEqual({r["health"] for r in rules} - {"ok", "unknown"}, set())
            self.assertFalse([m for m, _ in self.query('ALERTS{severity="critical"}')])


if __name__ == "__main__":
    wire_case.program = wire_case.take_argument() or wire_case.program
    unittest.main()
