"""What stands where on the spawn page, and what is said there."""

import pytest
from page_examples import (
    BUSY,
    COLD,
    IMPOSSIBLE,
    READY,
    UNKNOWN,
    all_unknown,
    page,
    pick,
    tile,
)

pytestmark = pytest.mark.hosts


def rows_of(card_number, **arguments):
    return page(**arguments).cards[card_number].rows


class TestRows:
    def test_a_profile_without_gpu_is_one_tile_without_a_heading(self):
        (row,) = rows_of(0)
        (only,) = row.tiles
        assert (row.title, only.title, only.key) == ("", "CPU only", "cpu/cpu")

    def test_flavors_are_rows_and_counts_are_columns(self):
        rows = rows_of(1)
        assert [row.title for row in rows] == [
            "Whichever is free first",
            "NVIDIA H100",
            "NVIDIA A100",
        ]
        assert [[one.title for one in row.tiles] for row in rows] == [
            ["1 GPU", "2 GPUs", "4 GPUs"]
        ] * 3

    def test_a_flavor_says_its_memory_and_what_is_free(self):
        row = rows_of(1)[1]
        assert row.subtitle == "80 GB of GPU memory"
        assert row.summary == "5 of 16 GPUs free"
        assert row.percent == 31

    def test_whichever_says_between_what(self):
        assert rows_of(1)[0].subtitle == "NVIDIA H100 or NVIDIA A100"

    def test_shares_of_one_flavor_are_columns_with_their_memory(self):
        slices, shared = rows_of(2)
        assert [(one.title, one.subtitle) for one in slices.tiles] == [
            ("1g.10gb", "10 GB"),
            ("3g.40gb", "40 GB"),
        ]
        assert shared.subtitle.startswith("Shared GPU, with up to 3 others")

    def test_isolation_is_said_once_where_it_is_the_same_everywhere(self):
        shown = page()
        assert "yours alone" in shown.cards[1].isolation
        assert {row.isolation for row in shown.cards[1].rows} == {""}
        assert shown.cards[2].isolation == ""
        assert "take turns" in shown.cards[2].rows[1].isolation


class TestTiles:
    @pytest.mark.parametrize(
        ("given", "shown"),
        [
            ((READY, 3, 4, "3 of 4 free"), ("ready", "3 of 4 free", "starts now")),
            ((BUSY, 0, 4, "All 4 are in use"), ("busy", "busy", "")),
            ((IMPOSSIBLE, 0, 0, "No node has these"), ("impossible", "none", "")),
            (UNKNOWN, ("unknown", "not known", "may have to wait")),
        ],
    )
    def test_state_and_number_in_words(self, given, shown):
        one = tile(page({"whole/h100/whole/2": given}), "whole/h100/whole/2")
        assert (one.state, one.label, one.detail) == shown

    def test_an_image_that_must_be_pulled_is_said_with_the_time(self):
        one = tile(
            page({"cpu/cpu": (COLD, 3, 4, "3 of 4 free")}, cold_images=("scipy",)), "cpu/cpu"
        )
        assert (one.state, one.detail) == ("cold", "+3 min to pull the image")

    def test_the_other_image_may_be_there_already(self):
        shown = page(cold_images=("torch",))
        one = tile(shown, "whole/h100/whole/1")
        assert one.state == "cold"
        assert one.images == (("old", "ready", "3 of 4 free", "starts now", ""),)
        other = tile(
            page(cold_images=("torch",), selected=pick("whole/h100/whole/1", "old")),
            "whole/h100/whole/1",
        )
        assert other.state == "ready"
        assert other.images == (("torch", "cold", "3 of 4 free", "+3 min to pull the image", ""),)

    def test_only_the_impossible_is_closed(self):
        shown = page(
            {
                "whole/h100/whole/1": (BUSY, 0, 4, "All 4 are in use"),
                "whole/h100/whole/2": (IMPOSSIBLE, 0, 0, "No node has these"),
                "whole/h100/whole/4": UNKNOWN,
            }
        )
        closed = [key for key, one in shown.tiles().items() if one.is_disabled]
        assert closed == ["whole/h100/whole/2"]

    def test_keys_and_ids_are_unique(self):
        shown = page()
        tiles = [one for card in shown.cards for row in card.rows for one in row.tiles if one]
        assert len({one.id for one in tiles}) == len({one.key for one in tiles}) == len(tiles)


class TestReasons:
    def test_the_same_reason_is_said_once_with_all_its_tiles(self):
        why = "5 GPUs are free, but no more than 1 on one node"
        row = rows_of(
            1,
            states={
                "whole/h100/whole/2": (BUSY, 0, 4, why),
                "whole/h100/whole/4": (BUSY, 0, 2, why),
            },
        )[1]
        assert [(note.what, note.text) for note in row.notes] == [("2 and 4 GPUs", why)]

    def test_a_reason_for_the_whole_row_names_no_tiles(self):
        states = {
            f"whole/h100/whole/{count}": (BUSY, 0, 4, "All 4 are in use") for count in (1, 2, 4)
        }
        (note,) = rows_of(1, states=states)[1].notes
        assert (note.what, note.text) == ("", "All 4 are in use")

    def test_what_starts_now_needs_no_reason(self):
        assert all(not row.notes for card in page().cards for row in card.rows)

    def test_a_full_preselection_names_what_would_start(self):
        full = {"whole/h100/whole/4": (BUSY, 0, 2, "Both are in use")}
        shown = page(full, selected=pick("whole/h100/whole/4"))
        assert shown.notice is not None
        assert shown.notice.what == "4 \N{MULTIPLICATION SIGN} NVIDIA H100"
        assert shown.notice.because == "Both are in use"
        assert shown.notice.alternative is not None
        assert shown.notice.alternative.phrase == "4 \N{MULTIPLICATION SIGN} NVIDIA A100"

    def test_no_notice_where_the_preselection_starts(self):
        assert page(selected=pick("whole/h100/whole/4")).notice is None

    def test_nothing_known_is_said_once_for_the_page(self):
        shown = page(all_unknown(), age_seconds=None)
        assert shown.unknown == "Unknown: the hub may not list nodes"
        assert shown.age == "What is free is not known"
        assert all(not row.notes for card in shown.cards for row in card.rows)


class TestWords:
    def test_a_server_says_what_it_gets(self):
        assert page().cards[0].facts == ("1 to 4 CPU cores", "4 to 8 GB memory")

    def test_an_environment_says_its_facts(self):
        image = page().cards[1].image
        assert (image.title, image.facts) == (
            "PyTorch (CUDA 13)",
            "PyTorch 2.9 · CUDA 13.0 · 9.8 GB download",
        )

    @pytest.mark.parametrize(
        ("seconds", "words"),
        [
            (0, "Numbers as of now"),
            (3, "Numbers as of 3 s ago"),
            (119, "Numbers as of 119 s ago"),
            (180, "Numbers as of 3 min ago"),
        ],
    )
    def test_age(self, seconds, words):
        assert page(age_seconds=seconds).age == words

    @pytest.mark.parametrize(
        ("key", "phrase"),
        [
            ("cpu/cpu", "Data science on CPU"),
            ("whole/h100/whole/2", "2 \N{MULTIPLICATION SIGN} NVIDIA H100"),
            ("whole/any/whole/1", "1 \N{MULTIPLICATION SIGN} whichever GPU is free first"),
            ("slice/a100/mig-1g.10gb/1", "1g.10gb slice of NVIDIA A100"),
            ("slice/t4/replica/1", "1 share of NVIDIA T4"),
        ],
    )
    def test_a_choice_alone(self, key, phrase):
        assert tile(page(), key).phrase == phrase
