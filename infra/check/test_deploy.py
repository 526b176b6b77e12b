"""The template deployed into a local AWS: what is created, who may do what, and what a second deploy changes."""

import hashlib
import hmac
import json
import pathlib
import sys

import pytest

import rules
import template
from cloud import FUNCTIONS, Stack, checkout, in_terminal, wait_for

HERE = pathlib.Path(__file__).parent
DENIED = {"AccessDenied", "AccessDeniedException"}


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory):
    code = f"#!{sys.executable}\n{(HERE / 'stand_in.py').read_text()}".encode()
    return checkout(tmp_path_factory.mktemp("stand-ins"), lambda name: code)


@pytest.fixture(scope="module")
def stack(cloud, stand_ins):
    return cloud.deploy(stand_ins, "first", NamePrefix="first")[0]


def test_every_resource_is_created(stack):
    resources = stack.resources()
    assert {name: each["ResourceStatus"] for name, each in resources.items() if each["ResourceStatus"] != "CREATE_COMPLETE"} == {}
    expected = template.expand(template.load())["Resources"]
    assert resources.keys() == {name for name, each in expected.items() if each.get("Condition") != "HasDomain"}


def test_the_webhook_url_answers_through_the_function(stack):
    path = "/" + stack.outputs["WebhookUrl"].removeprefix("http://").partition("/")[2]
    assert path == "/api/webhooks/github"
    assert stack.post(path, b"{}") == (200, b'{"outcome": "stand-in"}')
    assert stack.post(path, None, method="GET")[0] == 404
    assert stack.post("/", b"{}")[0] == 404


def test_the_webhook_secret_is_generated_and_the_app_secret_empty(stack):
    secrets = stack.cloud.client("secretsmanager")
    value = json.loads(secrets.get_secret_value(SecretId=stack.outputs["WebhookSecret"])["SecretString"])
    assert list(value) == ["webhook_secret"] and len(value["webhook_secret"]) == 64
    assert secrets.get_secret_value(SecretId=stack.outputs["AppSecret"])["SecretString"] == ""
    assert ["first", "webhook"] == secrets.describe_secret(SecretId=stack.outputs["WebhookSecret"])["Name"].split("/")[::2]


def test_functions_are_told_the_names_of_this_stack(stack):
    functions = stack.cloud.client("lambda")
    for name in FUNCTIONS:
        inner = functions.get_function_configuration(FunctionName=f"first-{name}")
        variables = inner["Environment"]["Variables"]
        assert variables.keys() == rules.ENVIRONMENT[f"{name.capitalize()}Function"]
        expected = {"TASKS_TABLE": "TasksTable", "PULL_REQUESTS_TABLE": "PullRequestsTable", "TOKENS_TABLE": "TokensTable",
                    "WEBHOOK_SECRET_ID": "WebhookSecret", "APP_SECRET_ID": "AppSecret"}
        for variable in variables.keys() & expected.keys():
            assert variables[variable] == stack.outputs[expected[variable]]
        assert variables.get("TOKEN_FUNCTION", "first-token:reconcile") == "first-token:reconcile"
    assert stack.outputs["GitCredentialHelper"] == (
        "git config --global credential.https://github.com.useHttpPath true && "
        "git config --global --replace-all credential.https://github.com.helper '' && "
        "git config --global --add credential.https://github.com.helper '!TOKEN_FUNCTION=first-token:agents konduktor-github-app credential'"
    )
    json.loads(functions.get_function_configuration(FunctionName="first-token")["Environment"]["Variables"]["TOKEN_POLICY"])


def test_the_stream_wakes_reconcile_for_what_wants_a_check_only(stack):
    table = stack.outputs["PullRequestsTable"]
    put = lambda number, check: stack.cloud.client("dynamodb").put_item(
        TableName=table, Item={"repository_id": {"S": "1"}, "item": {"S": f"pr#{number}"}, "check": {"S": check}})
    put(7, "later")
    put(8, "now")
    wait_for("reconcile run", lambda: "pr#8" in stack.logged("reconcile"))
    assert "pr#7" not in stack.logged("reconcile")


