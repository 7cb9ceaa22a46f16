"""The queues of the sandbox: one that shows what the program can do and what can go wrong, and ordinary ones."""

import html
from typing import Any, Callable, List, NamedTuple, Optional

from .onevizion import OneVizion
from .server import Call
from .slack import Slack

POST = "POST /api/chat.postMessage"

# Slack answers the records of one round so far apart that the output comes in the same order at every run.
ORDER_SECONDS = 0.1

HTML_MAIL = """<html><head><style>td {border: 1px solid}</style></head><body>
<p>Dear board,</p>
<p>the <b>second quarter</b> closed with <i>all</i> milestones met:</p>
<table>
<tr><th>Region</th><th>Sites</th><th>On air</th></tr>
<tr><td>North &amp; East</td><td>41</td><td>38</td></tr>
<tr><td>South</td><td>17</td><td>17</td></tr>
</table>
<ul><li>Permits: <a href="https://example.com/permits?year=2026&amp;quarter=2">overview</a></li>
<li>No open claims</li></ul>
</body></html>"""

LONG_TEXT = "\n".join(
    "Site {}: tower, fence & cabinet inspected; next inspection in {} days.".format(1200 + n, 30 + n % 60)
    for n in range(90)
)


READY = """Site 1204 (Miller Road) passed its final check on Monday.

Crew: North 2, from 8:00 at gate B
Permit: BP-2026-0417, valid until 30 November
Plan of the site: https://maps.example.com/?site=1204"""

# The users' names, in the order of the scenes.
PEOPLE = ("jdoe", "asmith", "mgarcia", "lchen", "pnovak", "tbrown", "okim", "rsingh", "eweber", "dsilva", "hmeyer")


class Scene(NamedTuple):
    """A record of the queue, what it shows, and the status to be expected of it after the run."""

    record: int
    shows: str
    status: str


class Stage:
    """Adds scenes to a queue, each with a user of its own."""

    def __init__(self, onevizion: OneVizion) -> None:
        self.onevizion = onevizion
        self.scenes: List[Scene] = []

    def add(
        self, shows: str, typed: Optional[str], subj: str, msg: str, expected: str = "SUCCESS", **record: Any
    ) -> None:
        """Queue a notification for a new user whose channel field holds `typed`."""
        user_id = self.onevizion.add_user(typed, key=PEOPLE[len(self.scenes) % len(PEOPLE)])
        record_id = self.onevizion.add_record(user_id, subj, msg, **record)
        self.scenes.append(Scene(record_id, shows, expected))


def seed(onevizion: OneVizion, slack: Slack) -> List[Scene]:
    """Fill both stand-ins with about ten scenes, good and bad."""
    slack.add_channel("ops")
    board = slack.add_channel("board", private=True)
    reports = slack.add_channel("reports")
    slack.add_channel("permits")
    slack.add_channel("old-project", archived=True)
    slack.add_channel("alerts")
    slack.add_channel("deliveries")
    person = slack.add_person()
    files = [
        onevizion.add_file("permit 1204.pdf", b"%PDF-1.4 permit" * 2000, "application/pdf"),
        onevizion.add_file("contract.docx", b"not for everybody"),
        onevizion.add_file("site photo.jpg", b"\xff\xd8\xff photo" * 9000, "image/jpeg"),
        onevizion.add_file("Site 1204 plan.pdf", b"%PDF-1.4 plan of the site" * 5000, "application/pdf"),
    ]
    onevizion.fault("GET /api/v3/files/{}$".format(files[1]), times=None, status=403, body="Forbidden")

    stage = Stage(onevizion)
    plan = files.pop()
    stage.add(
        "a public channel; an attachment",
        "#ops",
        "Site 1204 is ready for construction",
        READY,
        blob_ids=[plan],
    )
    stage.add("a private channel, by ID; an HTML mail", board, "Quarterly report", HTML_MAIL, html=True)
    stage.add(
        "a link copied from Slack; a text of {:,} characters".format(len(LONG_TEXT)),
        "https://acme.slack.com/archives/" + reports,
        "Inspections",
        LONG_TEXT,
    )
    stage.add("a direct message", person, "Task assigned", "Lease review of site 1210 is yours, due on Friday.")
    stage.add(
        "attachments, one of them not readable",
        "permits",
        "Permit granted",
        "The city has approved site 1204.",
        blob_ids=files,
    )
    stage.add("a channel that does not exist", "#opps", "Site 1205 is ready", "Ready for construction.", "FAIL")
    stage.add("an archived channel", "old-project", "Site 17 is on air", "Congratulations.", "FAIL")
    stage.add("a user without a channel", None, "Welcome", "You now get notifications in Slack.", "FAIL")
    stage.add("Slack fails once (500)", "alerts", "Power failure", "Site 1188 runs on battery.")
    stage.add("Slack is busy once (429)", "deliveries", "Crane delivered", "At site 1204, gate B.")
    stage.add("the same channel again; markup in data", "ops", "R&D visit <!channel>", "Bring <badges> & helmets.")
    stage.add("not yet complete in OneVizion", "ops", "Draft", "", "BUILDING", status="BUILDING")

    once = {
        "Power failure": {"status": 500, "body": "Internal Server Error"},
        "Crane delivered": {"status": 429, "headers": {"Retry-After": "1"}},
    }
    for position, record in enumerate(onevizion.records):
        about, delay = mentions(record["subj"]), ORDER_SECONDS * position
        if record["subj"] in once:
            slack.fault(POST, where=about, delay=delay, **once[record["subj"]])
        slack.fault(POST, times=None, where=about, delay=delay)
    return stage.scenes


def seed_ordinary(onevizion: OneVizion, slack: Slack, records: int, channels: int) -> List[Scene]:
    """Fill both stand-ins with plain messages, dealt out to the channels in turn."""
    users = []
    for number in range(1, channels + 1):
        name = "channel-{}".format(number)
        slack.add_channel(name)
        users.append(onevizion.add_user(name))
    scenes = []
    for number in range(records):
        subj = "Notification {}".format(number + 1)
        record = onevizion.add_record(users[number % channels], subj, "Nothing needs to be done.")
        scenes.append(Scene(record, "an ordinary message", "SUCCESS"))
    return scenes


def mentions(words: str) -> Callable[[Call], bool]:
    """A predicate for faults: whether a post's text, as people read it, holds these words."""
    return lambda call: words in html.unescape(str(call.form.get("text", "")))
