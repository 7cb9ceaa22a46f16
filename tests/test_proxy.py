"""The proxy leads the services' real addresses to the stand-ins, and refuses as companies' proxies do."""

import json
import os
import ssl
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.sandbox.onevizion import OneVizion
from tests.sandbox.proxy import Proxy
from tests.sandbox.slack import Slack

OV = "https://example.onevizion.com"
OV_AUTH = {"Authorization": "Bearer test-access-key:test-secret-key"}
SLACK_AUTH = {"Authorization": "Bearer xoxb-test-token"}
TIMEOUT_SECONDS = 10


@pytest.fixture
def proxy():
    with OneVizion() as onevizion, Slack() as slack, Proxy(onevizion, slack) as running:
        running.onevizion, running.slack = onevizion, slack
        yield running
        assert onevizion.errors == slack.errors == []


def ask(proxy, method, url, **options):
    """One request through the proxy that knows its authority."""
    environment = proxy.environment()
    options.setdefault("verify", environment["REQUESTS_CA_BUNDLE"])
    with requests.Session() as session:
        session.trust_env = False
        session.proxies = {"https": environment["HTTPS_PROXY"]}
        with session.request(method, url, timeout=TIMEOUT_SECONDS, **options) as answer:
            return answer


def test_every_host_of_the_services_is_answered_by_its_stand_in_with_a_certificate_of_its_own(proxy):
    proxy.onevizion.add_record()
    queue = ask(proxy, "GET", OV + "/api/internal/notif/queue?service_id=7", headers=OV_AUTH)
    assert [record["notifQueueId"] for record in queue.json()] == [4711]
    assert ask(proxy, "GET", "https://acme.onevizion.com/nothing").status_code == 404
    hosts = ["slack.com", "slack-gov.com", "files.slack.com"]
    for host in hosts:
        assert ask(proxy, "POST", f"https://{host}/api/auth.test", headers=SLACK_AUTH).json()["ok"]
    assert proxy.hosts == [
        "example.onevizion.com",
        "acme.onevizion.com",
        "slack.com",
        "slack-gov.com",
        "files.slack.com",
    ]
    assert proxy.unknown == []


def test_without_the_authority_no_connection_is_trusted(proxy):
    with pytest.raises(requests.exceptions.SSLError):
        ask(proxy, "GET", OV, verify=True)
    assert proxy.onevizion.calls == []


def test_a_file_comes_from_the_object_storage_through_the_proxy_without_the_token(proxy):
    blob = proxy.onevizion.add_file("plan.pdf", b"\x00content" * 50000)
    answer = ask(proxy, "GET", f"{OV}/api/v3/files/{blob}", headers=OV_AUTH)
    assert answer.content == b"\x00content" * 50000
    assert answer.url.startswith("https://storage.example.net/")
    assert proxy.onevizion.storage.leaked == []


def test_an_upload_goes_to_the_host_for_files(proxy):
    content = b"x" * 300000
    arguments = {"filename": "a.txt", "length": len(content)}
    api = "https://slack.com/api/files."
    ticket = ask(proxy, "POST", api + "getUploadURLExternal", headers=SLACK_AUTH, data=arguments).json()
    assert ticket["upload_url"].startswith("https://files.slack.com/")
    assert ask(proxy, "POST", ticket["upload_url"], data=content).status_code == 200
    files = json.dumps([{"id": ticket["file_id"]}])
    assert ask(proxy, "POST", api + "completeUploadExternal", headers=SLACK_AUTH, data={"files": files}).json()["ok"]
    assert proxy.slack.files[0].content == content


def test_many_clients_at_once_each_get_their_own_answers_whole(proxy):
    blob = proxy.onevizion.add_file("plan.pdf", bytes(range(256)) * 400)

    def fetch(_):
        with requests.Session() as session:
            session.trust_env, session.verify = False, proxy.ca_file
            session.proxies = {"https": proxy.url}
            for _ in range(10):
                url = f"{OV}/api/v3/files/{blob}"
                answer = session.get(url, headers=OV_AUTH, timeout=TIMEOUT_SECONDS)
                assert answer.content == bytes(range(256)) * 400
                url = "https://slack.com/api/auth.test"
                answer = session.post(url, data=b"x" * 50000, headers=SLACK_AUTH, timeout=TIMEOUT_SECONDS)
                assert answer.json()["ok"]
        return "whole"

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(fetch, range(16))) == {"whole"}


def test_a_proxy_with_a_password_answers_407_to_whoever_does_not_give_it(proxy):
    proxy.user, proxy.password = "ann", "secret"
    assert ask(proxy, "POST", "https://slack.com/api/auth.test", headers=SLACK_AUTH).json()["ok"]
    without = proxy.url
    proxy.environment = lambda: {"HTTPS_PROXY": without, "REQUESTS_CA_BUNDLE": proxy.ca_file}
    with pytest.raises(requests.exceptions.ProxyError, match="407"):
        ask(proxy, "GET", OV)
    assert proxy.hosts == ["slack.com"]


def test_a_barred_host_is_answered_403_and_the_others_are_not(proxy):
    proxy.barred = ["files.slack.com"]
    with pytest.raises(requests.exceptions.ProxyError, match="403"):
        ask(proxy, "GET", "https://files.slack.com/")
    assert ask(proxy, "GET", "https://slack.com/").status_code == 404
    assert proxy.hosts == ["slack.com"]


def test_an_unknown_host_is_answered_502_and_remembered(proxy):
    with pytest.raises(requests.exceptions.ProxyError, match="502"):
        ask(proxy, "GET", "https://files.slack.com.example.org/")
    assert proxy.unknown == ["files.slack.com.example.org"]
    assert proxy.hosts == []


def test_a_cut_connection_reaches_the_client_as_one(proxy):
    proxy.slack.fault("auth.test", cut="before")
    with pytest.raises(requests.exceptions.ConnectionError):
        ask(proxy, "POST", "https://slack.com/api/auth.test", headers=SLACK_AUTH)


def test_its_environment_leads_a_process_of_its_own_through_the_proxy_whatever_was_set_before(proxy):
    code = "import requests; print(requests.get({!r}, timeout=10).status_code)".format(OV + "/nothing")
    before = dict(os.environ, NO_PROXY="*", no_proxy="*", CURL_CA_BUNDLE="/nowhere", https_proxy="http://127.0.0.1:9")
    environment = dict(before, **proxy.environment())
    assert subprocess.check_output([sys.executable, "-c", code], env=environment).split() == [b"404"]
    assert proxy.onevizion.unknown == ["GET /nothing"]


def test_after_its_end_the_authority_is_gone_and_the_services_hand_out_their_own_addresses():
    with OneVizion() as onevizion, Slack() as slack:
        with Proxy(onevizion, slack) as running:
            assert ssl.create_default_context(cafile=running.ca_file).get_ca_certs()
        assert not os.path.exists(running.ca_file)
        assert onevizion.storage.address(1).startswith("http://localhost:")
        assert slack.upload_host is None
        with pytest.raises(requests.exceptions.ProxyError):
            ask(running, "GET", OV, verify=True)