def calls(stack):
    """Every call of the matrix: what it reaches, as `service:Action name`, and the call."""
    outputs = stack.outputs
    key = {"TasksTable": {"prefix": {"S": "abcd1234"}, "id": {"S": "abcd1234" + 24 * "0"}},
           "PullRequestsTable": {"repository_id": {"S": "1"}, "item": {"S": "pr#1"}},
           "TokensTable": {"cache_key": {"S": "k"}}}
    found = {}
    for table, item in key.items():
        name = {"TableName": outputs[table]}
        (hash_key, value), *_ = item.items()
        query = {"KeyConditionExpression": "#k = :v", "ExpressionAttributeNames": {"#k": hash_key}, "ExpressionAttributeValues": {":v": value}}
        check = name | {"Key": item, "ConditionExpression": "attribute_exists(#k) OR attribute_not_exists(#k)", "ExpressionAttributeNames": {"#k": hash_key}}
        found |= {
            f"ConditionCheckItem {table}": ["dynamodb", "transact_write_items", {"TransactItems": [{"ConditionCheck": check}]}],
            f"GetItem {table}": ["dynamodb", "get_item", name | {"Key": item}],
            f"BatchGetItem {table}": ["dynamodb", "batch_get_item", {"RequestItems": {outputs[table]: {"Keys": [item]}}}],
            f"Query {table}": ["dynamodb", "query", name | query],
            f"PutItem {table}": ["dynamodb", "put_item", name | {"Item": item}],
            f"UpdateItem {table}": ["dynamodb", "update_item", name | {"Key": item}],
            f"DeleteItem {table}": ["dynamodb", "delete_item", name | {"Key": item}],
            f"Scan {table}": ["dynamodb", "scan", name],
            f"DeleteTable {table}": ["dynamodb", "delete_table", name],
        }
    due = {"KeyConditionExpression": "#k = :v", "ExpressionAttributeNames": {"#k": "due"}, "ExpressionAttributeValues": {":v": {"S": "open"}}}
    found["Query due-index"] = ["dynamodb", "query", {"TableName": outputs["PullRequestsTable"], "IndexName": "due-index"} | due]
    for secret in ("WebhookSecret", "AppSecret"):
        found[f"GetSecretValue {secret}"] = ["secretsmanager", "get_secret_value", {"SecretId": outputs[secret]}]
        found[f"PutSecretValue {secret}"] = ["secretsmanager", "put_secret_value", {"SecretId": outputs[secret], "SecretString": "{}"}]
    for name in FUNCTIONS:
        function = f"{name.capitalize()}Function"
        found[f"InvokeFunction {function}"] = ["lambda", "invoke", {"FunctionName": outputs[function], "Payload": '{"ping":1}'}]
    for alias in ALIASES:
        found[f"InvokeFunction token:{alias}"] = ["lambda", "invoke", {"FunctionName": f"{outputs['TokenFunction']}:{alias}", "Payload": '{"ping":1}'}]
    for name in FUNCTIONS:
        function = f"{name.capitalize()}Function"
        found[f"FilterLogEvents {function}"] = ["logs", "filter_log_events", {"logGroupName": f"/aws/lambda/{outputs[function]}"}]
    found["ListSecrets"] = ["secretsmanager", "list_secrets", {}]
    found["ListTables"] = ["dynamodb", "list_tables", {}]
    found["AttachRolePolicy"] = ["iam", "attach_role_policy", {"RoleName": stack.resources()["TokenRole"]["PhysicalResourceId"], "PolicyArn": outputs["OperatorPolicy"]}]
    return found


