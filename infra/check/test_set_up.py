"""An operator's afternoon: the deployed stack is given its App from a terminal, and a card moves.

The command line runs as a user with the stack's operator policy and nothing else, against the real functions in MiniStack and
the fake GitHub of `tests/`. MiniStack's API Gateway goes by a name below `localhost`, which the fake delivers to.
"""

import json
import subprocess
import time
import urllib.request

import pexpect
import pytest

import template
from cloud import Operator, checkout, wait_for

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def stack(cloud, functions, github, tmp_path_factory):
    folder = checkout(tmp_path_factory.mktemp("set-up"), functions)
    return cloud.deploy(folder, "setup", NamePrefix="setup", GitHubApiUrl=github.app["url"])[0]


@pytest.fixture(scope="module")
def operator(stack, binaries, tmp_path_factory):
    return Operator(stack, binaries, tmp_path_factory.mktemp("home"))


def test_the_set_up_script_is_configure_from_any_folder(operator):
    run = subprocess.run([template.ROOT / "infra/configure-github-app", "--stack", "setup"], cwd=operator.home,
                         stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900)
    assert run.returncode == 1 and "pass --app-id and --pem" in run.stderr, run.stdout + run.stderr


@pytest.fixture(scope="module")
def configured(operator, github):
    """The screen of `configure`, answered as the guide says."""
    (operator.home / "app.pem").write_text(github.app["pem"])
    assert github.do("hook", "http://127.0.0.1:9/not-there-yet")["status"] == 0
    return operator.run("configure", answers=[
        ("App ID:", str(github.app["app_id"])),
        ("Webhook secret", ""),
        ("Path to PEM file:", "app.pem"),
        ("Shall it deliver to", "y"),
    ])


def test_configure_ends_with_a_ping_answered_by_the_deployed_webhook(configured, github):
    wanted = [
        "=== GitHub App Setup ===", f"SHA256:{github.app['fingerprint']}", "Discovering installation ID...",
        f"Found installation ID: {github.app['installation_id']}", 'ping → 200 {"outcome":"pong"}', "GitHub App configured.",
    ]
    places = [configured.find(line) for line in wanted]
    assert -1 not in places and places == sorted(places), configured


def test_no_secret_appeared_on_the_screen(configured, stack, github):
    secret = stack.cloud.client("secretsmanager").get_secret_value(SecretId=stack.outputs["WebhookSecret"])
    assert json.loads(secret["SecretString"])["webhook_secret"] not in configured
    assert github.app["pem"].splitlines()[1] not in configured


def test_a_card_moves_when_its_pull_request_is_merged(configured, operator, github):
    created = operator.run("task", "create", "Fix login timeout", "--status", "pr_submitted")
    tag = created[created.index("[kid:"):].strip()
    opened = github.do("open", f"Fix login {tag}")
    assert (opened["status"], json.loads(opened["answer"])["outcome"]) == (200, "linked")
    number = opened["pull_request"].rsplit("/", 1)[1]
    merged = github.do("merge", number)
    # The stream may have woken reconcile between the merge and its delivery: then that moved the card.
    assert merged["status"] == 200 and json.loads(merged["answer"])["outcome"] in ("moved", "unchanged"), merged
    assert "done" in operator.run("task", "show", tag.removeprefix("[kid: #").removesuffix("]"))
    explained = operator.run("explain", f"{github.app['repository']}#{number}")
    assert "moved it to done" in explained or "done" in explained.splitlines()[-1], explained


def test_verify_finds_everything_in_order(configured, operator, github):
    verified = operator.run("verify", "--clone", github.app["repository"])
    assert github.app["repository"] in verified and "0 failed, 0 skipped" in verified, verified


def test_configure_may_be_run_again(configured, operator, github):
    again = operator.run("configure", "--app-id", str(github.app["app_id"]), "--pem", "app.pem")
    assert "are stored already" in again and "GitHub App configured." in again


@pytest.mark.parametrize(("policy", "deliveries", "checks"), [
    ("BoardPolicy", "They cannot be shown: these AWS credentials may not use the log group", "✗ webhook-function failed"),
    ("InspectPolicy", '<td class="idle">pong</td>', "✓ webhook-function ok"),
])
def test_the_board_shows_what_its_policy_lets_it_read(configured, operator, stack, binaries, tmp_path, policy, deliveries, checks):
    operator.run("task", "create", "Look at the board")
    somebody = Operator(stack, binaries, tmp_path, policy)
    screen = somebody.start("board")
    screen.expect(r"The board is on this page: (http://\S+)")
    page = screen.match.group(1)
    read = lambda path: urllib.request.urlopen(page + path, timeout=60).read().decode()
    assert "Look at the board" in read("")
    state = read("/state")
    assert deliveries in state and checks in state, state
    screen.sendintr()
    screen.expect(pexpect.EOF)


