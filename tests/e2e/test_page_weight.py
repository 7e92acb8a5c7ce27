"""What a user loads beside JupyterHub's own page, with the profiles that are shipped."""

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.hosts, pytest.mark.timeout(300)]


def test_ours_is_under_sixty_kilobytes_on_the_wire(sign_in):
    page = sign_in("weigher")
    html = page.evaluate("fetch('').then((answer) => answer.text())")
    begins, ends = html.index('<link rel="stylesheet" href="/hub/gpu-spawner'), "defer></script>"
    ours = html[begins : html.index(ends, begins) + len(ends)]
    assert ours.count('type="radio"') > 40
    files = page.evaluate(
        """performance.getEntriesByType("resource")
            .filter((one) => one.name.includes("/gpu-spawner/static/"))
            .map((one) => [one.name, one.encodedBodySize])"""
    )
    assert len(files) == 2
    assert len(ours.encode()) + sum(size for _, size in files) < 60_000
    # Nothing comes from elsewhere.
    origins = page.evaluate(
        """performance.getEntriesByType("resource").map((one) => new URL(one.name).origin)"""
    )
    assert set(origins) == {page.evaluate("location.origin")}
