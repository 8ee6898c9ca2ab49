#!/usr/bin/env python3
"""Two pages of the chat in a real browser, by its DevTools: python3 browser.py URL COMMAND...

Both join a room and talk; while they do, COMMAND runs, several times (it reloads the business group). No page may see its
WebSocket end or a second one begin, each must show every line of both, in order, and markup only as text.
"""
import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

try:
    import websockets
except ImportError:
    print("no Python package websockets (Debian: python3-websockets)")
    sys.exit(77)

BROWSER = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium"))), None)
if BROWSER is None:
    print("no Chromium (Debian: chromium-headless-shell)")
    sys.exit(77)

ROUNDS = 4
LINES = 40  # of each page, for each round, or more until its reload is over
MARKUP = "<img src=x onerror=\"document.title='broken in'\"><b>bold</b>"

# In each page before its own script: counts what becomes of its WebSockets.
COUNTING = """
window.opened = 0; window.ended = 0; window.faults = [];
const Plain = window.WebSocket;
window.WebSocket = class extends Plain {
  constructor(...given) { super(...given); ++window.opened; this.addEventListener("close", () => ++window.ended); window.lastSocket = this; }
};
window.addEventListener("error", (event) => window.faults.push(event.message));
window.addEventListener("securitypolicyviolation", (event) => window.faults.push(event.violatedDirective));
"""


class DevTools:
    """The browser's end of the DevTools protocol: one socket, commands by number."""

    def __init__(self, socket):
        self.socket, self.last, self.waiting = socket, 0, {}
        self.reader = asyncio.create_task(self.read())

    async def read(self):
        async for text in self.socket:
            message = json.loads(text)
            waiter = self.waiting.pop(message.get("id"), None)
            if waiter and not waiter.done():
                waiter.set_result(message)

    async def call(self, method, session=None, **parameters):
        self.last += 1
        number, waiter = self.last, asyncio.get_running_loop().create_future()
        self.waiting[number] = waiter
        message = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        await self.socket.send(json.dumps(message))
        answer = await asyncio.wait_for(waiter, 30)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]


