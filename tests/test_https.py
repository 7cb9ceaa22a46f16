"""The program unchanged, with the real addresses, through an HTTPS proxy; and what companies have around it."""

import importlib.util
import os
import stat

import pytest

from slack_notification import packages
from tests.sandbox.directory import make_directory, mark_packages
from tests.sandbox.onevizion import ABSENT
from tests.sandbox.proxy import ONEVIZION_HOST, STORAGE_HOST, Proxy
from tests.sandbox.scenes import seed
from tests.world import World, finish

OPTIONAL = ("maxAttempts", "nextAttemptDelay", "uploadAttachments")
HUSH = "hush-hush"


class Internet(World):
    """Both services under their real addresses. `settings` are laid over the example's with its keys filled in."""

    def __init__(self, path):
        super().__init__(path)
        self.settings = {}
        self.proxy = Proxy(self.onevizion, self.slack)

    def __enter__(self):
        super().__enter__()
        self.proxy.__enter__()
        return self

    def __exit__(self, *exception):
        self.proxy.__exit__(*exception)
        super().__exit__(*exception)

    def directory(self):
        return make_directory(self.path, self.onevizion, self.slack, self.scheduled, https=True, **self.settings)

    def run_process(self, *arguments, **changes):
        """Run the program as a process of its own, with these changes to the variables that lead to the proxy."""
        environment = dict(os.environ, **dict(self.proxy.environment(), **changes))
        return finish(self.start(*arguments, env=environment))

    def run_here(self, monkeypatch, *arguments, **changes):
        """Run the program in this process, which waits for nothing."""
        for name, value in dict(self.proxy.environment(), **changes).items():
            monkeypatch.setenv(name, value)
        return self.run(*arguments)

    def record_with_file(self, channel="ops"):
        """Queue a record with an attachment."""
        return self.record(channel, blob_ids=[self.onevizion.add_file("plan.pdf", b"%PDF" * 5000)])

    def everything(self, run):
        """All that anybody could read of a run."""
        return run.console + run.stdout + str(self.onevizion.log) + str(self.onevizion.attempts)


@pytest.fixture
def internet(tmp_path, monkeypatch):
    monkeypatch.setattr(packages, "PACKAGES", str(tmp_path / "packages"))
    mark_packages(str(tmp_path / "packages"))
    with Internet(tmp_path / "module") as everything:
        yield everything
    for server in (everything.onevizion, everything.onevizion.storage, everything.slack):
        assert (server.unknown, server.errors) == ([], [])
    assert not everything.onevizion.storage.leaked, "credentials went to the object storage"
    assert not everything.slack.leaked, "a token went along with an upload"
    assert everything.proxy.unknown == []


def test_the_queue_of_the_sandbox_is_delivered_with_the_examples_settings(internet):
    scenes = seed(internet.onevizion, internet.slack)
    internet.slack.clear_faults()  # the example waits 30 s before a second attempt
    run = internet.run_process()
    assert run.status == 1, run.console
    assert {scene.record: internet.onevizion.status(scene.record) for scene in scenes} == {
        scene.record: scene.status for scene in scenes
    }
    assert set(internet.proxy.hosts) == {ONEVIZION_HOST, STORAGE_HOST, "slack.com", "files.slack.com"}
    assert {file.name for file in internet.slack.files} >= {"Site 1204 plan.pdf"}


def test_check_dry_run_and_send_test_work_with_the_examples_settings(internet):
    internet.record()
    check, dry_run = internet.run_process("--check"), internet.run_process("--dry-run")
    send_test = internet.run_process("--send-test", "dev")
    assert check.stdout.splitlines()[-1].startswith("No fault found (not tried: ")
    assert "https://example.onevizion.com is reachable and accepts the keys" in check.stdout
    assert (check.status, dry_run.status, send_test.status) == (0, 0, 0)
    assert "OneVizion · example.onevizion.com (https://example.onevizion.com)" in dry_run.stdout
    assert (len(internet.texts("ops")), len(internet.texts("dev"))) == (0, 1)


