"""An operator's afternoon: the deployed stack is given its App from a terminal, and a card moves.

The command line runs as a user with the stack's operator policy and nothing else, against the real functions in MiniStack and
the fake GitHub of `tests/`. MiniStack's API Gateway goes by a name below `localhost`, which the fake delivers to.
"""

import json
import subprocess

import pytest

import template
from cloud import Operator, checkout

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
