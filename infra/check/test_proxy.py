"""Behind a proxy and an authority of its own: who goes through it to GitHub and AWS, on the wire, with the real functions and command line."""

import contextlib
import datetime
import json
import socket
import socketserver
import ssl
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cloud import Cloud, Operator, Stack, checkout, in_terminal

pytestmark = pytest.mark.real

# No resolver knows them: whoever reaches them went through the proxy.
GITHUB, AWS = "github.invalid", "aws.invalid"


def certificates(folder):
    """A certificate for both hosts, and its authority's, as files."""
    now, key = datetime.datetime.now(datetime.UTC), ec.generate_private_key(ec.SECP256R1())
    authority = ec.generate_private_key(ec.SECP256R1())
    named = lambda name: x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])

    def signed(name, of, extension):
        builder = x509.CertificateBuilder(named("authority"), named(name), of.public_key(), x509.random_serial_number(),
                                          now - datetime.timedelta(days=1), now + datetime.timedelta(days=1))
        return builder.add_extension(extension, critical=True).sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "authority.pem").write_bytes(signed("authority", authority, x509.BasicConstraints(ca=True, path_length=0)))
    (folder / "hosts.pem").write_bytes(private + signed("hosts", key, x509.SubjectAlternativeName([x509.DNSName(GITHUB), x509.DNSName(AWS)])))
    return folder / "authority.pem", folder / "hosts.pem"


class Proxy(socketserver.ThreadingTCPServer):
    """Notes what it is asked for. A tunnel ends in TLS right here, before the service of that host."""

    daemon_threads = True

    def __init__(self, certificate):
        super().__init__(("127.0.0.1", 0), Request)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.asked, self.services = [], {}
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(certificate)

    def seen(self):
        """What it was asked for since the last time."""
        asked, self.asked = self.asked, []
        return set(asked)


class Request(socketserver.StreamRequestHandler):
    # What comes after the head belongs to TLS.
    rbufsize = 0

    def handle(self):
        line = self.rfile.readline().decode()
        while self.rfile.readline().strip():
            pass
        method, target, _ = line.split()
        self.server.asked.append(f"{method} {target}")
        host = target.partition(":")[0]
        if method != "CONNECT" or host not in self.server.services:
            self.wfile.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
            return
        self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        with contextlib.suppress(OSError), self.server.tls.wrap_socket(self.request, server_side=True) as client:
            with socket.create_connection(self.server.services[host]) as service:
                back = threading.Thread(target=hand_on, args=(service, client))
                back.start()
                hand_on(client, service)
                back.join()


def hand_on(source, sink):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for each in (source, sink):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def proxy_and_authority(tmp_path_factory):
    authority, certificate = certificates(tmp_path_factory.mktemp("certificates"))
    with Proxy(certificate) as proxy:
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        yield proxy, authority
        proxy.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def proxy(proxy_and_authority):
    return proxy_and_authority[0]


@pytest.fixture(scope="module")
def stack(proxy_and_authority, functions, github, binaries, tmp_path_factory):
    """A stack that goes to GitHub through the proxy, in a local AWS of its own: the functions inherit its environment, where a layer
    would bring the authority's certificate."""
    proxy, authority = proxy_and_authority
    cloud = Cloud(tmp_path_factory.mktemp("proxied"), binaries / "konduktor-github-app")
    cloud.environment["SSL_CERT_FILE"] = str(authority)
    github_port = int(github.app["url"].rsplit(":", 1)[1])
    proxy.services |= {GITHUB: ("127.0.0.1", github_port), AWS: ("127.0.0.1", cloud.port)}
    with cloud.running():
        folder = checkout(tmp_path_factory.mktemp("desk"), functions)
        (folder / "infra/parameters").mkdir()
        (folder / "infra/parameters/proxied.toml").write_text(
            f'NamePrefix = "proxied"\nGitHubApiUrl = "https://{GITHUB}"\nHttpsProxy = "{proxy.url}"\nNoProxy = "10.0.0.0/8"\n')
        deployed = in_terminal(cloud, folder, "make", "deploy", STACK="proxied", CLI="false")
        assert deployed.returncode == 0, deployed.stdout + deployed.stderr
        # Nobody but the tests asks.
        cloud.client("events").disable_rule(Name="proxied-due")
        yield Stack(cloud, "proxied")


