"""The program unchanged, with the real addresses, through an HTTPS proxy; and what companies have around it."""

import datetime
import importlib.util
import os
import re
import ssl
import stat

import pytest
import requests

from slack_notification import network_errors, packages
from tests.sandbox.directory import make_directory, mark_packages
from tests.sandbox.onevizion import ABSENT
from tests.sandbox.proxy import ONEVIZION_HOST, STORAGE_HOST, Proxy
from tests.sandbox.scenes import seed
from tests.world import World, finish

OPTIONAL = ("maxAttempts", "nextAttemptDelay", "uploadAttachments")
HUSH = "hush-hush"
NOBODY = "http://ann:%s@127.0.0.1:1" % HUSH
RAW = re.compile(r"\([A-Z]\w+\)|SSL:|_ssl|Traceback|a fault in this module|Error\b(?!:)")  # what only developers read


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
    assert "files.slack.com: ask your network's administrator: the proxy does not allow this host (403)" in warning
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
    """What is wrong around the program. `text`: how what it says of it begins; `there`: what stands in that, too."""

    def __init__(self, text, there="could not be reached", tell=lambda proxy: None, temporary=False, **variables):
        self.text, self.there, self.tell, self.temporary, self.variables = text, there, tell, temporary, variables


def wants_password(proxy):
    """Let the proxy want a user and password that its address in HTTPS_PROXY does not have."""
    proxy.user, proxy.password = "ann", HUSH


def bars_all(proxy):
    """Let the proxy want a user and password, and refuse both services all the same."""
    wants_password(proxy)
    proxy.barred = [ONEVIZION_HOST, "slack.com"]


def expired(proxy):
    """Let the certificates have expired."""
    proxy.not_after = datetime.datetime(2020, 1, 1)


def of_another_host(proxy):
    """Let the certificates be another host's."""
    proxy.wrong_host = "other.example.com"


PASSWORD = "put the right user and password into HTTPS_PROXY (# as %23, / as %2F, @ as %40)"
ADDRESS = "correct HTTPS_PROXY (http://user:password@proxy.example.com:3128, with # as %23, / as %2F, @ as %40) or the"
NO_FILE = "correct %s: the file with certificate authorities that it names does not exist or is not PEM"
UNKNOWN = "let %s name a file with your own certificate authority and the public ones: the certificate is signed by"
CLOCK = "check this server's clock: the certificate has expired"
if not hasattr(ssl, "SSLCertVerificationError"):  # Python 3.6 does not say why
    UNKNOWN = CLOCK = "check REQUESTS_CA_BUNDLE and this server's clock: the certificate is not accepted"
