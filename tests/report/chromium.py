"""A page in a real browser: headless Chromium, driven by the DevTools protocol over two pipes."""

import base64
import json
import os
import pathlib
import select
import shutil
import subprocess
from typing import Any

PATIENCE = 60  # seconds
NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'chrome')


def find() -> str | None:
    """Return the path of a Chromium, or of the one that CHROMIUM names; None where there is none."""
    return next(filter(None, map(shutil.which, (os.environ.get('CHROMIUM', ''), *NAMES))), None)


class Page:
    """A page that is open in a browser of its own.

    Args:
        profile: a folder for the browser.
    """

    def __init__(self, profile: pathlib.Path) -> None:
        read_commands, self._write = os.pipe()
        self._read, write_answers = os.pipe()
        flags = '--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --hide-scrollbars --remote-debugging-pipe'
        # The protocol is on the descriptors 3 and 4.
        shell = f'exec "$0" {flags} --user-data-dir="$1" about:blank 3<&{read_commands} 4>&{write_answers}'
        self._process = subprocess.Popen(
            ['bash', '-c', shell, find(), str(profile)],
            pass_fds=(read_commands, write_answers), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(read_commands)
        os.close(write_answers)
        self._number, self._waiting, self.events = 0, b'', []
        self._session = None
        target = self.call('Target.createTarget', url='about:blank')['targetId']
        self._session = self.call('Target.attachToTarget', targetId=target, flatten=True)['sessionId']
        for domain in ('Page', 'Network', 'Runtime', 'Log', 'Accessibility', 'DOM'):
            self.call(f'{domain}.enable')

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        os.close(self._read)
        os.close(self._write)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        asked = {'id': self._number, 'method': method, 'params': params}
        asked |= {'sessionId': self._session} if self._session else {}
        os.write(self._write, json.dumps(asked).encode() + b'\0')
        while True:
            found = self._next()
            if found.get('id') == self._number:
                assert 'error' not in found, (method, found['error'])
                return found['result']
            self.events.append(found)

    def _next(self) -> dict[str, Any]:
        while b'\0' not in self._waiting:
            assert select.select([self._read], [], [], PATIENCE)[0], 'the browser does not answer'
            more = os.read(self._read, 1 << 20)
            assert more, 'the browser has ended'
            self._waiting += more
        line, _, self._waiting = self._waiting.partition(b'\0')
        return json.loads(line)

    def open(self, path: pathlib.Path, anchor: str = '', width: int = 1200, height: int = 900) -> None:
        """Open a file, as wide as that, and wait until it has loaded."""
        self.resize(width, height)
        self.call('Page.navigate', url='about:blank')  # else an anchor alone would load nothing
        self.run('new Promise((done) => setTimeout(done, 0))')
        self.events.clear()
        self.call('Page.navigate', url=f'{path.absolute().as_uri()}{anchor}')
        while not any(event.get('method') == 'Page.loadEventFired' for event in self.events):
            self.events.append(self._next())

    def resize(self, width: int, height: int = 900) -> None:
        self.call(
            'Emulation.setDeviceMetricsOverride',
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def media(self, kind: str = '', **features: str) -> None:
        """Show the page as on `print`, or with features such as prefers_color_scheme='dark'."""
        named = [{'name': name.replace('_', '-'), 'value': value} for name, value in features.items()]
        self.call('Emulation.setEmulatedMedia', media=kind, features=named)

    def run(self, script: str) -> Any:
        """Return what an expression of JavaScript gives."""
        found = self.call('Runtime.evaluate', expression=script, returnByValue=True, awaitPromise=True)
        assert 'exceptionDetails' not in found, found['exceptionDetails']
        return found['result'].get('value')

    def press(self, key: str, text: str = '') -> None:
        codes = {'Tab': 9, 'Enter': 13, ' ': 32}
        named = {'key': key, 'windowsVirtualKeyCode': codes.get(key, 0), 'text': text}
        self.call('Input.dispatchKeyEvent', type='keyDown', **named)
        self.call('Input.dispatchKeyEvent', type='keyUp', **named)

    def requests(self) -> list[str]:
        """Return what was asked of the network or the disk since the page was opened."""
        sent = [event for event in self.events if event.get('method') == 'Network.requestWillBeSent']
        return [event['params']['request']['url'] for event in sent]

    def errors(self) -> list[str]:
        """Return what the console has said."""
        names = ('Runtime.exceptionThrown', 'Log.entryAdded')
        return [json.dumps(event['params']) for event in self.events if event.get('method') in names]

    def picture(
        self, path: pathlib.Path, selector: str = '', x: int = 0, y: int = 0, width: int = 0, height: int = 0
    ) -> None:
        """Take a picture: of the whole page, an element or a part."""
        clip = {'x': x, 'y': y, 'width': width, 'height': height, 'scale': 1}
        if not width:
            box = f'document.querySelector({selector or "html"!r}).getBoundingClientRect()'
            found = self.run(
                f'(({{x, y, width, height}}) => ({{x: x + scrollX, y: y + scrollY, width, height}}))({box})'
            )
            clip |= found
        shot = self.call('Page.captureScreenshot', format='png', captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(shot['data']))

    def printed(self) -> bytes:
        """Return the page as a PDF."""
        return base64.b64decode(self.call('Page.printToPDF', preferCSSPageSize=True)['data'])
