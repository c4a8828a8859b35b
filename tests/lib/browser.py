"""Chromium without a window, driven over a pipe (its DevTools protocol): no other package is needed."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

DEADLINE_SECONDS = 120
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
# What the browser would ask its maker for by itself.
QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps", "--no-first-run",
         "--disable-features=Translate,OptimizationHints,MediaRouter", "--metrics-recording-only", "--disable-gpu", "--disable-dev-shm-usage",
         "--hide-scrollbars", "--force-color-profile=srgb"]


def program():
    return next((path for name in PROGRAMS if (path := shutil.which(name))), None)


class Browser:
    """One tab.  `requests` are the addresses that it has asked for, `errors` what its console has complained of."""

    def __init__(self, width=1180, height=900):
        self.dir = tempfile.mkdtemp(prefix="diskalloc-browser-")
        theirs_in, self.out = os.pipe()
        self.inp, theirs_out = os.pipe()
        theirs = [fcntl.fcntl(fd, fcntl.F_DUPFD, 20) for fd in (theirs_in, theirs_out)]
        os.close(theirs_in)
        os.close(theirs_out)
        self.buffer, self.last_id, self.requests, self.errors = b"", 0, [], []

        # The browser reads its orders from 3, and writes to 4.
        with open(os.path.join(self.dir, "log"), "wb") as log:
            self.process = subprocess.Popen(
                ["bash", "-c", f'exec "$@" 3<&{theirs[0]} 4>&{theirs[1]}', "bash", program(), "--headless=new", "--remote-debugging-pipe", f"--user-data-dir={self.dir}/profile", *QUIET,
                 *(["--no-sandbox"] if os.geteuid() == 0 else []), f"--window-size={width},{height}", "about:blank"],
                pass_fds=theirs, stdout=log, stderr=log, env=os.environ | {"HOME": self.dir})
        for fd in theirs:
            os.close(fd)
        targets = self.wait_for(lambda: [t for t in self.send("Target.getTargets")["targetInfos"] if t["type"] == "page"])
        self.session = None
        self.session = self.send("Target.attachToTarget", targetId=targets[0]["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(domain + ".enable")
        self.resize(width, height)

    def close(self):
        self.process.kill()
        self.process.wait(DEADLINE_SECONDS)
        os.close(self.inp)
        os.close(self.out)
        shutil.rmtree(self.dir, ignore_errors=True)

    def read_message(self):
        while b"\0" not in self.buffer:
            if not select.select([self.inp], [], [], DEADLINE_SECONDS)[0]:
                raise TimeoutError("the browser does not answer")
            part = os.read(self.inp, 1 << 20)
            if not part:
                with open(os.path.join(self.dir, "log"), encoding="utf-8", errors="replace") as log:
                    raise EOFError("the browser has ended:\n" + log.read())
            self.buffer += part
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def note(self, message):
        method, params = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(params["entry"]["text"])

    def send(self, method, **params):
        self.last_id += 1
        message = {"id": self.last_id, "method": method, "params": params}
        if getattr(self, "session", None):
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.read_message()
            if answer.get("id") == self.last_id:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.note(answer)

    def wait_for(self, condition, what="the browser"):
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not (found := condition()):
            if time.monotonic() > deadline:
                raise AssertionError(f"in vain: {what}")
            time.sleep(0.02)
        return found

    def go(self, address):
        self.send("Page.navigate", url=address)
        self.wait_for(lambda: self.run("document.readyState") == "complete", address)

    def run(self, script):
        """The value of a script."""
        result = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{script}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def asked(self):
        """The addresses that it has asked for so far."""
        self.run("0")  # whatever it has told comes before the answer
        return self.requests

    def text(self, selector="body"):
        return self.run(f"document.querySelector({json.dumps(selector)}).innerText")

    def wait_text(self, wanted, selector="body"):
        self.wait_for(lambda: wanted in (self.text(selector) or ""), f"{wanted!r} in {selector}: {self.text(selector)!r}")

    def resize(self, width, height, mobile=False):
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)

    def prefer(self, scheme):
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def press(self, key):
        codes = {"Tab": 9, "Enter": 13, "ArrowLeft": 37, "Home": 36, "Escape": 27}
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=codes[key], **(text if kind == "keyDown" else {}))

    def shoot(self, path, whole=False):
        image = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        with open(path, "wb") as file:
            file.write(base64.b64decode(image["data"]))