READ, WRITE, ALL = {"permissions": {"contents": "read"}}, {"permissions": {"contents": "write"}}, {}
PULLS, ADMIN, STRANGER = {"permissions": {"pull_requests": "write"}}, {"permissions": {"administration": "read"}}, READ | {"installation_id": 999999}
# What the template's policy gives to each profile; everything else is refused, with the profile's name.
GIVEN = {
    "agents": ["read", "pulls", "all"],
    "pushers": ["named read", "named write", "named pulls", "named all"],
    "inspect": ["read", "all"],
    "reconcile": ["read", "all"],
}
# May invoke all: reconcile's alias, which no person's policy has, is asked as well.
ADMINISTRATOR = "administrator"
INVOKES = {
    ADMINISTRATOR: {"", *GIVEN},
    "ClientPolicy": {"", "agents"}, "AgentPolicy": {"", "agents"}, "PusherPolicy": {"pushers"}, "BoardPolicy": set(),
    "InspectPolicy": {"inspect"}, "OperatorPolicy": {"", "inspect"},
}


@pytest.fixture(scope="module")
def scopes(github):
    plain = {"read": READ, "write": WRITE, "all": ALL, "pulls": PULLS, "admin": ADMIN}
    repository = {"repositories": [github.app["repository"].split("/")[1]]}
    return plain | {f"named {name}": repository | scope for name, scope in plain.items()} | {"stranger": STRANGER}


@pytest.mark.parametrize("policy", INVOKES)
def test_the_callers_policy_and_the_alias_decide_which_scope_is_had(configured, stack, scopes, policy):
    iam, credentials = stack.cloud.client("iam"), {}
    if policy != ADMINISTRATOR:
        iam.create_user(UserName=policy)
        iam.attach_user_policy(UserName=policy, PolicyArn=stack.outputs[policy])
        key = iam.create_access_key(UserName=policy)["AccessKey"]
        credentials = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    caller = stack.cloud.client("lambda", **credentials)
    for alias in ("", *GIVEN):
        profile = alias or "agents"
        given = set(GIVEN[profile]) | {f"named {scope}" for scope in GIVEN[profile] if not scope.startswith("named")}
        for name, scope in scopes.items():
            said = f"{policy} {alias} {name}"
            try:
                answer = caller.invoke(FunctionName=stack.outputs["TokenFunction"] + (alias and f":{alias}"), Payload=json.dumps(scope))
            except caller.exceptions.ClientError as error:
                assert "AccessDenied" in error.response["Error"]["Code"] and alias not in INVOKES[policy], said
                continue
            assert alias in INVOKES[policy], said
            answer = json.loads(answer["Payload"].read())
            if name in given and (name.endswith("write") or (profile, name) == ("pushers", "named all")):
                # The fake's App has contents: read alone. That GitHub was asked shows that the policy let it through.
                assert "does not grant contents: write" in answer["errorMessage"], f"{said}: {answer}"
            elif name in given:
                assert "token" in answer, f"{said}: {answer}"
            else:
                refused = ("PermissionNotGranted", "RepositoriesNotNamed", "InstallationNotFound")
                assert answer["errorType"] in refused, f"{said}: {answer}"
                assert name == "stranger" or f"the profile {profile}" in answer["errorMessage"], f"{said}: {answer}"


def test_an_asynchronous_call_is_asked_once(stack):
    """MiniStack goes by `$LATEST`'s configuration, whichever alias is called: that each alias has one is shown by `rules.py` alone."""
    functions, name = stack.cloud.client("lambda"), stack.outputs["TokenFunction"]
    refused = lambda: stack.logged("token").count('"outcome":"refused"')

    def asked():
        before = refused()
        functions.invoke(FunctionName=f"{name}:agents", InvocationType="Event", Payload=b'{"repositories": []}')
        wait_for("the call", lambda: refused() > before)
        # It repeats after a second where it does.
        time.sleep(3)
        return refused() - before

    assert asked() == 1
    config = functions.get_function_event_invoke_config(FunctionName=name, Qualifier="$LATEST")
    functions.put_function_event_invoke_config(FunctionName=name, Qualifier="$LATEST", MaximumRetryAttempts=1)
    assert asked() == 2, "without the configuration it would be repeated here"
    functions.put_function_event_invoke_config(FunctionName=name, Qualifier="$LATEST", MaximumRetryAttempts=config["MaximumRetryAttempts"])