ALIASES = ("reconcile", "agents", "pushers", "inspect")
LOGS = {f"FilterLogEvents {name.capitalize()}Function" for name in FUNCTIONS}
GRANTED = {
    "webhook": {
        "ConditionCheckItem TasksTable", "ConditionCheckItem PullRequestsTable",
        "GetItem TasksTable", "Query TasksTable", "UpdateItem TasksTable",
        "GetItem PullRequestsTable", "PutItem PullRequestsTable", "UpdateItem PullRequestsTable",
        "GetSecretValue WebhookSecret",
    },
    "reconcile": {
        "ConditionCheckItem TasksTable", "ConditionCheckItem PullRequestsTable",
        "GetItem TasksTable", "Query TasksTable", "Scan TasksTable", "UpdateItem TasksTable",
        "BatchGetItem TasksTable", "BatchGetItem PullRequestsTable", "GetItem PullRequestsTable", "PutItem PullRequestsTable", "Query PullRequestsTable",
        "UpdateItem PullRequestsTable",
        "Query due-index", "InvokeFunction token:reconcile",
    },
    "token": {
        "GetItem TokensTable", "UpdateItem TokensTable",
        "GetSecretValue AppSecret",
    },
}


def allowed(matrix, outcomes):
    return {name for name, outcome in zip(matrix, outcomes) if outcome not in DENIED}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_may_do_its_own_job_and_nothing_else(stack, function):
    matrix = calls(stack)
    outcomes = dict(zip(matrix, stack.calls_as(function, list(matrix.values()))))
    assert allowed(matrix, outcomes.values()) == GRANTED[function]
    # A grant counts only if the call went through: an error of another kind would pass for "allowed".
    assert {name: outcomes[name] for name in GRANTED[function] if outcomes[name] != "ok"} == {}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_each_removed_grant_stops_just_the_step_that_needs_it(stack, function):
    iam = stack.cloud.client("iam")
    role = stack.resources()[f"{function.capitalize()}Role"]["PhysicalResourceId"]
    policy = {"RoleName": role, "PolicyName": function}
    document = iam.get_role_policy(**policy)["PolicyDocument"]
    matrix = {name: call for name, call in calls(stack).items() if name in GRANTED[function]}
    stopped = set()
    for index, statement in enumerate(document["Statement"]):
        if statement["Sid"] in ("Logs", "Stream", "ListStreams"):
            continue
        for action in rules.as_list(statement["Action"]):
            rest = json.loads(json.dumps(document))
            rest["Statement"][index]["Action"] = [each for each in rules.as_list(statement["Action"]) if each != action] or ["s3:ListAllMyBuckets"]
            iam.put_role_policy(**policy, PolicyDocument=json.dumps(rest))
            try:
                lost = matrix.keys() - allowed(matrix, stack.calls_as(function, list(matrix.values())))
            finally:
                iam.put_role_policy(**policy, PolicyDocument=json.dumps(document))
            stopped |= lost
            assert {name.split()[0] for name in lost} == {action.split(":")[1]} and len(lost) == 1, f"{statement['Sid']} {action} stops {lost}"
    assert stopped == matrix.keys()


