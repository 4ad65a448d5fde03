"""axe-core, which finds what keeps people with a screen reader, without a mouse or with weak eyes out of a page."""

from functools import cache
from pathlib import Path

from playwright.async_api import Page

_SCRIPT = Path(__file__).parents[2] / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
_SERIOUS = ("serious", "critical")

_RUN = """async () => {
  const { violations } = await axe.run(document, { resultTypes: ["violations"] });
  return violations.map(({ id, impact, nodes }) => ({
    id, impact, nodes: nodes.map(({ target, failureSummary }) => `${target.join(" ")}: ${failureSummary}`),
  }));
}"""


@cache
def _script() -> str:
    return _SCRIPT.read_text()


async def expect_accessible(page: Page) -> None:
    """Fail on everything that axe calls serious or critical."""
    # Evaluated, not added as an element: the page's policy lets no other script in.
    await page.evaluate(_script())
    found = await page.evaluate(_RUN)
    serious = [
        f"{item['id']} ({item['impact']})\n    " + "\n    ".join(item["nodes"])
        for item in found
        if item["impact"] in _SERIOUS
    ]
    assert not serious, f"{page.url}\n" + "\n".join(serious)