FAULTS = {
    "407": Fault(PASSWORD, "(407)", wants_password, HTTPS_PROXY="{url}"),
    "407, wrong password": Fault(PASSWORD, "(407)", wants_password, HTTPS_PROXY="http://ann:oops@{host}"),
    "403": Fault("ask your network's administrator: the proxy does not allow this host (403)", tell=bars_all),
    "nobody there": Fault(
        "", "the proxy of HTTPS_PROXY could not be reached, Connection refused", temporary=True, HTTPS_PROXY=NOBODY
    ),
    "no such host": Fault(
        "",
        "the proxy of HTTPS_PROXY could not be reached, ",
        temporary=True,
        HTTPS_PROXY="http://ann:%s@nowhere.invalid:3128" % HUSH,
    ),
    "no address": Fault(ADDRESS, HTTPS_PROXY="ann:%s@proxy:abc" % HUSH),
    "no port": Fault(ADDRESS, HTTPS_PROXY="http://ann:%s@proxy:x" % HUSH),
    "a password with #": Fault(ADDRESS, HTTPS_PROXY="http://ann:x#%s@{host}" % HUSH),
    "a password with /": Fault(ADDRESS, HTTPS_PROXY="http://ann:x/%s@{host}" % HUSH),
    "a blank before it": Fault(ADDRESS, HTTPS_PROXY=" {url}"),
    "socks": Fault(
        "use an http:// proxy in HTTPS_PROXY: a socks5:// proxy needs the Python package PySocks",
        HTTPS_PROXY="socks5://ann:%s@127.0.0.1:1" % HUSH,
    ),
    "https": Fault("if HTTPS_PROXY begins with https://, change that to http://", HTTPS_PROXY="https://{host}"),
    "a bundle that is missing": Fault(NO_FILE % "REQUESTS_CA_BUNDLE", REQUESTS_CA_BUNDLE="/nowhere/ca.pem"),
    "a bundle that is no PEM": Fault(NO_FILE % "REQUESTS_CA_BUNDLE", REQUESTS_CA_BUNDLE=__file__),
    "a bundle that is empty": Fault(NO_FILE % "REQUESTS_CA_BUNDLE", REQUESTS_CA_BUNDLE=os.devnull),
    "CURL_CA_BUNDLE alone": Fault(
        NO_FILE % "CURL_CA_BUNDLE", REQUESTS_CA_BUNDLE="", CURL_CA_BUNDLE="/nowhere", SSL_CERT_FILE=__file__
    ),
    "SSL_CERT_FILE alone": Fault(NO_FILE % "SSL_CERT_FILE", REQUESTS_CA_BUNDLE="", SSL_CERT_FILE="/nowhere/ca.pem"),
    "unknown authority": Fault(UNKNOWN.replace("%s", "REQUESTS_CA_BUNDLE"), REQUESTS_CA_BUNDLE="", SSL_CERT_FILE=""),
    "a bundle that is a directory": Fault(
        UNKNOWN.replace("%s", "REQUESTS_CA_BUNDLE"), REQUESTS_CA_BUNDLE=os.path.dirname(__file__)
    ),
    "expired": Fault(CLOCK, tell=expired),
    "another host": Fault("check the address: the certificate is for another host", tell=of_another_host),
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
        (line,) = [line for line in run.stdout.splitlines() if line.startswith("[FAIL] %s: %s" % (link, fault.text))]
        assert fault.there in line
        assert host in line
        assert not RAW.search(line)
        assert ("temporary" in line or "check HTTPS_PROXY and the network" in line) is fault.temporary
    assert len(run.waits) == (6 if fault.temporary else 0)
    assert HUSH not in run.stdout + run.console
    assert internet.onevizion.calls == internet.slack.calls == []


# What urllib3 takes of the package PySocks.
SOCKS = """
PROXY_TYPE_SOCKS4, PROXY_TYPE_SOCKS5 = 1, 2
ProxyError = type("ProxyError", (OSError,), {})
socksocket = object
def create_connection(address, **options):
    print("the proxy was asked for %s:%d" % address)
    raise OSError("no proxy here")
"""


def test_a_socks_proxy_is_used_where_the_package_for_it_is_there(internet):
    with open(os.path.join(internet.directory(), "socks.py"), "w", encoding="utf-8") as file:
        file.write(SOCKS)
    environment = dict(os.environ, HTTPS_PROXY="socks5://127.0.0.1:1")
    run = finish(internet.start("--send-test", "ops", cwd=internet.path, env=environment))
    assert run.stdout.startswith("the proxy was asked for slack.com:443\nNot posted: Slack (slack.com) could not")


def test_a_port_that_is_none_does_not_accuse_the_proxy_alone(internet, monkeypatch):
    internet.settings = {"ovUrl": "https://%s:99999" % ONEVIZION_HOST}
    run = internet.run_here(monkeypatch, "--check")
    (line,) = [line for line in run.stdout.splitlines() if line.startswith("[FAIL] OneVizion: " + ADDRESS)]
    assert "or the address in the settings: it is not an address: OneVizion (%s:99999)" % ONEVIZION_HOST in line


@pytest.mark.parametrize(
    ("barred", "service", "call"), [(ONEVIZION_HOST, "onevizion", "PATCH"), ("slack.com", "slack", "chat.postMessage")]
)
def test_what_an_admin_has_to_correct_in_the_middle_of_a_run_ends_it_and_costs_no_record(
    internet, monkeypatch, barred, service, call
):
    internet.settings = {"maxAttempts": 9, "nextAttemptDelay": 0}
    records = [internet.record(), internet.record()]
    server = getattr(internet, service)
    server.on(call, lambda call: internet.proxy.barred.append(barred))
    server.fault(call, times=None, cut="before")  # a connection that stays open passes the proxy
    run = internet.run_here(monkeypatch)
    assert run.status == 2
    assert len(server.calls_to(call)) == 1
    assert "the run ends here, and the records that are left stay in the queue: ask your network's" in run.console
    assert {internet.onevizion.status(record) for record in records} <= {"NOT_SENT", "FAIL_WILL_RETRY"}
    assert "temporary" not in run.console.split("the run ends here")[1]


# Connections that are cut


@pytest.mark.parametrize("cut", ["before", "after", "in head", "during", "in chunk"])
def test_a_cut_answer_of_Slack_says_that_the_message_may_be_there_and_gets_another_attempt(internet, monkeypatch, cut):
    internet.settings = {"maxAttempts": 2, "nextAttemptDelay": 0}
    record = internet.record()
    internet.slack.fault("chat.postMessage", cut=cut)
    run = internet.run_here(monkeypatch)
    assert run.status == 0, run.console
    (text,) = internet.onevizion.attempts[record]
    assert text.endswith(": it may have been posted anyway; look in the channel")
    assert not RAW.search(text + run.console)
    assert len(internet.texts()) == (1 if cut == "before" else 2)


@pytest.mark.parametrize("cut", ["before", "after", "in head", "during", "in chunk"])
@pytest.mark.parametrize("mode", ["--check", "--dry-run", ""])
def test_a_read_whose_answer_is_cut_is_repeated(internet, monkeypatch, mode, cut):
    internet.record()
    reads = ["GET .*notif/queue", "GET /api/internal/users", "GET /api/v3/trackors"]
    for read in reads:
        internet.onevizion.fault(read, cut=cut)
    internet.slack.fault("auth.test", cut=cut)
    run = internet.run_here(monkeypatch, *filter(None, [mode]))
    assert run.status == 0, run.console + run.stdout
    assert len(run.waits) == (3 if mode == "--dry-run" else 4)
    assert not RAW.search(run.stdout + run.console)


@pytest.mark.parametrize("cut", ["in head", "during", "in chunk"])
def test_a_file_whose_content_is_cut_stays_a_link_and_costs_no_message(internet, monkeypatch, cut):
    internet.record_with_file()
    internet.onevizion.storage.fault("GET", times=None, cut=cut)
    run = internet.run_here(monkeypatch)
    assert run.status == 0, run.console
    assert (len(internet.texts()), internet.slack.files) == (1, [])
    assert not RAW.search(" ".join(internet.log()) + run.console)


@pytest.mark.parametrize(
    "error",
    [
        requests.exceptions.SSLError(ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)")),
        requests.exceptions.InvalidHeader("Content-Length contained multiple unmatching values (3, 5)"),
        requests.exceptions.ProxyError("Tunnel connection failed: 407 in an answer"),
    ],
)
def test_what_goes_wrong_on_a_connection_that_was_there_may_have_been_posted(error):
    assert network_errors.was_sent(error)
    assert network_errors.correction(error) == ""
    assert not RAW.search(network_errors.network_reason(error))


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