@pytest.mark.parametrize(("policy", "granted"), [
    ("ClientPolicy", {"InvokeFunction TokenFunction", "InvokeFunction token:agents"}),
    ("AgentPolicy", {"InvokeFunction TokenFunction", "InvokeFunction token:agents", "Query TasksTable", "Scan TasksTable", "UpdateItem TasksTable"}),
    ("PusherPolicy", {"InvokeFunction token:pushers"}),
    ("BoardPolicy", {"Query TasksTable", "PutItem TasksTable", "UpdateItem TasksTable", "Scan TasksTable"}),
    ("InspectPolicy", {"Query TasksTable", "Scan TasksTable", "GetItem PullRequestsTable", "InvokeFunction token:inspect"} | LOGS),
    ("OperatorPolicy", LOGS | {
        "Query TasksTable", "PutItem TasksTable", "UpdateItem TasksTable", "Scan TasksTable", "GetItem PullRequestsTable",
        "GetSecretValue WebhookSecret", "GetSecretValue AppSecret", "PutSecretValue WebhookSecret", "PutSecretValue AppSecret",
        "InvokeFunction ReconcileFunction", "InvokeFunction TokenFunction", "InvokeFunction token:inspect",
    }),
])
def test_a_person_may_do_what_the_policy_is_for(stack, policy, granted):
    iam = stack.cloud.client("iam")
    iam.create_user(UserName=policy)
    iam.attach_user_policy(UserName=policy, PolicyArn=stack.outputs[policy])
    key = iam.create_access_key(UserName=policy)["AccessKey"]
    credentials = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    secrets = stack.cloud.client("secretsmanager")
    before = secrets.get_secret_value(SecretId=stack.outputs["WebhookSecret"])["SecretString"]
    outcomes = {}
    for name, (service, operation, parameters) in calls(stack).items():
        client = stack.cloud.client(service, **credentials)
        try:
            getattr(client, operation)(**parameters)
            outcomes[name] = "ok"
        except client.exceptions.ClientError as error:
            outcomes[name] = error.response["Error"]["Code"]
    secrets.put_secret_value(SecretId=stack.outputs["WebhookSecret"], SecretString=before)
    assert allowed(outcomes, outcomes.values()) == granted
    described = stack.cloud.client("cloudformation", **credentials)
    if policy in ("BoardPolicy", "InspectPolicy", "OperatorPolicy"):
        assert described.describe_stacks(StackName=stack.name)["Stacks"][0]["StackId"] == stack.id
    else:
        with pytest.raises(described.exceptions.ClientError, match="AccessDenied"):
            described.describe_stacks(StackName=stack.name)


def test_a_second_deploy_changes_nothing_and_a_changed_one_replaces_nothing(cloud, stand_ins, stack):
    before = {name: each["PhysicalResourceId"] for name, each in stack.resources().items()}
    secret = cloud.client("secretsmanager").get_secret_value(SecretId=stack.outputs["WebhookSecret"])["SecretString"]
    assert "No changes to deploy" in cloud.deploy(stand_ins, "first")[1]
    cloud.deploy(stand_ins, "first", NamePrefix="first", LogRetentionDays=90, TokenConcurrency=5, ThrottlingRate=10, GitHubApiUrl="https://git.example.com/api/v3",
                 DomainName="hooks.example.com", CertificateArn=f"arn:aws:acm:{template.REGION}:000000000000:certificate/1")
    changed = Stack(cloud, "first")
    after = {name: each["PhysicalResourceId"] for name, each in changed.resources().items()}
    assert after.items() >= before.items()
    assert after.keys() - before.keys() == {"ApiDomain", "ApiDomainMapping"}
    assert changed.outputs["WebhookUrl"] == "https://hooks.example.com/api/webhooks/github"
    assert cloud.client("secretsmanager").get_secret_value(SecretId=changed.outputs["WebhookSecret"])["SecretString"] == secret
    assert "credential.https://git.example.com.helper" in changed.outputs["GitCredentialHelper"]


def test_a_domain_needs_its_certificate(cloud, stand_ins):
    with pytest.raises(AssertionError, match="Set both or neither"):
        cloud.deploy(stand_ins, "half", NamePrefix="half", DomainName="hooks.example.com")


def test_two_stacks_live_side_by_side_and_one_comes_back_with_its_tasks(cloud, stand_ins, stack):
    second, _ = cloud.deploy(stand_ins, "second", NamePrefix="second")
    shared = {each["PhysicalResourceId"] for each in stack.resources().values()} & {each["PhysicalResourceId"] for each in second.resources().values()}
    assert shared == {"$default"}, "a stage is named within its API; nothing else may be shared"
    task = {"prefix": {"S": "abcd1234"}, "id": {"S": "abcd1234" + 24 * "0"}, "title": {"S": "survives"}}
    cloud.client("dynamodb").put_item(TableName=second.outputs["TasksTable"], Item=task)
    kept = second.outputs["TasksTable"]

    cloud.destroy("second")
    assert {name for name in cloud.tables() if name.startswith("second")} == {kept}
    groups = cloud.client("logs").describe_log_groups()["logGroups"]
    assert [group["logGroupName"] for group in groups if "second" in group["logGroupName"]] == []

    again, _ = cloud.deploy(stand_ins, "second", NamePrefix="second", ExistingTasksTable=kept)
    assert again.outputs["TasksTable"] == kept
    assert "TasksTable" not in again.resources()
    assert again.outputs["WebhookSecret"] != second.outputs["WebhookSecret"]
    assert again.post("/api/webhooks/github", b"{}")[0] == 200
    get = ["dynamodb", "get_item", {"TableName": kept, "Key": {"prefix": task["prefix"], "id": task["id"]}}]
    assert again.calls_as("webhook", [get]) == ["ok"]
    assert stack.post("/api/webhooks/github", b"{}")[0] == 200

    cloud.destroy("second")
    assert kept in cloud.tables()


