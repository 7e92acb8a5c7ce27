"""What a form and a link say, before anybody asks whether it exists."""

import pytest

from gpu_spawner.core.errors import OptionError
from gpu_spawner.hub.form_fields import options_from_fields, options_from_link

pytestmark = pytest.mark.hosts


class TestForm:
    def test_a_tile_and_its_environment(self):
        fields = {
            "offer": ["gpus/h100/whole/2"],
            "profile-option-gpus--image": ["torch"],
            "profile-option-other--image": ["scipy"],
        }
        assert options_from_fields(fields) == {
            "profile": "gpus",
            "flavor": "h100",
            "share": "whole",
            "count": "2",
            "image": "torch",
        }

    def test_a_form_in_the_shape_of_kubespawner(self):
        fields = {"profile": ["gpus"], "profile-option-gpus--count": ["2"], "unknown": ["field"]}
        assert options_from_fields(fields) == {"profile": "gpus", "count": "2"}

    def test_an_option_of_the_form_cannot_change_the_tile(self):
        fields = {"offer": ["gpus/h100/whole/2"], "profile-option-gpus--count": ["8"]}
        assert options_from_fields(fields)["count"] == "2"

    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {"offer": []},
            {"offer": ["a/cpu", "b/cpu"]},
            {"offer_file": [{"filename": "x", "body": b"x"}]},
            {"offer": [""]},
            {"profile": [""]},
            {"other": ["x"]},
        ],
    )
    def test_no_choice_or_two_are_refused(self, fields):
        with pytest.raises(OptionError):
            options_from_fields(fields)


class TestLink:
    def test_every_option_is_a_text(self):
        assert options_from_link({"profile": ["gpus"], "count": ["2"], "image": [""]}) == {
            "profile": "gpus",
            "count": "2",
        }

    def test_the_prefix_is_taken_off_where_the_hub_has_not(self):
        query = {"opt-profile": ["gpus"], "opt-count": ["2"], "next": ["/elsewhere"]}
        assert options_from_link(query) == {"profile": "gpus", "count": "2"}

    def test_an_option_given_twice_is_refused(self):
        with pytest.raises(OptionError, match="more than once"):
            options_from_link({"profile": ["a", "b"]})

    def test_what_came_twice_is_quoted(self):
        with pytest.raises(OptionError) as caught:
            options_from_link({"x\r\nA": ["1", "2"]})
        assert caught.value.message == (
            "The option 'x\ufffd\ufffdA' came more than once, or not as text."
        )
