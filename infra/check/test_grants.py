"""Nothing granted is unused, nothing needed is missing: the template against the calls that `make test` recorded."""

import copy
import pathlib

import pytest

import grants
import rules
import template
from test_mistakes import arn, widen

pytestmark = pytest.mark.recorded

SAM = template.load()
EXPANDED = template.expand(SAM)


@pytest.fixture(scope="module")
def calls(request):
    return grants.called((pathlib.Path(template.ROOT) / request.config.getoption("--calls")).read_text().splitlines())


def test_what_is_granted_is_what_is_called(calls):
    found = list(grants.findings(EXPANDED, calls))
    assert not found, "\n".join(found)


def test_a_recorded_line_names_what_the_template_names():
    assert grants.called([
        "ASIARECONCILE\tdynamodb:Query\tPullRequests/index/due-index",
        "AKIAOPERATOR\tsecretsmanager:PutSecretValue\tarn:aws:secretsmanager:eu-west-1:000000000000:secret:konduktor/app-AbCdEf",
        "AKIACLIENT\tlambda:InvokeFunction\tnobody-deployed-this",
        "AKIACLIENT\tlambda:InvokeFunction\ttoken:live",
        "a test\tdynamodb:DeleteItem\tTasks",
    ]) == {
        ("ReconcileRole", "dynamodb:Query", "PullRequestsTable/index/due-index"),
        ("OperatorPolicy", "secretsmanager:PutSecretValue", "AppSecret"),
        ("ClientPolicy", "lambda:InvokeFunction", "token:live"),
    }


def test_what_aws_itself_needs_is_granted():
    actions = {action for _, statement in rules.statements(EXPANDED) for action in rules.as_list(statement["Action"])}
    assert grants.BY_AWS.keys() - actions == set()


@pytest.mark.parametrize(("owner", "sid", "action"), [
    (owner, statement["Sid"], action)
    for owner, statement in rules.statements(EXPANDED)
    for action in rules.as_list(statement["Action"]) if action not in grants.BY_AWS
])
def test_a_removed_grant_is_missed(calls, owner, sid, action):
    changed = copy.deepcopy(EXPANDED)
    statement = next(each for name, each in rules.statements(changed) if (name, each["Sid"]) == (owner, sid))
    statement["Action"] = [each for each in rules.as_list(statement["Action"]) if each != action]
    found = set(grants.findings(changed, calls)) - set(grants.findings(EXPANDED, calls))
    resources = {name for resource in rules.as_list(statement["Resource"]) for name in grants.names(EXPANDED, resource)}
    assert found == {f"{owner}: {action} on {name} is called, and not granted" for name in resources}


TASKS = SAM["Resources"]["WebhookRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"][0]["Resource"]
MISTAKES = {
    "webhook may delete tasks": (
        widen("WebhookRole", "Tasks", Action=["dynamodb:ConditionCheckItem", "dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:Query", "dynamodb:UpdateItem"]),
        {"WebhookRole: dynamodb:DeleteItem on TasksTable is granted, and no test needs it"},
    ),
    "webhook may only read pull requests": (
        widen("WebhookRole", "PullRequests", Action="dynamodb:GetItem"),
        {f"WebhookRole: dynamodb:{action} on PullRequestsTable is called, and not granted" for action in ("ConditionCheckItem", "PutItem", "UpdateItem")},
    ),
    "reconcile may query the table, not its index": (
        widen("ReconcileRole", "Due", Resource=arn("PullRequestsTable")),
        {"ReconcileRole: dynamodb:Query on PullRequestsTable/index/due-index is called, and not granted"},
    ),
    "token function keeps its tokens with the tasks": (
        widen("TokenRole", "Tokens", Resource=TASKS),
        {f"TokenRole: dynamodb:{action} on TasksTable is granted, and no test needs it" for action in ("GetItem", "UpdateItem")}
        | {f"TokenRole: dynamodb:{action} on TokensTable is called, and not granted" for action in ("GetItem", "UpdateItem")},
    ),
    "agents may invoke reconcile as well": (
        widen("ClientPolicy", "Token", Resource=[arn("TokenFunction"), {"Ref": "TokenForAgents"}, arn("ReconcileFunction")]),
        {"ClientPolicy: lambda:InvokeFunction on ReconcileFunction is granted, and no test needs it"},
    ),
    "people may not add tasks": (
        lambda sam: next(each for owner, each in rules.statements(sam) if (owner, each["Sid"]) == ("OperatorPolicy", "Tasks"))["Action"].remove("dynamodb:PutItem"),
        {"OperatorPolicy: dynamodb:PutItem on TasksTable is called, and not granted"},
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_caught(calls, name):
    plant, expected = MISTAKES[name]
    sam = copy.deepcopy(SAM)
    plant(sam)
    assert set(grants.findings(template.expand(sam), calls)) - set(grants.findings(EXPANDED, calls)) == expected