def test_the_schedule_asks_for_what_is_due(stack):
    wait_for("scheduled run", lambda: '"schedule": "due"' in stack.logged("reconcile"), seconds=90)


@pytest.fixture(scope="module")
def built(tmp_path_factory, functions):
    """A checkout with the functions as built."""
    return checkout(tmp_path_factory.mktemp("built"), functions)


@pytest.fixture(scope="module")
def real(cloud, built):
    """A stack of the functions as built, made as a newcomer makes it."""
    run = in_terminal(cloud, built, "make", "deploy")
    assert run.returncode == 0, run.stdout + run.stderr
    return Stack(cloud, "konduktor-github-app"), run.stdout


def deliver(stack, event, payload, secret=None):
    body = json.dumps(payload).encode()
    signature = "" if secret is None else "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {"x-github-event": event, "x-github-delivery": "00000000-0000-0000-0000-000000000001", "x-hub-signature-256": signature}
    return stack.post("/api/webhooks/github", body, headers=headers.items())


@pytest.mark.real
def test_make_deploy_says_what_comes_next_and_can_be_run_again(real, built):
    stack, printed = real
    after = printed.partition("\nNext:\n")[2]
    for what in ("infra/configure-github-app\n", stack.outputs["ClientPolicy"], stack.outputs["OperatorPolicy"], stack.outputs["GitCredentialHelper"], "make install"):
        assert what in after
    again = in_terminal(stack.cloud, built, "make", "deploy")
    assert again.returncode == 0 and "No changes to deploy" in again.stdout, again.stdout + again.stderr
    assert again.stdout.endswith(after)


@pytest.mark.real
def test_code_built_for_another_processor_is_not_pushed(real, built):
    bootstrap = built / "target" / "lambda" / "webhook" / "bootstrap"
    own = bootstrap.read_bytes()
    for header, words in ((own[:18] + b"\xb7" + own[19:], "ARCHITECTURE=x86_64"), (b"#!/bin/sh\n", "make build")):
        bootstrap.write_bytes(header)
        run = in_terminal(real[0].cloud, built, "infra/deploy", "webhook")
        assert run.returncode == 1 and words in run.stderr, run.stdout + run.stderr
    bootstrap.write_bytes(own)


@pytest.mark.real
def test_a_push_of_one_function_changes_its_code_and_nothing_else(real, built):
    stack, _ = real
    functions = stack.cloud.client("lambda")
    moving = {"ResponseMetadata", "CodeSha256", "CodeSize", "LastModified", "RevisionId"}
    configured = lambda: {name: functions.get_function_configuration(FunctionName=f"konduktor-{name}") for name in FUNCTIONS}
    settled = lambda: all(each["State"] == "Active" and each["LastUpdateStatus"] == "Successful" for each in configured().values())
    fixed = lambda: {name: {key: value for key, value in each.items() if key not in moving and "Update" not in key and "State" not in key} for name, each in configured().items()}
    before, code = fixed(), {name: each["CodeSha256"] for name, each in configured().items()}
    assert set(before["webhook"]) >= {"Role", "Environment", "Timeout", "MemorySize", "Runtime", "Handler", "Architectures", "LoggingConfig"}
    bootstrap = built / "target" / "lambda" / "webhook" / "bootstrap"
    own = bootstrap.read_bytes()
    bootstrap.write_bytes((built / "target" / "lambda" / "token" / "bootstrap").read_bytes())
    run = in_terminal(stack.cloud, built, "infra/deploy", "webhook")
    assert run.returncode == 0, run.stdout + run.stderr
    wait_for("settled functions", settled)
    changed = {name for name, each in configured().items() if each["CodeSha256"] != code[name]}
    assert (changed, fixed()) == ({"webhook"}, before)

    bootstrap.write_bytes(own)
    assert in_terminal(stack.cloud, built, "infra/deploy", "webhook").returncode == 0
    wait_for("settled functions", settled)


