"""Measure the size of the explorer's page, and how soon Chromium shows it from disk.

    python bench/explorer.py [--page FILE] [--repeats 5] [--output explorer.json]

Without --page, the page of the paper's numbers (26 methods and five public models) is written first.
Each time is measured in a new browser profile by the browser's own clock, from the start of the
navigation until plot and leaderboard are drawn. The start of the browser is not included.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from nanogen.report.explorer import page

READY = "html[data-ready]"


def opened(path: Path, repeats: int) -> list[float]:
    """Return the seconds until the page is drawn, each in a new profile."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("Chromium is not installed; `apt-get install chromium`")
    times = []
    with sync_playwright() as playwright:
        for _ in range(repeats):
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            tab = browser.new_page(viewport={"width": 1280, "height": 900})
            tab.goto(path.as_uri())
            tab.wait_for_selector(READY)
            times.append(float(tab.locator(READY).get_attribute("data-ready")) / 1000)
            browser.close()
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--page", type=Path, help="a page that `nanogen explorer` wrote")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = args.page.resolve() if args.page else Path(folder) / "explorer.html"
        if not args.page:
            page.write(page.content(), path)
        times, size = opened(path, args.repeats), path.stat().st_size
    print(f"size {size / 1e6:.2f} MB")
    print(f"drawn after {statistics.median(times):.2f} s (median; {min(times):.2f} to {max(times):.2f})")
    if args.output:
        args.output.write_text(json.dumps({"bytes": size, "seconds": times}, indent=1) + "\n")


if __name__ == "__main__":
    main()
