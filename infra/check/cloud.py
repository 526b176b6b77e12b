"""A local AWS: MiniStack, which enforces IAM (`AUTH=true`), and what the real `sam` deploys into it.

What MiniStack 1.5.33 takes and does nothing with is shown by `rules.py` alone: time-to-live, point-in-time
recovery, SSE, throttling, reserved concurrency, the batching window, bisecting, partial batch failures, metric filters,
`ExcludePunctuation`, stack policies, a function's subnets, a role's boundary. An empty secret has a current version holding ""
there; at AWS it has none. A stream is read without asking the reader's role, and calls on streams are checked against `*`, those
on logs against an ARN that AWS does not use: the tests leave both out.
"""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import boto3
import pexpect
import pytest

import template

FUNCTIONS = ("webhook", "reconcile", "token")
# The local API Gateway gives names below localhost, which lead here (RFC 6761, 6.3) and which not every system knows.
LOCALHOST = """
import socket

known = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **more: known("127.0.0.1" if str(host).endswith(".localhost") else host, *rest, **more)
"""


def wait_for(what, probe, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := probe():
            return found
        time.sleep(0.1)
    pytest.fail(f"no {what} within {seconds} s")


class Cloud:
    """One MiniStack process and what is asked of it."""

    def __init__(self, folder, command_line):
        """`command_line` is what `infra/deploy` verifies with."""
        self.folder, self.command_line = folder, command_line
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MINISTACK_", "LAMBDA_"))},
            "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": template.REGION,
            # Functions inherit it: without it the SDK in them would call AWS.
            "AWS_ENDPOINT_URL": self.url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(self.port), "AUTH": "true", "TMPDIR": str(folder),
            "SAM_CLI_TELEMETRY": "0", "HOME": str(folder),
        }

    @contextlib.contextmanager
    def running(self):
        with open(self.folder / "ministack.log", "wb") as log:
            process = subprocess.Popen([sys.executable, "-m", "ministack"], cwd=self.folder, env=self.environment, stdout=log, stderr=log)
        try:
            wait_for("MiniStack", lambda: process.poll() is None and self.healthy())
            yield self
        finally:
            process.terminate()
            process.wait(20)

    def healthy(self):
        with contextlib.suppress(OSError):
            return urllib.request.urlopen(f"{self.url}/_ministack/health", timeout=5).status == 200

    def client(self, service, region=template.REGION, **credentials):
        credentials = credentials or {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        return boto3.client(service, endpoint_url=self.url, region_name=region, **credentials)

    def sam(self, *words):
        run = subprocess.run(
            [pathlib.Path(sys.executable).with_name("sam"), *words, "--region", template.REGION],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=300,
        )
        assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-4000:]
        return run.stdout

    def deploy(self, source, stack, **parameters):
        overrides = [f"{name}={value}" for name, value in parameters.items()]
        output = self.sam(
            "deploy", "--template-file", f"{source}/infra/template.yaml", "--stack-name", stack,
            *(["--parameter-overrides", *overrides] if overrides else []),
        )
        return Stack(self, stack), output

    def destroy(self, stack):
        return self.sam("delete", "--stack-name", stack, "--no-prompts")

    def tables(self):
        return set(self.client("dynamodb").list_tables()["TableNames"])


class Stack:
    def __init__(self, cloud, name):
        self.cloud, self.name = cloud, name
        described = cloud.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
        self.id = described["StackId"]
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}
        self.parameters = {each["ParameterKey"]: each["ParameterValue"] for each in described["Parameters"]}

    def resources(self):
        pages = self.cloud.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=self.name)
        return {each["LogicalResourceId"]: each for page in pages for each in page["StackResourceSummaries"]}

    def post(self, path, body, method="POST", headers=()):
        """Sends to the HTTP API under its own host name, which no resolver here needs to know."""
        host, _, _ = self.outputs["WebhookUrl"].removeprefix("http://").partition("/")
        request = urllib.request.Request(f"{self.cloud.url}{path}", data=body, method=method, headers={"host": host, "content-type": "application/json", **dict(headers)})
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def calls_as(self, function, calls):
        """Each call's outcome when the function makes it."""
        answer = self.cloud.client("lambda").invoke(FunctionName=self.outputs[f"{function.capitalize()}Function"], Payload=json.dumps({"calls": calls}))
        assert "FunctionError" not in answer, answer["Payload"].read()
        return json.loads(answer["Payload"].read())

    def logged(self, function):
        logs = self.cloud.client("logs")
        events = logs.filter_log_events(logGroupName=f"/aws/lambda/{self.outputs[f'{function.capitalize()}Function']}")["events"]
        return "\n".join(event["message"] for event in events)


