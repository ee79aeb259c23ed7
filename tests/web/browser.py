"""Pages in headless Chromium, driven by the scripts of ``web/test``."""

import contextlib
import functools
import http.server
import json
import shutil
import subprocess
import threading

from tests.helpers import ROOT

REMEDY = "install Node.js and Chromium (on Debian: apt-get install nodejs npm chromium), then: make test-web"


def need_browser():
    """Returns the path of Chromium; fails, and does not skip, if a program is missing."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert browser, f"there is no Chromium: {REMEDY}"
    assert shutil.which("node"), f"there is no Node.js: {REMEDY}"
    assert (ROOT / "web" / "node_modules" / "playwright-core").exists(), "run: npm ci --prefix web"
    return browser


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serve(folder):
    """Serves a folder on a free port, as ``python -m http.server`` does; yields its address."""
    handler = functools.partial(QuietHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def drive(script, *arguments):
    """Runs a script of ``web/test`` in Chromium; returns what it prints."""
    command = ["node", ROOT / "web" / "test" / script, need_browser(), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
