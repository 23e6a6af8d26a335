"""A page in a real browser, driven over the pipe of Chromium's DevTools: no driver, no network."""

import base64
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
CHROMIUM = os.environ.get("KULLBACK_CHROMIUM") or next(
    (found for name in _NAMES if (found := shutil.which(name))), None
)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is found here")

#: Chromium reads from 3 and writes to 4, whatever is there.
_PIPED = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(v), fcntl.F_DUPFD, 10) for v in sys.argv[1:3]]
os.dup2(ends[0], 3), os.dup2(ends[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Browser:
    """One Chromium with one window; `said` is what its console said."""

    def __init__(self, place: Path):
        assert CHROMIUM is not None
        self.place, self.said, self._last, self._buffer = place, [], 0, b""
        (ours_in, theirs_out), (theirs_in, ours_out) = os.pipe(), os.pipe()
        self._in, self._out = ours_in, ours_out
        command = [sys.executable, "-c", _PIPED, str(theirs_in), str(theirs_out), CHROMIUM, "--headless", "--no-sandbox",
                   "--disable-gpu", "--remote-debugging-pipe", f"--user-data-dir={place / 'profile'}", "about:blank"]  # fmt: skip
        self._process = subprocess.Popen(
            command, pass_fds=(theirs_in, theirs_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        targets = self._call("Target.getTargets")["targetInfos"]
        target = next(t["targetId"] for t in targets if t["type"] == "page")
        self._session = None
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")

    def _call(self, method: str, **parameters):
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if getattr(self, "_session", None):
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            found = self._read()
            if found.get("id") == self._last:
                assert "error" not in found, found
                return found["result"]

    def _read(self):
        while b"\0" not in self._buffer:
            part = os.read(self._in, 1 << 16)
            assert part, "the browser has gone"
            self._buffer += part
        text, _, self._buffer = self._buffer.partition(b"\0")
        found = json.loads(text)
        match found.get("method"):
            case "Runtime.consoleAPICalled":
                self.said.append(found["params"]["args"])
            case "Runtime.exceptionThrown":
                self.said.append(found["params"]["exceptionDetails"])
            case "Log.entryAdded":
                self.said.append(found["params"]["entry"])
        return found

    def open(self, page: str, *, size=(1200, 900), dark=False, link="", touch=False):
        """Shows a page in a window of a size; the console starts anew."""
        file = self.place / "page.html"
        file.write_text(page, encoding="utf-8")
        self.said.clear()
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=size[0],
            height=size[1],
            deviceScaleFactor=1,
            mobile=touch,
        )
        self._call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}],
        )
        self._call("Page.navigate", url="about:blank")
        self._call("Page.navigate", url=f"{file.as_uri()}{'#' if link else ''}{link}")
        self.run(
            "if (document.readyState !== 'complete') await new Promise((r) => addEventListener('load', r));"
        )

    def run(self, script: str):
        """Returns what the body of an async function returns in the page."""
        keep = "(k, x) => (typeof x === 'number' && !Number.isFinite(x) ? String(x) : x)"
        wrapped = f"(async () => {{ {script} }})().then((v) => JSON.stringify(v, {keep}) ?? 'null')"
        found = self._call(
            "Runtime.evaluate", expression=wrapped, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return json.loads(found["result"]["value"])

    def mouse(self, kind: str, x: float, y: float):
        """Moves, presses or releases the mouse: "Moved", "Pressed", "Released"."""
        button = (
            {"button": "left", "buttons": 1, "clickCount": 1}
            if kind != "Moved"
            else {"button": "none", "buttons": 1}
        )
        self._call("Input.dispatchMouseEvent", type=f"mouse{kind}", x=x, y=y, **button)

    def key(self, name: str, code: int):
        """Presses a key and lets it go."""
        for kind in ("keyDown", "keyUp"):
            self._call(
                "Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code
            )

    def picture(self, path: Path):
        """Writes the whole page as it looks."""
        shot = self._call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self):
        self._process.terminate()
        self._process.wait(20)
        os.close(self._in)
        os.close(self._out)
