#!/usr/bin/env python3
"""Checks that the links of the book lead somewhere: links.py DIRECTORY."""

import html.parser
import pathlib
import sys
import urllib.parse


class Page(html.parser.HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.anchors = [], {""}
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if "id" in attributes:
            self.anchors.add(attributes["id"])
        if tag == "a" and "href" in attributes:
            self.links.append(attributes["href"])


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    pages = {path: Page(path) for path in root.glob("*.html") if path.name not in ("print.html", "404.html", "toc.html")}
    assert len(pages) > 5, "there are pages"
    broken = 0
    for path, page in pages.items():
        for link in page.links:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / urllib.parse.unquote(parts.path)).resolve() if parts.path else path
            reference = root / "api" in target.parents
            if reference and not (root / "api").exists():
                continue
            wrong = not target.exists() or target in pages and urllib.parse.unquote(parts.fragment) not in pages[target].anchors
            if wrong:
                broken += 1
                print(f"{path.name}: {link} leads nowhere", file=sys.stderr)
    sys.exit(1 if broken else 0)


main()