@pytest.mark.real
def test_a_push_without_a_stack_creates_no_function(real, built):
    cloud = real[0].cloud
    held = lambda: (len(cloud.client("lambda").list_functions()["Functions"]), len(cloud.client("iam").list_roles()["Roles"]))
    before = held()
    run = in_terminal(cloud, built, "env", "STACK=nobody-made-this", "infra/deploy", "webhook")
    assert run.returncode == 1 and "make deploy first" in run.stderr, run.stdout + run.stderr
    for wrong in ("", "F=", "F=webhooks"):
        run = in_terminal(cloud, built, "make", "deploy-function", *wrong.split())
        assert run.returncode == 2 and "F=webhook, F=reconcile or F=token" in run.stderr, run.stdout + run.stderr
    assert held() == before


@pytest.mark.real
def test_a_signed_merge_moves_its_task_under_the_real_function(real):
    real, _ = real
    secret = json.loads(real.cloud.client("secretsmanager").get_secret_value(SecretId=real.outputs["WebhookSecret"])["SecretString"])["webhook_secret"]
    tasks = real.cloud.client("dynamodb")
    key = {"prefix": {"S": "abcd1234"}, "id": {"S": "abcd1234" + 24 * "0"}}
    tasks.put_item(TableName=real.outputs["TasksTable"], Item=key | {
        "title": {"S": "Fix the login"}, "status": {"S": "pr_submitted"}, "priority": {"S": "p2"},
        "created_at": {"S": "2026-01-01T00:00:00Z"}, "updated_at": {"S": "2026-01-01T00:00:00Z"},
    })
    status = lambda: tasks.get_item(TableName=real.outputs["TasksTable"], Key=key)["Item"]["status"]["S"]
    repository = {"id": 1, "name": "app", "full_name": "acme/app", "default_branch": "main", "private": True, "owner": {"login": "acme", "id": 2}}
    merge = {
        "action": "closed", "number": 7, "installation": {"id": 3}, "repository": repository, "sender": {"login": "dev", "id": 4},
        "pull_request": {
            "id": 5, "number": 7, "title": "Fix the login [kid: #abcd1234]", "state": "closed", "merged": True, "draft": False,
            "html_url": "https://github.com/acme/app/pull/7", "created_at": "2026-01-02T00:00:00Z", "updated_at": "2026-01-03T00:00:00Z",
            "mergeable": None, "mergeable_state": "unknown", "merged_at": "2026-01-03T00:00:00Z", "user": {"login": "dev", "id": 4},
            "head": {"ref": "fix", "sha": 40 * "a", "repo": repository}, "base": {"ref": "main", "sha": 40 * "b", "repo": repository},
        },
    }
    assert deliver(real, "pull_request", merge)[0] == 401
    assert deliver(real, "pull_request", merge, "another secret")[0] == 401
    assert status() == "pr_submitted"
    code, answer = deliver(real, "pull_request", merge, secret)
    assert (code, status()) == (200, "done"), answer


@pytest.mark.real
def test_the_real_token_function_says_that_nobody_configured_it(real):
    real, _ = real
    answer = real.cloud.client("lambda").invoke(FunctionName=real.outputs["TokenFunction"], Payload=b"{}")
    assert json.loads(answer["Payload"].read())["errorType"] == "NotConfigured"