def checkout(folder, functions):
    """What a deploy needs of this repository: the template and the built functions, `functions` giving each one's."""
    (folder / "infra").mkdir(parents=True)
    for name in ("template.yaml", "samconfig.toml", "deploy", "dist", "stack.py", "verify.py", "zips.py", "stack-policy.json", "states.json"):
        shutil.copy(template.ROOT / "infra" / name, folder / "infra" / name)
    (folder / "localhost").mkdir()
    (folder / "localhost" / "sitecustomize.py").write_text(LOCALHOST)
    # cargo-lambda reads the workspace for its own settings.
    for name in ("Makefile", "Cargo.toml", "Cargo.lock", "functions", "shared", "tests", "infra/cli"):
        (folder / name).symlink_to(template.ROOT / name)
    for name in FUNCTIONS:
        target = folder / "target" / "lambda" / name
        target.mkdir(parents=True)
        bootstrap = functions(name)
        (target / "bootstrap").write_bytes(bootstrap)
        (target / "bootstrap").chmod(0o755)
    return folder


def in_terminal(cloud, folder, *words, **variables):
    """A command in a checkout, with the home folder that cargo's toolchain is found from; a variable that is `None` is not set."""
    path = f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = cloud.environment | {
        "HOME": os.environ["HOME"], "PATH": path, "CLI": str(cloud.command_line), "PYTHONPATH": str(folder / "localhost")} | variables
    environment = {name: value for name, value in environment.items() if value is not None}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


class GitHub:
    """The fake, and what is done there: a line each way."""

    def __init__(self, process):
        self.process = process
        self.app = self.answer()

    def answer(self):
        return json.loads(self.process.stdout.readline())

    def do(self, *words):
        print(*words, file=self.process.stdin, flush=True)
        return self.answer()


class Operator:
    """A terminal of somebody who has one of the stack's policies, the operator's unless it is said."""

    def __init__(self, stack, binaries, home, policy="OperatorPolicy"):
        self.stack, self.binaries, self.home = stack, binaries, home
        iam = stack.cloud.client("iam")
        name = f"{policy}-of-{stack.name}"
        iam.create_user(UserName=name)
        iam.attach_user_policy(UserName=name, PolicyArn=stack.outputs[policy])
        key = iam.create_access_key(UserName=name)["AccessKey"]
        ours = {name: stack.cloud.environment[name] for name in ("PATH", "AWS_ENDPOINT_URL", "AWS_EC2_METADATA_DISABLED")}
        self.environment = ours | {
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
            "AWS_REGION": template.REGION, "HOME": str(home), "TERM": "xterm", "GIT_CONFIG_NOSYSTEM": "1",
        }

    def start(self, *words):
        return pexpect.spawn(str(self.binaries / "konduktor-github-app"), [*words, "--stack", self.stack.name],
                             cwd=str(self.home), env=self.environment, encoding="utf-8", timeout=120, dimensions=(60, 200))

    def run(self, *words, answers=()):
        """What the terminal shows; `answers` are typed, each once its question has appeared."""
        screen = self.start(*words)
        shown = ""
        for question, answer in answers:
            screen.expect_exact(question)
            shown += screen.before + screen.after
            screen.sendline(answer)
        screen.expect(pexpect.EOF)
        shown += screen.before
        screen.close()
        assert screen.exitstatus == 0, shown
        return shown
