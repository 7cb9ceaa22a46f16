"""SIGKILL at any moment: nothing is lost, and only what was on its way just then can arrive twice."""

import asyncio
import os
import random
import re
import threading
import time
from collections import Counter, defaultdict

import pytest

from slack_notification import workers
from tests.quick import quick_directory, read_rows
from tests.world import PROCESS_TIMEOUT_SECONDS, finish

KILLS = int(os.environ.get("KILLS", "30"))
RECORDS = 80
CHANNELS = 40
LONG_EVERY = 5  # one in so many messages is a long one
LONG_WORDS = 800  # of 11 characters: four parts
CALLS_BEFORE_A_KILL = [3, 60, 100, 140, 180, 250, 320, 400]

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of another kind")


class Books:
    """What stands at Slack and what the journal knew of it. A post is (record, number of its first word)."""

    def __init__(self, world):
        self.world = world
        self.seen = 0  # messages that runs before this one posted
        self.answered = set()  # posts of which a killed run's journal had Slack's answer, and OneVizion no SUCCESS yet
        self.in_flight = set()  # posts that had arrived when a run was killed, and whose answer the journal had not

    def posts(self):
        """Return the posts as they arrived: (channel, post)."""
        found = [(each.channel, re.search(r"(\d+)-(\d{5})", each.text)) for each in list(self.world.slack.messages)]
        return [(channel, (int(words.group(1)), int(words.group(2)))) for channel, words in found]

    def look(self, directory):
        """Look at what a killed run leaves behind.

        A channel gets its next post only when the journal has the answer to the one before. So only the last post of
        each channel may be missing in it, and of those no more than posts are made at once.
        """
        # What the killed run had sent may still be in the stand-in's sockets.
        asyncio.run_coroutine_threadsafe(asyncio.sleep(4 * self.world.slack.delay), self.world.slack._loop).result()
        posts, rows = self.posts(), read_rows(directory)
        last, missing = dict(posts), set()
        parts = {}  # of each record, in their order
        for _, post in posts:
            parts.setdefault(post[0], set()).add(post)
        for channel, post in posts[self.seen :]:
            row = rows.get(post[0])
            if self.world.onevizion.status(post[0]) == "SUCCESS":
                continue
            if row is not None and sorted(parts[post[0]]).index(post) < row.posted:
                self.answered.add(post)
                continue
            assert last[channel] == post, "the next part was begun before the answer to this one was in the journal"
            missing.add(post)
        assert len(missing) <= workers.WORKERS
        self.in_flight |= missing

    def twice(self):
        """Return the posts that stand at Slack more than once, and how often too much."""
        return {post: times - 1 for post, times in Counter(post for _, post in self.posts()).items() if times > 1}


def test_no_kill_loses_a_record_and_nothing_arrives_twice_but_what_was_on_its_way(world, record_property):
    chance = random.Random(20261124)
    for number in range(CHANNELS):
        world.slack.add_channel("c%d" % number)
    world.slack.delay = 0.005  # so that more is on its way
    books, kill_at = Books(world), Countdown(world)
    kills = runs = 0
    while kills < KILLS:
        world.onevizion.hides_sending = not world.onevizion.hides_sending
        records = add_records(world, len(world.onevizion.records))
        killed = True
        while killed:
            books.seen = len(world.slack.messages)
            killed = run_and_kill(world, chance, kill_at)
            runs += 1
            kills += killed
            if killed:
                books.look(world.path)
        assert {world.onevizion.status(record) for record in records} == {"SUCCESS"}
        assert read_rows(world.path) == {}
        words = words_at_slack(world)
        for record in records:
            assert words[record] == set(range(words_of(record))), "a part of a message was lost"
    twice = books.twice()
    text = (
        "%d kills in %d runs, %d posts of %d records: lost 0; of %d posts whose answer had reached the program "
        "when it was killed %d arrived twice, of %d that were on their way %d"
    )
    reached = books.answered - books.in_flight
    numbers = (len(reached), len(reached & set(twice)), len(books.in_flight), sum(twice.values()))
    record_property("measured", text % ((kills, runs, len(set(books.posts())), len(world.onevizion.records)) + numbers))
    assert set(twice) <= books.in_flight, "a post arrived twice though Slack's answer had reached the program"
    assert books.answered, "no kill came between an answer and its SUCCESS: this proves nothing"


def words_of(record):
    return LONG_WORDS if record % LONG_EVERY == 0 else 1


def add_records(world, first):
    """Queue records whose every word names the record and the word's number; return their ids."""
    records = [world.record("c%d" % (number % CHANNELS)) for number in range(RECORDS)]
    for record, raw in zip(records, world.onevizion.records[first:]):
        raw["msg"] = " ".join("%d-%05d" % (record, word) for word in range(words_of(record)))
    return records


def words_at_slack(world):
    """Return the numbers of the words that stand there, by record."""
    words = defaultdict(set)
    for message in list(world.slack.messages):
        for record, word in re.findall(r"(\d+)-(\d{5})", message.text):
            words[int(record)].add(int(word))
    return words


class Countdown:
    """Tells when so many calls have arrived at the two services."""

    def __init__(self, world):
        self.left = 0
        self.now = threading.Event()
        for server in (world.onevizion, world.slack):
            server.on(".", self.count)

    def start(self, calls):
        self.left = calls
        self.now.clear()

    def count(self, call):
        self.left -= 1
        if self.left <= 0:
            self.now.set()


def run_and_kill(world, chance, kill_at):
    """Run the program, kill it a moment after a random call, and return whether it was killed."""
    kill_at.start(chance.choice(CALLS_BEFORE_A_KILL))
    moment = chance.random() * 0.02

    def kill():
        kill_at.now.wait(PROCESS_TIMEOUT_SECONDS)
        time.sleep(moment)
        process.kill()

    process = world.start(cwd=quick_directory(world))
    killer = threading.Thread(target=kill)
    killer.start()
    run = finish(process)
    kill_at.now.set()
    killer.join()
    assert run.status in (0, -9), run.console
    return run.status != 0
