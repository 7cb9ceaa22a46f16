"""SIGKILL at any moment: the next runs deliver what was not delivered, and only posts in flight can arrive twice."""

import os
import random
import threading
from collections import Counter

import pytest

from slack_notification import onevizion_api
from tests.world import PROCESS_TIMEOUT_SECONDS, finish

KILLS = int(os.environ.get("KILLS", "30"))
RECORDS = 80
CHANNELS = 40

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of another kind")


def test_no_kill_loses_a_record_and_only_posts_in_flight_arrive_twice(world, capsys):
    chance = random.Random(20261124)
    for number in range(CHANNELS):
        world.slack.add_channel("c%d" % number)
    kills = runs = doubles = in_flight = 0
    while kills < KILLS:
        first = len(world.onevizion.records)
        records = [world.record("c%d" % (number % CHANNELS), subj="record") for number in range(RECORDS)]
        for record, raw in zip(records, world.onevizion.records[first:]):
            raw["msg"] = "This is %d." % record
        while True:
            killed, begun = run_and_kill(world, chance)
            runs += 1
            kills += killed
            in_flight += begun
            if not killed:
                break
        arrived = Counter(message.text.split("This is ")[1].split(".")[0] for message in world.slack.messages)
        assert set(arrived) >= {str(record) for record in records}, "a record was lost"
        assert all(world.onevizion.status(record) == "SUCCESS" for record in records)
        doubles = sum(arrived.values()) - len(arrived)
    with capsys.disabled():
        text = "\n%d kills in %d runs, %d records: lost 0, twice %d (at most %d were in flight)\n"
        print(text % (kills, runs, len(world.onevizion.records), doubles, in_flight))
    assert doubles <= in_flight


def run_and_kill(world, chance):
    """Run the program and kill it at a random call; return whether it was, and how many records were in flight then.

    A record is in flight from its SENDING to its SUCCESS.
    """
    calls = iter(range(chance.choice([5, 60, 120, 200, 300])))
    now = threading.Event()

    def count(call):
        if next(calls, None) is None:
            now.set()
        return False

    world.onevizion.clear_faults()
    world.slack.clear_faults()
    world.onevizion.fault(".", times=0, where=count)
    world.slack.fault(".", times=0, where=count)
    process = world.start()
    killer = threading.Thread(target=lambda: now.wait(PROCESS_TIMEOUT_SECONDS) and process.kill())
    killer.start()
    run = finish(process)
    killed = run.status != 0
    now.set()
    killer.join()
    assert run.status in (0, -9), run.console
    in_flight = sum(1 for status in world.onevizion.statuses.values() if status == "SENDING") if killed else 0
    assert in_flight <= onevizion_api.WORKERS
    return killed, in_flight
