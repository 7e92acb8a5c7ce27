"""What a user loads beside JupyterHub's own page, with the profiles that are shipped."""

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.hosts, pytest.mark.timeout(300)]


def test_ours_is_under_sixty_kilobytes(sign_in):
    # Who may pick from all ten profiles, and before anything is compressed.
    page = sign_in("ada")
    assert page.locator(".gs-card").count() == 10
    html = page.evaluate("fetch('').then((answer) => answer.text())")
    begins, ends = html.index('<link rel="stylesheet" href="/hub/gpu-spawner'), "defer></script>"
    ours = html[begins : html.index(ends, begins) + len(ends)]
    assert ours.count('type="radio"') > 40
    files = page.evaluate(
        """performance.getEntriesByType("resource")
            .filter((one) => one.name.includes("/gpu-spawner/static/"))
            .map((one) => [one.name, one.decodedBodySize])"""
    )
    assert len(files) == 2
    assert len(ours.encode()) + sum(size for _, size in files) < 60_000
    # Nothing comes from elsewhere.
    origins = page.evaluate(
        """performance.getEntriesByType("resource").map((one) => new URL(one.name).origin)"""
    )
    assert set(origins) == {page.evaluate("location.origin")}
