"""Every mechanism and shape, compiled: reviewed files, and what a real API server would say.

Run with ``UPDATE_GOLDEN=1`` to write the files anew, and review the difference.
"""

import json
import os
from typing import Any

import kubernetes_validate
import pytest
import yaml
from catalog_builders import REPOSITORY
from every_way import EVERYTHING, selections_of

from gpu_spawner.core.catalog.compile import PodFragment, compile_ways
from gpu_spawner.core.catalog.mechanisms import MECHANISMS
from gpu_spawner.core.catalog.model import Profile
from gpu_spawner.core.catalog.site_pod import SitePod, claims_of, request_of, settings_of
from gpu_spawner.core.devices.cel import compile_selector
from gpu_spawner.sim.apiserver.rules.device_rules import check_template, default_template_claim

GOLDEN = REPOSITORY / "tests" / "golden" / "catalog" / "ways"
FRAGMENTS = [
    pytest.param(fragment, id=f"{key} {fragment.selection.mechanism}")
    for profile in EVERYTHING.profiles
    for key, selection in selections_of(profile).items()
    for fragment in compile_ways(EVERYTHING, selection)
]


def written(fragment: PodFragment) -> dict[str, Any]:
    """Write a way as a reviewer reads it: what is set, what is claimed, in plain JSON."""
    settings = settings_of(fragment, SitePod())
    for name in ("environment", "image"):
        settings.pop(name)
    labels = settings.pop("extra_labels")
    others = {key: value for key, value in labels.items() if "gpu-spawner" not in key}
    found = {
        "mechanism": fragment.selection.mechanism,
        **settings,
        **({"extra_labels": others} if others else {}),
        "claims": [
            {"name": one.name, "for": one.containers, "spec": one.template.spec}
            for one in claims_of(fragment)
        ],
    }
    return {key: value for key, value in found.items() if value not in ([], None)}


@pytest.mark.parametrize("profile", EVERYTHING.profiles, ids=lambda profile: profile.slug)
def test_what_each_way_is(profile: Profile) -> None:
    found = {
        key.partition("/")[2]: [written(way) for way in compile_ways(EVERYTHING, selection)]
        for key, selection in selections_of(profile).items()
    }
    text = yaml.safe_dump(json.loads(json.dumps(found)), sort_keys=True, width=100)
    path = GOLDEN / f"{profile.slug}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text


def test_every_mechanism_is_among_them() -> None:
    used = {name for fragment in FRAGMENTS for name in fragment.values[0].selection.mechanisms}
    assert used == set(MECHANISMS)


@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_templates_are_accepted_by_the_api_server(fragment: PodFragment) -> None:
    for claim in claims_of(fragment):
        template = {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaimTemplate",
            "metadata": {"name": claim.template.name, "namespace": "hub"},
            "spec": {"spec": json.loads(json.dumps(claim.template.spec))},
        }
        default_template_claim(template)
        assert list(check_template(template)) == []
        for request in claim.template.spec["devices"]["requests"]:
            for asked in request.get("firstAvailable") or [request["exactly"]]:
                for selector in asked.get("selectors", ()):
                    compile_selector(selector["cel"]["expression"])


@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_sidecars_and_tolerations_are_accepted(fragment: PodFragment) -> None:
    terms = list(fragment.required_terms)
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "it",
            "labels": dict(fragment.labels),
            "annotations": dict(fragment.annotations),
        },
        "spec": {
            "containers": [
                {
                    "name": "notebook",
                    "image": fragment.image,
                    "resources": {
                        "limits": {
                            name: str(amount)
                            for name, amount in fragment.extended_resources.items()
                        },
                        "claims": [
                            {"name": claim.name}
                            for claim in claims_of(fragment)
                            if "notebook" in claim.containers
                        ],
                    },
                },
                *fragment.sidecars,
            ],
            "tolerations": [one.as_manifest() for one in fragment.tolerations],
            "resourceClaims": [
                {"name": claim.name, "resourceClaimTemplateName": claim.template.name}
                for claim in claims_of(fragment)
            ],
            **(
                {
                    "affinity": {
                        "nodeAffinity": {
                            "requiredDuringSchedulingIgnoredDuringExecution": {
                                "nodeSelectorTerms": terms
                            }
                        }
                    }
                }
                if terms
                else {}
            ),
        },
    }
    kubernetes_validate.validate(pod, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_what_is_counted_is_what_is_claimed(fragment: PodFragment) -> None:
    request = request_of(fragment, SitePod())
    assert not request.unknown
    assert [claim.name for claim in request.claims] == [one.name for one in claims_of(fragment)]
    assert request.fraction == fragment.fraction
    if fragment.fraction is None:
        for name, amount in fragment.devices.items():
            assert request.requests.amount(name) == amount


@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_no_value_of_a_secret_is_ever_written(fragment: PodFragment) -> None:
    for container in fragment.sidecars:
        for variable in container.get("env", ()):
            if variable["name"] == "NGC_API_KEY":
                assert variable == {
                    "name": "NGC_API_KEY",
                    "valueFrom": {"secretKeyRef": {"name": "ngc", "key": "api-key"}},
                }