class Page:
    def __init__(self, devtools, session, name):
        self.devtools, self.session, self.name = devtools, session, name

    @classmethod
    async def open(cls, devtools, url, name):
        # A context of its own, as another person's browser is.
        context = (await devtools.call("Target.createBrowserContext"))["browserContextId"]
        target = (await devtools.call("Target.createTarget", url="about:blank", browserContextId=context))["targetId"]
        session = (await devtools.call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        page = cls(devtools, session, name)
        await devtools.call("Page.enable", session)
        await devtools.call("Page.addScriptToEvaluateOnNewDocument", session, source=COUNTING)
        await devtools.call("Page.navigate", session, url=url)
        await page.until("document.readyState === 'complete' && window.opened === 0")
        return page

    async def run(self, script):
        result = await self.devtools.call("Runtime.evaluate", self.session, expression=script, returnByValue=True)
        assert "exceptionDetails" not in result, (self.name, result)
        return result["result"].get("value")

    async def until(self, condition, seconds=60):
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while not await self.run(condition):
            assert loop.time() < end, f"{self.name}: not so within {seconds} s: {condition}; {await self.state()}"
            await asyncio.sleep(0.02)

    async def state(self):
        return await self.run("document.getElementById('state').textContent + ' / ' + document.getElementById('lines').textContent.slice(-300)")

    async def join(self, room):
        await self.run(f"document.getElementById('name').value = {json.dumps(self.name)};"
                       f"document.getElementById('room').value = {json.dumps(room)};"
                       "document.getElementById('join').requestSubmit()")
        await self.until("document.getElementById('state').textContent.startsWith('in ')")

    async def say(self, text):
        await self.run(f"document.getElementById('text').value = {json.dumps(text)}; document.getElementById('say').requestSubmit()")

    async def lines(self, speaker):
        """The texts of what this one has said, as the page shows it."""
        texts = await self.run("[...document.querySelectorAll('#lines li:not(.note):not(.waits)')]"
                               ".map((line) => [line.querySelector('bdi').textContent, line.querySelector('span').textContent])")
        return [text for who, text in texts if who == speaker]


async def talk(page, first, last, reloaded):
    """The number of the first line that is not said."""
    number = first
    while number < last or not reloaded.is_set():
        await page.say(f"{page.name} {number}")
        # A person sees a line before the next one is typed.
        await page.until("document.querySelectorAll('#lines .waits').length === 0")
        number += 1
        if number >= last:
            # Slowly: a page shows the last 500 lines only.
            await asyncio.sleep(0.2)
    return number


async def run_command(command):
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, output.decode()


async def hears(page, speaker, first, last):
    """What the page shows last of this one are exactly the lines from number `first` to `last`, in order."""
    said = [f"{speaker} {number}" for number in range(first, last)]
    await page.until(f"document.getElementById('lines').textContent.includes({json.dumps(said[-1])})")
    shown = (await page.lines(speaker))[-len(said):]
    assert shown == said, (page.name, speaker, shown)


async def over_reloads(ann, bob, command):
    pages = (ann, bob)
    done = [0, 0]
    for _ in range(ROUNDS):
        reloaded = asyncio.Event()
        talking = asyncio.gather(*(talk(page, first, first + LINES, reloaded) for page, first in zip(pages, done)))
        try:
            # In the midst of the talk.
            await ann.until(f"document.getElementById('lines').textContent.includes('bob {done[1] + 2}')")
            await run_command(command)
        finally:
            reloaded.set()
        now = await talking
        for page in pages:
            for speaker, first, last in zip(("ann", "bob"), done, now):
                await hears(page, speaker, first, last)
            assert await page.run("[window.opened, window.ended]") == [1, 0], page.name
        done = now
    return sum(done)


async def markup_and_private(ann, bob):
    await ann.say(MARKUP)
    await bob.until(f"document.getElementById('lines').textContent.includes({json.dumps(MARKUP)})")
    await bob.say("/to ann psst")
    await ann.until("document.querySelector('#lines .private')?.textContent.includes('bob to youpsst')")
    for page in (ann, bob):
        assert await page.run("document.querySelectorAll('#lines img, #lines b').length") == 0
        assert await page.run("document.title") == "chat"
        assert await page.run("window.faults") == [], page.name


async def lost_connection(ann, bob):
    """A page whose line breaks comes back by itself, and misses nothing."""
    await ann.run("document.getElementById('text').value = 'said in the dark';"
                  "window.lastSocket.onclose({code: 1006}); document.getElementById('say').requestSubmit()")
    await bob.say("while you were away")
    for page in (ann, bob):
        for text in ("said in the dark", "while you were away"):
            await page.until(f"document.getElementById('lines').textContent.includes({json.dumps(text)})")
    assert await ann.run("window.opened") == 2
    assert (await bob.lines("ann")).count("said in the dark") == 1


async def address_of(browser, folder):
    """Where its DevTools listen: it writes that down once they do."""
    loop = asyncio.get_running_loop()
    end = loop.time() + 60
    while True:
        try:
            with open(os.path.join(folder, "DevToolsActivePort")) as file:
                port, path = file.read().split()
            return f"ws://127.0.0.1:{port}{path}"
        except (FileNotFoundError, ValueError):
            assert browser.poll() is None, f"the browser has ended with status {browser.returncode}"
            assert loop.time() < end, "the browser was not there within 60 s"
            await asyncio.sleep(0.05)


async def main(url, command):
    folder = tempfile.mkdtemp(prefix="browser-")
    # No sandbox: it does not start as root. The pages are ours. A session of its own: all its processes end together.
    browser = subprocess.Popen(
        [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--remote-debugging-port=0",
         f"--user-data-dir={folder}", "about:blank"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        env={**os.environ, "HOME": folder})
    try:
        async with websockets.connect(await address_of(browser, folder), max_size=2**24, compression=None) as socket:
            devtools = DevTools(socket)
            ann, bob = [await Page.open(devtools, url, name) for name in ("ann", "bob")]
            # Nothing was said there before.
            room = f"storm {os.getpid()}"
            await ann.join(room)
            await bob.join(room)
            lines = await over_reloads(ann, bob, command)
            await markup_and_private(ann, bob)
            await lost_connection(ann, bob)
            devtools.reader.cancel()
        print(f"{BROWSER}: {lines} lines in {ROUNDS} reloads")
    finally:
        os.killpg(browser.pid, signal.SIGKILL)
        browser.wait()
        shutil.rmtree(folder, ignore_errors=True)


asyncio.run(asyncio.wait_for(main(sys.argv[1], sys.argv[2:]), 200))