@pytest.mark.parametrize("mode", [[], ["--check"], ["--dry-run"], ["--send-test", "ops"]])
def test_every_optional_setting_can_be_left_out(internet, mode):
    internet.settings = dict.fromkeys(OPTIONAL, ABSENT)
    internet.record_with_file()
    run = internet.run_process(*mode)
    assert run.status == 0, run.console + run.stdout
    assert [file.name for file in internet.slack.files] == ([] if mode else ["plan.pdf"])
    assert len(internet.texts()) == (0 if mode in (["--check"], ["--dry-run"]) else 1)


def test_GovSlack_is_posted_to_and_Slack_is_not(internet):
    internet.settings = {"slackUrl": "https://slack-gov.com"}
    internet.record()
    assert internet.run_process().status == 0
    assert len(internet.texts()) == 1
    assert set(internet.proxy.hosts) == {ONEVIZION_HOST, "slack-gov.com"}


# The authority of a company


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"])
def test_an_authority_that_is_known_by_one_variable_alone_counts_for_both_services_and_for_files(internet, name):
    internet.record_with_file()
    variables = dict.fromkeys(["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"], "")
    variables[name] = internet.proxy.ca_file
    run = internet.run_process(**variables)
    assert run.status == 0, run.console
    assert len(internet.texts()) == 1
    assert [file.name for file in internet.slack.files] == ["plan.pdf"]


# Proxies


def test_a_proxy_with_user_and_password_is_used_and_nobody_reads_the_password(internet):
    internet.proxy.user, internet.proxy.password = "ann", HUSH
    internet.record_with_file()
    run = internet.run_process()
    assert run.status == 0, run.console
    assert len(internet.texts()) == len(internet.slack.files) == 1
    assert HUSH not in internet.everything(run)


def test_a_proxy_that_bars_the_host_for_files_costs_no_message_and_the_file_stays_a_link(internet):
    internet.proxy.barred = ["files.slack.com"]
    internet.proxy.user, internet.proxy.password = "ann", HUSH
    internet.record_with_file()
    run = internet.run_process()
    assert run.status == 0, run.console
    assert "📎 plan.pdf (https://example.onevizion.com/efiles/EFileGetBlobFromDb.do?id=9001)" in internet.texts()[0]
    assert internet.slack.files == []
    (warning,) = internet.log("Warning")
    assert "files.slack.com: the proxy does not allow this host: ask your network's administrator (403)" in warning
    assert HUSH not in internet.everything(run)


def test_a_host_in_NO_PROXY_is_asked_directly_and_the_other_through_the_proxy(internet):
    internet.settings = {"ovUrl": internet.onevizion.url}
    internet.record()
    dead = {"HTTP_PROXY": "http://127.0.0.1:1", "http_proxy": "http://127.0.0.1:1"}
    run = internet.run_process(NO_PROXY="127.0.0.1", no_proxy="127.0.0.1", **dead)
    assert run.status == 0, run.console
    assert len(internet.texts()) == 1
    assert set(internet.proxy.hosts) == {"slack.com"}


class Fault:
    """Variables that lead nowhere, and what the program says of them."""

    def __init__(self, text, tell=lambda proxy: None, **variables):
        self.text, self.tell, self.variables = text, tell, variables


def wants_password(proxy):
    """Let the proxy want a user and password that its address in HTTPS_PROXY does not have."""
    proxy.user, proxy.password = "ann", HUSH


def bars_all(proxy):
    """Let the proxy want a user and password, and refuse both services all the same."""
    wants_password(proxy)
    proxy.barred = [ONEVIZION_HOST, "slack.com"]


