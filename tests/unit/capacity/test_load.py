"""How many tasks of a load may wait for a slot."""

from __future__ import annotations

from tests.unit.capacity.helpers import made


class TestWaitingRoom:
    def test_long_tasks_have_room_by_count(self):
        for duration_s in (0.3, 600):
            found = made(duration_s=duration_s, look_ahead=1.5)
            assert found.waiting_most == -(-found.slots // 2)

    def test_short_tasks_have_room_by_time(self):
        """0.25 s of work a slot, which is two and a half of 0.1 s, beside a quarter by count."""
        found = made(rate=100, duration_s=0.1)
        assert found.load.waiting_per_slot == 2.75
        assert found.waiting_most == -(-11 * found.slots // 4)

    def test_the_room_of_a_slot_has_a_maximum(self):
        assert made(rate=100, duration_s=0.001).load.waiting_per_slot == 4.0
        assert made(rate=100, duration_s=0.001, look_ahead_most=8.0).load.waiting_per_slot == 8.0

    def test_no_room_by_time_when_the_setting_is_0(self):
        assert made(rate=100, duration_s=0.001, look_ahead_s=0.0).load.waiting_per_slot == 0.25

    def test_short_tasks_need_fewer_slots_for_their_polls(self):
        """40.4 claims in flight and a fresh poll of each activity, 5 a slot."""
        assert made(rate=400, duration_s=0.001, activities=40).slots == 17
        assert made(rate=400, duration_s=0.001, activities=40, look_ahead_s=0.0).slots == 65