@pytest.fixture(scope="module")
def operator(stack, proxy, github, binaries, tmp_path_factory):
    """Somebody whose machine reaches GitHub and AWS through the proxy alone."""
    operator = Operator(stack, binaries, tmp_path_factory.mktemp("home"))
    authority = stack.cloud.environment["SSL_CERT_FILE"]
    operator.environment |= {"HTTPS_PROXY": proxy.url, "AWS_ENDPOINT_URL": f"https://{AWS}", "SSL_CERT_FILE": authority, "GIT_SSL_CAINFO": authority}
    (operator.home / "app.pem").write_text(github.app["pem"])
    github.do("hook", "http://127.0.0.1:9/not-there-yet")
    operator.run("configure", "--app-id", str(github.app["app_id"]), "--pem", "app.pem", "--yes")
    return operator


def tunnels(*hosts):
    return {f"CONNECT {host}:443" for host in hosts}


def changed(stack, function, **variables):
    """The function with other variables, in an environment of its own."""
    functions, name = stack.cloud.client("lambda"), stack.outputs[f"{function.capitalize()}Function"]
    there = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    functions.update_function_configuration(FunctionName=name, Environment={"Variables": there | variables})
    functions.get_waiter("function_updated_v2").wait(FunctionName=name)


def asked(stack, function, payload):
    answer = stack.cloud.client("lambda").invoke(FunctionName=stack.outputs[f"{function.capitalize()}Function"], Payload=json.dumps(payload))
    return json.loads(answer["Payload"].read())


def test_a_person_reaches_github_and_aws_through_it(operator, proxy):
    proxy.seen()
    assert "0 failed" in operator.run("verify")
    assert proxy.seen() == tunnels(GITHUB, AWS)


@pytest.mark.parametrize("exceptions", ["invalid", ".invalid", f"{GITHUB},{AWS}", "*"])
def test_a_person_s_exceptions_go_past_it(operator, proxy, exceptions):
    proxy.seen()
    operator.environment["NO_PROXY"] = exceptions
    try:
        with pytest.raises(AssertionError, match="does not answer"):
            operator.run("verify")
    finally:
        del operator.environment["NO_PROXY"]
    assert proxy.seen() == set()


def test_reconcile_reaches_github_through_it(operator, stack, proxy, github):
    proxy.seen()
    answer = asked(stack, "reconcile", {"resync": github.app["repository"]})
    assert "errorType" not in answer, answer
    assert tunnels(GITHUB) <= proxy.seen()


def test_the_token_function_reaches_github_and_aws_through_it(operator, stack, proxy):
    # The local AWS puts its own URL, which is plain HTTP, into AWS_ENDPOINT_URL.
    changed(stack, "token", AWS_ENDPOINT_URL_DYNAMODB=f"https://{AWS}")
    proxy.seen()
    assert "token" in asked(stack, "token", {"permissions": {"metadata": "read"}})
    assert proxy.seen() == tunnels(GITHUB, AWS)
    changed(stack, "token", NO_PROXY=f"10.0.0.0/8,{GITHUB}")
    assert asked(stack, "token", {"permissions": {"pull_requests": "read"}})["errorType"] == "GitHubUnavailable"
    assert proxy.seen() == tunnels(AWS)


def test_plain_http_to_github_goes_through_no_proxy(operator, stack, proxy, github):
    """It is loopback's; through a proxy the App's JSON Web Token could be read."""
    names = ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
    https = {f"AWS_ENDPOINT_URL_{service}": f"https://{AWS}" for service in ("DYNAMODB", "SECRETS_MANAGER")}
    changed(stack, "token", GITHUB_API_URL=github.app["url"], **https, **dict.fromkeys(names, proxy.url))
    proxy.seen()
    assert "token" in asked(stack, "token", {"permissions": {"contents": "read", "metadata": "read"}})
    assert proxy.seen() == tunnels(AWS)


@pytest.mark.parametrize("kind", ["http", "socks5"])
def test_a_proxy_that_is_not_there_is_said_without_its_password(operator, kind):
    there = operator.environment["HTTPS_PROXY"]
    operator.environment["HTTPS_PROXY"] = f"{kind}://user:canary@127.0.0.1:9"
    try:
        said = str(pytest.raises(AssertionError, operator.run, "verify").value)
    finally:
        operator.environment["HTTPS_PROXY"] = there
    assert "does not answer" in said and "canary" not in said, said


def test_the_webhook_calls_aws_alone_and_is_given_no_proxy(stack):
    variables = stack.cloud.client("lambda").get_function_configuration(FunctionName="proxied-webhook")["Environment"]["Variables"]
    assert not {"HTTPS_PROXY", "NO_PROXY"} & variables.keys()