FAULTS = {
    "407": Fault(
        "the proxy wants a user and password: put them into HTTPS_PROXY (407)", wants_password, HTTPS_PROXY="{url}"
    ),
    "403": Fault("the proxy does not allow this host: ask your network's administrator (403)", bars_all),
    "nobody there": Fault("Connection refused", HTTPS_PROXY="http://ann:%s@127.0.0.1:1" % HUSH),
    "no address": Fault("HTTPS_PROXY is not an address of a proxy such as", HTTPS_PROXY="ann:%s@proxy:abc" % HUSH),
    "no port": Fault("HTTPS_PROXY is not an address of a proxy such as", HTTPS_PROXY="http://ann:%s@proxy:x" % HUSH),
    "socks": Fault(
        "a socks5:// proxy needs the Python package PySocks: use an http:// proxy",
        HTTPS_PROXY="socks5://ann:%s@127.0.0.1:1" % HUSH,
    ),
    "https": Fault("if HTTPS_PROXY begins with https://, change that to http://", HTTPS_PROXY="https://{host}"),
    "no such file": Fault(
        "the file with certificate authorities that REQUESTS_CA_BUNDLE names does not exist",
        REQUESTS_CA_BUNDLE="/nowhere/ca.pem",
    ),
    "unknown authority": Fault(
        "its certificate is signed by an unknown authority: set REQUESTS_CA_BUNDLE to the file of yours",
        REQUESTS_CA_BUNDLE="",
    ),
}


@pytest.mark.parametrize("case", sorted(FAULTS))
def test_what_is_wrong_around_the_program_is_named_for_each_service_in_words(internet, monkeypatch, case):
    if case == "socks" and importlib.util.find_spec("socks"):
        pytest.skip("PySocks is installed here")
    fault = FAULTS[case]
    fault.tell(internet.proxy)
    host = internet.proxy.url[len("http://") :]
    variables = {name: value.format(url=internet.proxy.url, host=host) for name, value in fault.variables.items()}
    if "HTTPS_PROXY" in variables:
        variables["https_proxy"] = variables["HTTPS_PROXY"]
    run = internet.run_here(monkeypatch, "--check", **variables)
    assert run.status == 2, run.console
    for link, host in (("OneVizion", ONEVIZION_HOST), ("Slack", "slack.com")):
        (line,) = [line for line in run.stdout.splitlines() if line.startswith("[FAIL] %s: " % link)]
        assert fault.text in line
        assert host in line
        assert "(OSError)" not in line
    assert HUSH not in run.stdout + run.console
    assert internet.onevizion.calls == internet.slack.calls == []


# Credentials


def test_netrc_gives_no_session_credentials_neither_in_an_upload_nor_behind_a_redirect(internet, tmp_path):
    hosts = (ONEVIZION_HOST, STORAGE_HOST, "slack.com", "files.slack.com")
    path = tmp_path / ".netrc"
    path.write_text("".join("machine %s login ann password %s\n" % (host, HUSH) for host in hosts))
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    internet.record_with_file()
    run = internet.run_process(HOME=str(tmp_path), NETRC=str(path))
    assert run.status == 0, run.console
    assert [file.name for file in internet.slack.files] == ["plan.pdf"]
    ours = {"Bearer %s:%s" % (internet.onevizion.access_key, internet.onevizion.secret_key)}
    assert {call.headers.get("authorization") for call in internet.onevizion.calls} == ours
    assert {call.headers.get("authorization") for call in internet.onevizion.storage.calls} == {None}
    uploads = [call for call in internet.slack.calls if "/api/" not in call.path]
    assert [call.headers.get("authorization") for call in uploads] == [None]
    others = [call.headers.get("authorization") for call in internet.slack.calls if "/api/" in call.path]
    assert set(others) == {"Bearer " + internet.slack.token}


@pytest.mark.parametrize("service", ["onevizion", "slack"])
def test_no_redirect_is_followed_with_a_token(internet, monkeypatch, service):
    internet.record()
    server, other = getattr(internet, service), {"onevizion": "acme.onevizion.com", "slack": "slack-gov.com"}[service]
    headers = {"Location": "https://%s/api/auth.test" % other}
    server.fault("queue|auth.test", times=None, status=307, headers=headers)
    run = internet.run_here(monkeypatch)
    assert run.status == 2
    assert other not in internet.proxy.hosts
    assert internet.onevizion.history == []
    assert internet.slack.messages == []
