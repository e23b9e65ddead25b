"""Use the page in headless Chromium as a visitor does, over a stub gallery; print what was seen.

python browser_program.py FOLDER CHROMIUM

FOLDER has images named as Market-1501's in `gallery`, `query.jpg`, and `bad.jpg`, which is none.
Screenshots are left in it. The last line that is printed is JSON.
"""

import json
import pathlib
import re
import socket
import sys

from playwright.sync_api import sync_playwright
from stub_gallery import StubGallery

from daaf_tf.demo.page import build_page, serve

INPUT = "#file input[type=file]"
SIZES = {"wide": (1280, 900), "narrow": (400, 900)}


def make_gallery(folder):
    names = [(path, re.match(r"(-?\d+)_c(\d+)", path.name)) for path in folder.iterdir()]
    entries = sorted((path, int(found[1]), int(found[2])) for path, found in names)
    return StubGallery(entries, threshold=0.5)


def find_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def visit(page, url, folder, seen):
    """Load, ask, move the threshold, ask with a bad file, and ask again."""
    page.goto(url)
    page.wait_for_selector(INPUT, state="attached")
    page.set_input_files(INPUT, folder / "query.jpg")
    page.wait_for_selector("#hits .daaf-card img")
    seen["verdict"] = page.inner_text("#verdict")
    seen["cards"] = page.locator("#hits .daaf-card").all_inner_texts()
    seen["overlays"] = page.locator("#overlays .daaf-card").all_inner_texts()
    page.fill("#threshold input[type=number]", "0")
    page.press("#threshold input[type=number]", "Enter")
    page.wait_for_function("!document.querySelector('#verdict .daaf-known')")
    seen["verdict at 0"] = page.inner_text("#verdict")
    page.click("#threshold button")
    page.wait_for_selector("#verdict .daaf-known")
    page.screenshot(path=folder / f"{seen['name']}.png", full_page=True)
    seen["too wide"] = page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    page.click("#file button[aria-label='Clear']")
    page.wait_for_selector(INPUT, state="attached")
    page.set_input_files(INPUT, folder / "bad.jpg")
    page.wait_for_selector("#verdict .daaf-error")
    seen["bad"] = page.inner_text("#verdict")
    seen["cards of the bad"] = page.locator("#hits .daaf-card").count()
    page.screenshot(path=folder / f"{seen['name']}_bad.png", full_page=True)
    page.click("#file button[aria-label='Clear']")
    page.wait_for_selector(INPUT, state="attached")
    page.set_input_files(INPUT, folder / "query.jpg")
    page.wait_for_selector("#hits .daaf-card img")
    seen["cards afterwards"] = page.locator("#hits .daaf-card").count()


def main():
    folder, chromium = pathlib.Path(sys.argv[1]), sys.argv[2]
    page = build_page(make_gallery(folder / "gallery"))
    url = serve(page, host="127.0.0.1", port=find_port(), block=False)
    visits, elsewhere, errors = [], [], []

    def note(request):
        if not request.url.startswith((url, "data:", "blob:")):
            elsewhere.append(request.url)

    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-quic"]
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        for name, (width, height) in SIZES.items():
            tab = browser.new_page(viewport={"width": width, "height": height})
            tab.on("request", note)
            tab.on("pageerror", lambda error: errors.append(str(error)))
            visits.append({"name": name})
            visit(tab, url, folder, visits[-1])
        browser.close()
    page.close()
    print(json.dumps({"visits": visits, "elsewhere": elsewhere, "errors": errors}))


if __name__ == "__main__":
    main()
