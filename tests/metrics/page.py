#!/usr/bin/python3
"""The page, in a real browser: what it shows, that it follows the daemon and survives its restart, both themes, a phone, the keyboard."""

import os
import shutil
import sys
import unittest

import browser
import metrics_case
import wire_case
from browser import Browser
from disks_case import Disks
from wire_case import GROUP, MIB, USER
from wire_client import Client, Refused, pb

if not browser.program():
    print("skipped: chromium is not there", file=sys.stderr)
    sys.exit(77)

EVIL = b"<img src=x onerror=evil()>"
# A port that stays: the daemon is started anew, and the page must find it again.
PORT = None


def free_port():
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def setUpModule():
    global PORT
    PORT = free_port()
    config = metrics_case.CONFIG.replace("localhost:0", f"127.0.0.1:{PORT}")
    wire_case.start_daemon(config + f"[quota group:{GROUP}]\n" + "bytes = 100M\nsoft_bytes = 2M\n[quota cgroup:/batch.slice]\nbytes = 1G\n")


def tearDownModule():
    wire_case.stop_daemon()


class PageTest(unittest.TestCase):
    def setUp(self):
        self.client = Client(wire_case.daemon.socket, name=EVIL)
        self.addCleanup(self.client.close)
        self.handle = os.urandom(16)
        self.browser = Browser()
        self.addCleanup(self.browser.close)

    def create(self, size, handle=None):
        self.client.call(create_region=pb.CreateRegion(handle=handle or self.handle, size=size))

    def open(self):
        self.browser.go(f"http://127.0.0.1:{PORT}/")
        self.browser.wait_text("live", "#live")

    def row(self, selector, name):
        rows = self.browser.run(f"[...document.querySelectorAll('{selector} .row')].map(r => r.innerText)")
        return next((r for r in rows if r.startswith(name)), "")

    def test_it_shows_what_the_daemon_holds(self):
        self.create(12 * MIB)
        with self.assertRaises(Refused):
            self.client.call(grow_region=pb.GrowRegion(handle=self.handle, size=60 * MIB))
        self.open()
        self.browser.wait_for(lambda: "12 MiB of 64 MiB (18 %)" in self.row("#users", USER), self.row("#users", USER))
        self.assertIn("1 region", self.row("#users", USER))
        self.assertIn("refused", self.row("#users", USER))
        self.assertIn("12 MiB of 256 MiB", self.row("#groups", "Everybody"))
        group = next(r for r in self.browser.run("[...document.querySelectorAll('#groups .row')].map(r => r.innerText)") if "above the soft limit" in r)
        self.assertIn(GROUP, group)
        self.assertIn("/batch.slice", self.browser.text("#groups"))
        self.assertIn(wire_case.daemon.spill, self.browser.text("#disks"))
        self.assertRegex(self.browser.text("#disks"), "(hard|soft) guarantee")
        self.assertIn("Fences:", self.browser.text("#disks"))
        self.assertIn(f"user:{USER} region_bytes", self.browser.text("#refusals"))
        self.assertIn("48 MiB more than 12 MiB of 48 MiB", self.browser.text("#refusals"))
        self.assertIn(self.handle.hex()[:12], self.browser.text("#regions"))
        self.assertIn("create", self.browser.text("#operations"))
        self.assertEqual(self.browser.run("document.querySelectorAll('#charts svg').length"), 8)
        width = self.browser.run("document.querySelector('#users .bar i').style.width")
        self.assertEqual(width, "18.75%")
        self.assertEqual(self.browser.errors, [])

    def test_names_are_text_whatever_they_are(self):
        self.create(MIB)
        self.open()
        self.browser.wait_text(EVIL.decode(), "#regions")
        self.assertEqual(self.browser.run("document.images.length"), 0)
        self.assertEqual(self.browser.errors, [])

    def test_it_follows_the_daemon(self):
        self.create(MIB)
        self.open()
        self.browser.wait_for(lambda: "1 MiB of" in self.row("#users", USER), "the region")
        self.browser.run("window.stays = document.querySelector('#users .row')")
        self.client.call(grow_region=pb.GrowRegion(handle=self.handle, size=24 * MIB))
        self.browser.wait_for(lambda: "24 MiB of" in self.row("#users", USER), "the grown region")
        self.assertTrue(self.browser.run("window.stays.isConnected"))
        self.client.call(detach_region=pb.DetachRegion(handle=self.handle))
        self.browser.wait_for(lambda: "0 regions" in self.row("#users", USER), "the region's end")

    def test_it_says_when_the_daemon_is_gone_and_finds_it_again(self):
        self.open()
        wire_case.daemon.process.kill()
        wire_case.daemon.process.wait()
        self.client.close()
        self.browser.wait_text("The daemon is not reachable since", "#banner")
        self.assertIn("daemon not reachable", self.browser.text("#live"))
        # Opened while nobody listens, the browser has nothing to show; the page that is open stays.
        self.assertIn("Users", self.browser.text())
        wire_case.daemon.start()
        self.browser.wait_text("live", "#live")
        self.browser.wait_for(lambda: self.browser.run("document.getElementById('banner').hidden"), "the banner to go")
        self.browser.wait_text(f"pid {wire_case.daemon.process.pid}", "#about")

    def test_it_asks_nobody_else(self):
        self.open()
        self.browser.wait_for(lambda: sum(r.endswith("/state.json") for r in self.browser.asked()) >= 2, "two looks at the state")
        self.assertEqual({r for r in self.browser.requests if not r.startswith("data:")} -
                         {f"http://127.0.0.1:{PORT}/", f"http://127.0.0.1:{PORT}/state.json"}, set())
        # And could not: the policy forbids it.
        self.assertEqual(self.browser.run("fetch('http://127.0.0.2:1/').then(() => 'sent', e => 'refused')"), "refused")
        self.assertTrue([e for e in self.browser.errors if "Content Security Policy" in e], self.browser.errors)

    def background(self):
        return self.browser.run("getComputedStyle(document.body).backgroundColor")

    def contrast(self):
        """The lowest contrast between text and what is behind it, of the kinds of text that there are."""
        return self.browser.run("""(() => {
            const light = c => { const v = c.match(/[\\d.]+/g).slice(0, 3).map(n => n / 255).map(n => n <= .03928 ? n / 12.92 : ((n + .055) / 1.055) ** 2.4);
                                 return .2126 * v[0] + .7152 * v[1] + .0722 * v[2]; };
            const behind = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (!/, 0\\)$|transparent/.test(c)) return c; } };
            return Math.min(...[...document.querySelectorAll('h1,h2,.about,.live,dt,dd,small,.name,.amount,.notes span,th,td,.badge,button,footer')]
                .filter(e => e.innerText && !e.closest('.key')).map(e => { const a = light(getComputedStyle(e).color), b = light(behind(e));
                                                 return (Math.max(a, b) + .05) / (Math.min(a, b) + .05); }));
        })()""")

    def test_light_and_dark(self):
        self.create(MIB)
        self.browser.prefer("light")
        self.open()
        light = self.background()
        self.assertGreater(self.contrast(), 4.5)
        self.browser.prefer("dark")
        self.browser.wait_for(lambda: self.background() != light, "the dark theme")
        dark = self.background()
        self.assertGreater(self.contrast(), 4.5)
        # auto, light, dark
        self.browser.run("document.getElementById('theme').click()")
        self.assertEqual((self.background(), self.browser.text("#theme")), (light, "Theme: light"))
        self.browser.run("document.getElementById('theme').click()")
        self.assertEqual((self.background(), self.browser.text("#theme")), (dark, "Theme: dark"))
        self.browser.prefer("light")
        self.open()
        self.assertEqual(self.background(), dark, "the choice is kept")

    def test_a_phone_has_room_for_it(self):
        self.create(MIB)
        for width in (320, 390, 768):
            self.browser.resize(width, 640, mobile=width < 500)
            self.open()
            self.browser.wait_text(self.handle.hex()[:12], "#regions")
            self.assertLessEqual(self.browser.run("document.documentElement.scrollWidth"), width)
            cut = self.browser.run("[...document.querySelectorAll('main *:not(thead *)')].filter(e => e.getBoundingClientRect().right > innerWidth + 1).length")
            self.assertEqual(cut, 0, width)

    def test_the_keyboard_reaches_everything(self):
        self.open()
        self.browser.wait_for(lambda: self.browser.run("charts[0].values && charts[0].values.length > 0"), "a sample")
        reached = []
        for _ in range(16):
            self.browser.press("Tab")
            reached.append(self.browser.run("document.activeElement.className.baseVal || document.activeElement.id || document.activeElement.tagName.toLowerCase()"))
        for wanted in ("theme", "svg", "filter"):
            self.assertIn(wanted, reached)
        self.browser.run("document.querySelector('#charts svg').focus()")
        self.assertNotEqual(self.browser.run("getComputedStyle(document.activeElement).outlineStyle"), "none")
        self.browser.press("Home")
        self.assertIn("at the mark", self.browser.run("document.activeElement.getAttribute('aria-label')"))
        self.browser.press("Escape")
        self.assertNotIn("at the mark", self.browser.run("document.activeElement.getAttribute('aria-label')"))
        # Everything that can be reached or read has a name.
        self.assertEqual(self.browser.run("[...document.querySelectorAll('svg[role=img], [role=meter], input, button')].filter(e => !e.getAttribute('aria-label') && !e.innerText).length"), 0)

    def test_a_filter_finds_users(self):
        self.open()
        self.browser.wait_for(lambda: self.row("#users", USER), "the user")
        self.browser.run("document.getElementById('filter').value = 'nobody here'; document.getElementById('filter').dispatchEvent(new Event('input'))")
        self.assertEqual(self.browser.text("#users-note"), "No user is called so.")
        self.browser.run(f"document.getElementById('filter').value = '{USER[:3].upper()}'; document.getElementById('filter').dispatchEvent(new Event('input'))")
        self.assertTrue(self.row("#users", USER))


class DisksPageTest(unittest.TestCase):
    def test_a_disk_that_is_not_in_use_is_named_beside_the_others(self):
        daemon = Disks(text="[daemon]\nkeep_free = 0\nmetrics_listen = localhost:0\n")
        self.addCleanup(daemon.stop)
        shutil.rmtree(daemon.path("b"))
        daemon.restart()
        kept, wire_case.daemon = wire_case.daemon, daemon
        port, wire_case.daemon = metrics_case.port(), kept
        page = Browser()
        self.addCleanup(page.close)
        page.go(f"http://127.0.0.1:{port}/")
        page.wait_text("not in use", "#absent")
        self.assertIn(daemon.path("b"), page.text("#absent"))
        self.assertIn("No such file or directory", page.text("#absent"))
        self.assertIn(daemon.path("a"), page.text("#disks"))
        self.assertIn("Fences:", page.text("#disks"))
        self.assertNotIn(daemon.path("b"), page.text("#disks"))
        self.assertEqual(page.errors, [])


if __name__ == "__main__":
    wire_case.program = wire_case.take_argument() or wire_case.program
    unittest.main()
