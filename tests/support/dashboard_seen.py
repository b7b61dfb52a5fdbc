"""A dashboard as a browser shows it; runs in the environment of `requirements/bi/playwright.lock`.

Arguments: browser, address of Superset, path of the dashboard, user, password, file of the picture,
and the texts to wait for. Prints all text that is to be seen. Raises TimeoutError of Playwright
where a text does not appear within a minute.
"""

import sys

from playwright.sync_api import sync_playwright  # type: ignore[import-not-found]

WIDTH, HEIGHT = 1280, 1080
DEADLINE_MS = 60_000


def seen(arguments: list[str]) -> str:
    browser, url, path, user, password, file, *texts = arguments
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser)
        page = chromium.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.set_default_timeout(DEADLINE_MS)
        page.goto(f"{url}/login/")
        page.locator("#username").fill(user)
        page.locator("#password").fill(password)
        with page.expect_navigation():
            page.locator("button[type=submit]").click()
        page.goto(f"{url}{path}")
        for text in texts:
            page.get_by_text(text, exact=True).first.wait_for()
        page.screenshot(path=file)
        text = page.inner_text("body")
        chromium.close()
    return text


if __name__ == "__main__":
    sys.stdout.write(seen(sys.argv[1:]))
