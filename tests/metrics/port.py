#!/usr/bin/python3
"""The port of the metrics: what it serves, to whom, where, and that nothing that comes there harms the daemon's other clients."""

import errno
import grp
import os
import re
import resource
import select
import shutil
import signal
import socket
import stat
import tempfile
import threading
import time
import unittest

import metrics_case
import wire_case
from metrics_case import ask, parse
from wire_case import MIB, WireTest
from wire_client import Client, pb

GUESTS = 32  # connections that are served at a time


def setUpModule():
    wire_case.start_daemon(metrics_case.CONFIG)


def tearDownModule():
    log = wire_case.daemon.log()
    wire_case.stop_daemon()
    # libevent's own complaints: whatever clients send is no news.
    assert "[warn]" not in log and "[err]" not in log, log


def raw(data, at=None, shut=False):
    """What comes back for these bytes, up to the end of the connection."""
    with socket.create_connection(("127.0.0.1", at or metrics_case.port()), timeout=60) as s:
        try:
            s.sendall(data)
            if shut:
                s.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it may be refused before it has come whole
        answer = b""
        try:
            while part := s.recv(65536):
                answer += part
        except ConnectionResetError:
            pass
        return answer


class ServingTest(WireTest):
    def test_what_is_served(self):
        for path, type_ in (("/metrics", "text/plain; version=0.0.4; charset=utf-8"), ("/state.json", "application/json"),
                            ("/", "text/html; charset=utf-8")):
            response, body = ask(path)
            self.assertEqual((response.status, response.headers["Content-Type"]), (200, type_))
            self.assertEqual(response.headers["Content-Length"], str(len(body)))
            self.assertEqual(response.headers["Connection"], "close")
            self.assertEqual(response.headers["X-Content-Type-Options"], "nosniff")
            self.assertIsNone(response.headers["Access-Control-Allow-Origin"])
        response, body = ask("/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"})
        self.assertEqual(response.headers["Content-Type"], "application/openmetrics-text; version=1.0.0; charset=utf-8")
        self.assertTrue(body.endswith(b"# EOF\n"))
        parse(body.decode())

    def test_the_same_as_over_the_ordinary_socket(self):
        with Client(wire_case.daemon.socket) as client:
            text, cursor = b"", b""
            while page := client.call(get_metrics=pb.GetMetrics(format=pb.METRICS_TEXT, cursor=cursor)).metrics:
                text, cursor = text + page.text, page.next_cursor
                if not cursor:
                    break
        self.assertEqual(set(parse(text.decode())), set(parse(ask("/metrics")[1].decode())))

    def test_head_has_the_length_and_no_body(self):
        answer = raw(b"HEAD /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head, _, body = answer.partition(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"HTTP/1.1 200 "), head)
        self.assertGreater(int(re.search(rb"Content-Length: (\d+)", head)[1]), 1000)
        self.assertEqual(body, b"")

    def test_the_page_has_a_number_of_its_own_each_time(self):
        seen = set()
        for _ in range(2):
            response, body = ask("/")
            nonce = re.search(r"script-src 'nonce-([0-9a-f]{32})'", response.headers["Content-Security-Policy"])[1]
            self.assertEqual(body.count(b'nonce="%s"' % nonce.encode()), 2)
            self.assertNotIn(b"@NONCE@", body)
            self.assertIn("default-src 'none'", response.headers["Content-Security-Policy"])
            seen.add(nonce)
        self.assertEqual(len(seen), 2)

    def test_another_hosts_name_is_refused(self):
        """A page from elsewhere whose name has come to mean this machine must not read this one."""
        for host in ("evil.example", "evil.example:80", "localhost.evil.example", "128.0.0.1", "127.0.0.1.evil.example", "[::2]:1", ""):
            for path in ("/", "/metrics", "/state.json"):
                response, body = ask(path, headers={"Host": host})
                self.assertEqual(response.status, 421, (host, path))
                self.assertIn(b"localhost", body)
        for host in ("localhost", "LocalHost:80 ", "localhost:1", "127.0.0.1:9464", "127.1.2.3", "[::1]:9464"):
            self.assertEqual(ask("/", headers={"Host": host})[0].status, 200, host)

    def test_a_program_name_in_the_state_is_text(self):
        evil = b"</script><b>&\"\xff\x1b"
        with Client(wire_case.daemon.socket, name=evil) as client:
            client.call(create_region=pb.CreateRegion(handle=os.urandom(16), size=MIB))
            def is_there():
                return [r for r in metrics_case.state()["biggest"] if r["program"].startswith("</script>")]
            metrics_case.wait_until(is_there, "the region in the state")
            self.assertEqual(is_there()[0]["program"], "</script><b>&\"\ufffd\ufffd")
            self.assertNotIn(b"</script>", ask("/state.json")[1])


class RefusalTest(WireTest):
    def status_of(self, data, **arguments):
        answer = raw(data, **arguments)
        return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else None

    def test_nothing_else_is_there(self):
        for path in ("/x", "/metrics/", "/metrics/../metrics/x", "/state", "/%00", "/favicon.ico"):
            response, body = ask(path)
            self.assertEqual(response.status, 404, path)
            self.assertIn(b"/metrics", body)

    def test_only_reading_is_allowed(self):
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"):
            response, body = ask("/metrics", method=method)
            self.assertEqual((response.status, response.headers["Allow"]), (405, "GET, HEAD"), method)
            self.assertIn(b"nothing can be changed", body)
        self.assertEqual(self.status_of(b"BREW /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"), 405)

    def test_bodies_are_refused(self):
        self.assertEqual(ask("/metrics", method="POST", body=b"x" * 100)[0].status, 413)
        self.assertEqual(self.status_of(b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), 413)
        self.assertIn(self.status_of(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n"), (400, 413))

    def test_what_is_too_long_is_refused(self):
        for data in (b"GET /" + b"x" * 100000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b"G" * 100000,
                     b"GET / HTTP/1.1\r\nX: " + b"y" * 100000 + b"\r\n\r\n",
                     b"GET / HTTP/1.1\r\n" + b"".join(b"X%d: y\r\n" % i for i in range(20000)) + b"\r\n"):
            self.assertIn(self.status_of(data), (400, 431))

    def test_garbage_is_refused(self):
        for data in (b"\r\n\r\n", b"\0" * 100, b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"GET /\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
                     b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", os.urandom(5000), b"GET http://[::1 HTTP/1.1\r\n\r\n", b"GET  HTTP/1.1\r\n\r\n"):
            status = self.status_of(data, shut=True)
            self.assertIn(status, (None, 400, 404, 505), data[:40])

    def test_a_nul_is_refused_wherever_it_stands(self):
        for data in (b"GET /x HTTP/1.0\r\n\0", b"GET /x\0 HTTP/1.0\r\n\r\n", b"GET /x HTTP/1.0\r\nA: b\0c\r\n\r\n"):
            self.assertEqual(self.status_of(data), 400, data)

    def test_one_request_a_connection(self):
        answer = raw(b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50)
        self.assertEqual(answer.count(b"HTTP/1.1 404"), 1)
        self.assertIn(b"Connection: close", answer)


class CrowdTest(WireTest):
    def silent(self, n):
        crowd = []
        for _ in range(n):
            s = socket.socket()
            s.setblocking(False)
            self.addCleanup(s.close)
            error = s.connect_ex(("127.0.0.1", metrics_case.port()))
            self.assertIn(error, (0, errno.EINPROGRESS))
            crowd.append(s)
        return crowd

    def served(self):
        """How many connections the daemon has open there."""
        sockets = metrics_case.tcp_sockets(wire_case.daemon.process.pid)
        return sum(port == metrics_case.port() and not listens for port, listens in sockets)

    def test_thousands_of_silent_clients_take_a_few_places_and_go(self):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        self.silent(min(2000, most - 200))
        metrics_case.wait_until(lambda: self.served() == GUESTS, "the places are taken")
        most = 0
        with Client(wire_case.daemon.socket) as client:
            for _ in range(2000):
                client.call(get_usage=pb.GetUsage())
            most = self.served()
            handle = os.urandom(16)
            client.call(create_region=pb.CreateRegion(handle=handle, size=MIB))
            for size in range(2, 40):
                client.call(grow_region=pb.GrowRegion(handle=handle, size=size * MIB))
        self.assertLessEqual(most, GUESTS + 1)  # a new client is there for a moment before another makes room for it

    def test_the_client_that_came_first_makes_room_for_the_next(self):
        metrics_case.wait_until(lambda: self.served() == 0, "nobody is there")
        crowd = []
        for i in range(GUESTS):
            crowd += self.silent(1)
            metrics_case.wait_until(lambda n=i + 1: self.served() == n, "the next place is taken")
        crowd[0].send(b"G")  # it is the last one that would be sent away for its silence
        self.assertEqual(ask("/metrics")[0].status, 200)
        crowd[0].settimeout(60)
        self.assertEqual(crowd[0].recv(1), b"")
        self.assertEqual(select.select(crowd[1:], [], [], 0)[0], [])

    def test_who_sends_slowly_is_sent_away(self):
        """A byte each second keeps a connection alive for libevent; it has a deadline all the same."""
        with socket.create_connection(("127.0.0.1", metrics_case.port()), timeout=60) as s:
            ended = threading.Event()
            def drip():
                while not ended.wait(1):
                    try:
                        s.send(b"G")
                    except OSError:
                        return
            thread = threading.Thread(target=drip)
            thread.start()
            self.addCleanup(thread.join)
            self.addCleanup(ended.set)
            try:
                while s.recv(1000):
                    pass
            except ConnectionResetError:
                pass
        self.assertEqual(ask("/metrics")[0].status, 200)

    def test_who_does_not_read_is_sent_away(self):
        readers = []
        for _ in range(8):
            s = socket.socket()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            s.settimeout(60)
            s.connect(("127.0.0.1", metrics_case.port()))
            s.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.addCleanup(s.close)
            readers.append(s)
        self.assertEqual(ask("/metrics")[0].status, 200)

    def test_a_storm_of_requests_leaves_the_daemon_to_its_clients(self):
        ended = threading.Event()
        counts = [0] * 6
        def storm(i):
            while not ended.is_set():
                try:
                    ask(("/metrics", "/state.json", "/", "/x")[i % 4])
                    counts[i] += 1
                except OSError:
                    pass
        threads = [threading.Thread(target=storm, args=(i,)) for i in range(len(counts))]
        for t in threads:
            t.start()
        try:
            with Client(wire_case.daemon.socket) as client:
                handle = os.urandom(16)
                client.call(create_region=pb.CreateRegion(handle=handle, size=0))
                for i in range(300):
                    client.call(grow_region=pb.GrowRegion(handle=handle, size=(i + 1) * 65536))
        finally:
            ended.set()
            for t in threads:
                t.join()
        self.assertGreater(min(counts), 0)


class ListeningTest(unittest.TestCase):
    """Daemons of their own: where they listen, and what a reload changes."""

    def start(self, config):
        kept = wire_case.daemon
        self.addCleanup(lambda: setattr(wire_case, "daemon", kept))
        daemon = wire_case.Daemon(config)
        wire_case.daemon = daemon
        self.addCleanup(daemon.stop)
        return daemon

    def configure(self, line, daemon=None):
        text = wire_case.CONFIG.replace("keep_free = 0\n", "keep_free = 0\n" + line + "\n")
        if not daemon:
            return text
        n = daemon.log().count("the configuration was read again")
        daemon.configure(text)
        daemon.process.send_signal(signal.SIGHUP)
        metrics_case.wait_until(lambda: daemon.log().count("the configuration was read again") > n, "the reload")
        return text

    def directory(self):
        path = tempfile.mkdtemp(prefix="diskalloc-http-", dir=wire_case.BASE_DIR)
        self.addCleanup(shutil.rmtree, path)
        os.chmod(path, 0o755)
        return path

    def test_at_a_path_and_its_permissions(self):
        path = os.path.join(self.directory(), "metrics.sock")
        daemon = self.start(self.configure(f"metrics_listen = {path}\nadmin_group = daemon"))
        found = os.stat(path)
        self.assertEqual(stat.S_IMODE(found.st_mode), 0o660)
        if os.geteuid() == 0:
            self.assertEqual(found.st_gid, grp.getgrnam("daemon").gr_gid)
        response, body = ask("/metrics", at=path, headers={"Host": "localhost"})
        self.assertEqual(response.status, 200)
        parse(body.decode())
        self.configure(f"metrics_listen = {path}\nmetrics_socket_mode = 0600", daemon)
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        self.assertEqual(ask("/metrics", at=path)[0].status, 200)
        daemon.restart()
        self.assertEqual(ask("/metrics", at=path)[0].status, 200)

    def test_a_socket_that_a_killed_daemon_left_is_replaced_and_other_files_are_not(self):
        directory = self.directory()
        path = os.path.join(directory, "metrics.sock")
        daemon = self.start(self.configure(f"metrics_listen = {path}"))
        daemon.process.kill()
        daemon.process.wait()
        self.assertTrue(os.path.exists(path))
        daemon.start()
        self.assertEqual(ask("/metrics", at=path)[0].status, 200)
        other = os.path.join(directory, "file")
        with open(other, "w", encoding="ascii") as file:
            file.write("mine")
        self.configure(f"metrics_listen = {other}", daemon)
        metrics_case.wait_until(lambda: "the file there is not a socket" in daemon.log(), "the complaint")
        with open(other, encoding="ascii") as file:
            self.assertEqual(file.read(), "mine")
        self.assertFalse(os.path.exists(path))
        with Client(daemon.socket) as client:
            client.call(get_status=pb.GetStatus())

    def test_a_reload_moves_it_and_switches_it_off(self):
        daemon = self.start(self.configure("metrics_listen = localhost:0"))
        first = metrics_case.port()
        self.assertEqual(ask("/metrics", at=first)[0].status, 200)
        path = os.path.join(self.directory(), "metrics.sock")
        self.configure(f"metrics_listen = {path}", daemon)
        self.assertEqual(ask("/metrics", at=path)[0].status, 200)
        self.assertRaises(ConnectionRefusedError, ask, "/metrics", at=first)
        self.configure("metrics_listen = off", daemon)
        self.assertFalse(os.path.exists(path))
        self.configure("metrics_listen = [::1]:0", daemon)
        port = int(re.findall(r"served at http://\[::1\]:(\d+)/", daemon.log())[-1])
        with socket.create_connection(("::1", port), timeout=60) as s:
            s.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            self.assertTrue(s.recv(100).startswith(b"HTTP/1.1 200"))

    def test_an_address_that_is_taken_is_tried_again(self):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            daemon = self.start(self.configure(f"metrics_listen = 127.0.0.1:{port}"))
            self.assertIn(f"metrics_listen = 127.0.0.1:{port}: Address already in use; tried again every ten seconds", daemon.log())
            with Client(daemon.socket) as client:
                client.call(get_status=pb.GetStatus())
        metrics_case.wait_until(lambda: "metrics are served at" in daemon.log(), "the next try")
        self.assertEqual(ask("/metrics", at=port)[0].status, 200)

    def test_without_the_key_nothing_listens(self):
        daemon = self.start(wire_case.CONFIG)
        self.assertNotIn("metrics are served", daemon.log())
        kinds = [os.readlink(f"/proc/{daemon.process.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{daemon.process.pid}/fd")]
        self.assertLessEqual(sum(k.startswith("socket:") for k in kinds), 2)  # the socket of clients, and that of the log

    def test_clients_that_are_there_when_the_daemon_ends_do_not_hold_it_up(self):
        daemon = wire_case.Daemon(self.configure("metrics_listen = localhost:0"))
        kept, wire_case.daemon = wire_case.daemon, daemon
        crowd = [socket.create_connection(("127.0.0.1", metrics_case.port()), timeout=60) for _ in range(10)]
        for s in crowd[:5]:
            s.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wire_case.daemon = kept
        status, log = daemon.stop()
        self.assertEqual(status, 0, log)
        for s in crowd:
            s.close()


if __name__ == "__main__":
    wire_case.program = wire_case.take_argument() or wire_case.program
    wire_case.take_argument()
    unittest.main()
