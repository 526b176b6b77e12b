"""What an operator does after the first deploy: change, push, retry, take back, destroy; from a shell as people have it."""

import base64
import gzip
import hashlib
import json
import os
import shutil
import sys

import pytest

import template
import zips
from cloud import Operator, Stack, checkout, in_terminal, wait_for

pytestmark = pytest.mark.real

ELSEWHERE = "eu-west-1"


class Desk:
    """A checkout with the functions as built, and a terminal in it."""

    def __init__(self, cloud, folder, stack, **variables):
        self.cloud, self.folder, self.stack, self.variables = cloud, folder, stack, variables
        self.file = folder / "infra" / "parameters" / f"{stack}.toml"

    def write(self, text):
        self.file.parent.mkdir(exist_ok=True)
        self.file.write_text(text)

    def run(self, *words, **variables):
        return in_terminal(self.cloud, self.folder, *words, **{"STACK": self.stack} | self.variables | variables)

    def did(self, *words, **variables):
        run = self.run(*words, **variables)
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout

    def refused(self, *words, **variables):
        run = self.run(*words, **variables)
        assert run.returncode != 0, run.stdout + run.stderr
        return run.stdout + run.stderr

    def deployed(self):
        return Stack(self.cloud, self.stack)

    def bootstrap(self, function):
        return self.folder / "target" / "lambda" / function / "bootstrap"


@pytest.fixture(scope="module")
def desk(cloud, functions, tmp_path_factory):
    desk = Desk(cloud, checkout(tmp_path_factory.mktemp("desk"), functions), "day2", CLI="false")
    desk.write('NamePrefix = "day2"\n')
    desk.did("make", "deploy")
    return desk


@pytest.fixture(autouse=True)
def file_as_it_was(request):
    yield
    if "desk" in request.fixturenames:
        request.getfixturevalue("desk").write('NamePrefix = "day2"\n')


def names(cloud, region):
    functions = cloud.client("lambda", region)
    return [each["FunctionName"] for each in functions.list_functions()["Functions"]]


def running(desk):
    """Everything of a stack that a refused deploy must not touch."""
    stack = desk.deployed()
    functions = desk.cloud.client("lambda")
    settings = {name: functions.get_function_configuration(FunctionName=stack.outputs[f"{name.capitalize()}Function"]) for name in ("webhook", "reconcile", "token")}
    secret = desk.cloud.client("secretsmanager").get_secret_value(SecretId=stack.outputs["WebhookSecret"])["SecretString"]
    return {name: (each["CodeSha256"], each["Environment"], each["MemorySize"]) for name, each in settings.items()}, secret, stack.outputs


# --- One region -------------------------------------------------------------------------------------------------------


def test_account_and_region_are_settled_once_and_said(desk, tmp_path):
    said = f"Account 000000000000, region {template.REGION}, stack day2"
    assert desk.did("infra/deploy", "webhook").startswith(said)
    profile = tmp_path / "config"
    profile.write_text(f"[default]\nregion = {template.REGION}\n")
    assert desk.did("infra/deploy", "webhook", AWS_DEFAULT_REGION=None, AWS_CONFIG_FILE=str(profile)).startswith(said)
    assert "no AWS region" in desk.refused("infra/deploy", "webhook", AWS_DEFAULT_REGION=None, AWS_CONFIG_FILE=os.devnull)


@pytest.mark.parametrize("words", [("infra/deploy", "webhook"), ("make", "destroy")])
def test_another_region_is_another_stack_for_every_tool(desk, words):
    before = running(desk)
    roles = len(desk.cloud.client("iam").list_roles()["Roles"])
    said = desk.refused(*words, AWS_REGION=ELSEWHERE)
    assert f"region {ELSEWHERE}" in said and "day2" in said
    assert names(desk.cloud, ELSEWHERE) == []
    assert len(desk.cloud.client("iam").list_roles()["Roles"]) == roles
    assert running(desk) == before


@pytest.mark.parametrize("key", ["profile", "region", "parameter_overrides", "s3-prefix"])
def test_sam_is_told_nothing_behind_the_deploys_back(desk, key):
    config = desk.folder / "infra/samconfig.toml"
    own = config.read_text()
    config.write_text(own + f'{key} = "NamePrefix=other"\n')
    try:
        said = desk.refused("make", "deploy")
    finally:
        config.write_text(own)
    assert f"sets {key.replace('-', '_')}" in said and "infra/parameters/day2.toml" in said, said


def test_a_push_leaves_no_version_behind(desk):
    desk.did("infra/deploy", "webhook")
    versions = desk.cloud.client("lambda").list_versions_by_function(FunctionName="day2-webhook")["Versions"]
    assert [each["Version"] for each in versions] == ["$LATEST"]


# --- Parameters -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("file", "words"), [
    ('NamePrefix = "acme"', "replace both secrets"),
    ('NamePrefx = "day2"', "NamePrefx"),
    ("NamePrefix = day2", "is not TOML"),
    ('ExistingTasksTable = "another"', "has the Tasks table day2-TasksTable-"),
    ('ExecuteApiEndpoint = "off"', "nothing would answer"),
    ('Architecture = "arm64"', "make build ARCHITECTURE=arm64"),
    ("TokenConcurrency = 950", "Service Quotas"),
    ('TokenPolicy = "{broken}"', "TOKEN_POLICY"),
    ("[TokenPolicy.permissions]\ncontents = 'wrote'", "TOKEN_POLICY"),
    ("[TokenPolicy]\nrepositories = []", "TOKEN_POLICY"),
    ('GitHubApiUrl = "http://github.example.com"', "GitHubApiUrl must begin with https://"),
    ('HttpsProxy = "http://user:password@proxy.example.com:3128"', "HttpsProxy must be http:// or https://"),
])
def test_parameters_that_would_do_harm_are_refused_before_anything_changes(desk, file, words):
    before = running(desk)
    desk.write(file)
    said = desk.refused("make", "deploy", PATH=without_cargo())
    assert words in said and "user:password" not in said
    assert running(desk) == before


def without_cargo():
    """A PATH like that of somebody who has no Rust."""
    return ":".join([os.path.dirname(sys.executable), *(each for each in os.environ["PATH"].split(":") if not shutil.which("cargo", path=each))])


def test_the_file_is_what_the_functions_get(desk):
    desk.write('NamePrefix = "day2"\nLogRetentionDays = 90\n[TokenPolicy]\nrepositories = ["web-*", "acme/api"]\n[TokenPolicy.permissions]\ncontents = "read"\n')
    said = desk.did("make", "deploy")
    assert "LogRetentionDays: 30 → 90" in said
    policy = desk.cloud.client("lambda").get_function_configuration(FunctionName="day2-token")["Environment"]["Variables"]["TOKEN_POLICY"]
    assert json.loads(policy) == {"repositories": ["web-*", "acme/api"], "permissions": {"contents": "read"}}
    # A line that is taken out of the file takes nothing away from the stack, and that is said.
    desk.write('NamePrefix = "day2"\n')
    assert "LogRetentionDays: 90, as it was" in desk.did("make", "deploy")
    assert desk.cloud.client("lambda").get_function_configuration(FunctionName="day2-token")["Environment"]["Variables"]["TOKEN_POLICY"] == policy


# What each parameter is changed to on a running stack.
CHANGED = {
    "PermissionsBoundary": "arn:aws:iam::000000000000:policy/boundary",
    "RolePath": "/apps/konduktor/",
    "KmsKeyArn": f"arn:aws:kms:{template.REGION}:000000000000:key/1",
    "VpcSubnetIds": ["subnet-0a1b2c3d", "subnet-1a1b2c3d"],
    "VpcSecurityGroupIds": ["sg-0a1b2c3d"],
    "CaBundleLayer": f"arn:aws:lambda:{template.REGION}:000000000000:layer:certificates:1",
    "HttpsProxy": "http://proxy.example.com:3128",
    "NoProxy": "amazonaws.com,10.0.0.0/8",
    "GitHubApiUrl": "https://git.example.com/api/v3",
    "TokenPolicy": {"permissions": {"contents": "read"}},
    "ThrottlingRate": 10,
    "ThrottlingBurst": 20,
    "WebhookConcurrency": 5,
    "TokenConcurrency": 6,
    "DomainName": "hooks.example.com",
    "CertificateArn": f"arn:aws:acm:{template.REGION}:000000000000:certificate/1",
    "ExecuteApiEndpoint": "off",
    "AlarmTopicArn": f"arn:aws:sns:{template.REGION}:000000000000:alarms",
    "LogRetentionDays": 90,
    "LogLevel": "DEBUG",
    "Tracing": "Active",
}
# Refused, settled by the build, and refused again.
NOT_CHANGED = {"NamePrefix", "Architecture", "ExistingTasksTable"}


def test_no_parameter_of_a_running_stack_takes_its_secrets_or_tables_away(desk):
    assert CHANGED.keys() | NOT_CHANGED == template.load()["Parameters"].keys()
    other = Desk(desk.cloud, desk.folder, "each")
    other.write('NamePrefix = "each"\n')
    other.did("make", "deploy")
    before, resources, secrets = other.deployed().outputs, other.deployed().resources(), desk.cloud.client("secretsmanager")
    values = lambda: [secrets.get_secret_value(SecretId=before[name], VersionStage=stage)["SecretString"]
                      for name, stage in (("WebhookSecret", "AWSCURRENT"), ("AppSecret", "held"))]
    # Beside the current version: what is configured and cannot be verified closes no door.
    secrets.put_secret_value(SecretId=before["AppSecret"], SecretString='{"app_id": 1}', VersionStages=["held"])
    held = values()
    desk.cloud.client("lambda").publish_layer_version(LayerName="certificates", Content={"ZipFile": zips.packed(b"no certificates")})
    other.write("".join(f"{name} = {json.dumps(value)}\n" for name, value in CHANGED.items() if not isinstance(value, dict)) + '[TokenPolicy.permissions]\ncontents = "read"\n')
    other.did("make", "deploy")
    after = other.deployed()
    assert values() == held
    kept = {"Tasks", "PullRequests", "Tokens"}
    assert all(after.outputs[f"{name}Table"] == before[f"{name}Table"] for name in kept)
    moved = {name for name, each in resources.items() if after.resources()[name]["PhysicalResourceId"] != each["PhysicalResourceId"]}
    # A role's path is part of its name for IAM.
    assert moved <= {"WebhookRole", "ReconcileRole", "TokenRole"}
    assert {name: value for name, value in after.parameters.items() if name in CHANGED} == {
        name: ",".join(value) if isinstance(value, list) else json.dumps(value, separators=(",", ":")) if isinstance(value, dict) else str(value)
        for name, value in CHANGED.items()}
    token = desk.cloud.client("lambda").get_function_configuration(FunctionName="each-token")
    assert [each["Arn"] for each in token["Layers"]] == [CHANGED["CaBundleLayer"]]
    given = {"SSL_CERT_FILE": "/opt/ca-bundle.pem", "HTTPS_PROXY": CHANGED["HttpsProxy"], "NO_PROXY": CHANGED["NoProxy"]}
    assert token["Environment"]["Variables"].items() >= given.items()
    assert token["TracingConfig"] == {"Mode": "Active"}
    role = desk.cloud.client("iam").get_role(RoleName=token["Role"].rsplit("/", 1)[1])["Role"]
    assert role["Path"] == CHANGED["RolePath"]
    assert secrets.describe_secret(SecretId=before["AppSecret"])["KmsKeyId"] == CHANGED["KmsKeyArn"]
    for name in kept:
        described = desk.cloud.client("dynamodb").describe_table(TableName=before[f"{name}Table"])["Table"]
        assert described["SSEDescription"]["KMSMasterKeyArn"] == CHANGED["KmsKeyArn"]

    defaults = {name: each["Default"] for name, each in template.load()["Parameters"].items() if name not in NOT_CHANGED}
    other.write("".join(f"{name} = {json.dumps(value)}\n" for name, value in defaults.items()))
    assert "is not under the new key" in other.refused("make", "deploy")
    for name in ("WebhookSecret", "AppSecret"):
        secrets.update_secret(SecretId=before[name], KmsKeyId="alias/aws/secretsmanager")
    other.did("make", "deploy")
    again = other.deployed()
    assert values() == held
    assert again.outputs == before
    assert again.parameters.items() >= {name: str(value) for name, value in defaults.items()}.items()
    moved = {name for name, each in resources.items() if again.resources()[name]["PhysicalResourceId"] != each["PhysicalResourceId"]}
    assert moved <= {"WebhookRole", "ReconcileRole", "TokenRole"}
    other.did("make", "destroy")


def test_no_update_may_replace_or_remove_a_secret_or_a_table(desk):
    policy = json.loads(desk.cloud.client("cloudformation").get_stack_policy(StackName="day2")["StackPolicyBody"])
    denied = [each for each in policy["Statement"] if each["Effect"] == "Deny"]
    assert [(sorted(each["Action"]), sorted(each["Condition"]["StringEquals"]["ResourceType"])) for each in denied] == [
        (["Update:Delete", "Update:Replace"], ["AWS::DynamoDB::Table", "AWS::SecretsManager::Secret"])]


def test_what_an_earlier_template_was_deployed_with_stays_but_for_its_defaults(desk):
    """A stack as `sam deploy --parameter-overrides` made it: what was given once is kept, and no secret is made anew."""
    old = template.load()
    old["Parameters"]["ThrottlingRate"]["Default"] = 50
    source = desk.folder / "infra/template.yaml"
    new = source.read_text()
    source.write_text(template.dump(old))
    try:
        stack, _ = desk.cloud.deploy(desk.folder, "earlier", NamePrefix="earlier", LogRetentionDays=90)
    finally:
        source.write_text(new)
    secret = lambda: desk.cloud.client("secretsmanager").get_secret_value(SecretId=stack.outputs["WebhookSecret"])["SecretString"]
    before, other = secret(), Desk(desk.cloud, desk.folder, "earlier", CLI="false")
    said = other.did("make", "deploy")
    assert "ThrottlingRate: 50 → 500" in said and "LogRetentionDays: 90, as it was" in said, said
    kept = other.deployed()
    assert [kept.parameters[name] for name in ("NamePrefix", "LogRetentionDays", "ThrottlingRate")] == ["earlier", "90", "500"]
    assert {name: each["PhysicalResourceId"] for name, each in kept.resources().items()} == {name: each["PhysicalResourceId"] for name, each in stack.resources().items()}
    assert secret() == before
    other.did("make", "destroy")


def test_a_second_stack_needs_names_of_its_own(desk):
    other = Desk(desk.cloud, desk.folder, "another", CLI="false")
    other.write('NamePrefix = "day2"\n')
    assert "a NamePrefix of its own" in other.refused("make", "deploy")
    assert "does not exist" in str(pytest.raises(Exception, other.deployed).value)


def test_functions_of_two_processors_are_not_deployed(desk):
    bootstrap = desk.bootstrap("token")
    own = bootstrap.read_bytes()
    bootstrap.write_bytes(own[:18] + b"\xb7" + own[19:])
    try:
        assert "webhook for x86_64, reconcile for x86_64, token for arm64" in desk.refused("make", "deploy")
    finally:
        bootstrap.write_bytes(own)


def test_a_deploy_undoes_what_was_pushed(desk):
    bootstrap = desk.bootstrap("webhook")
    own = bootstrap.read_bytes()
    before = running(desk)
    bootstrap.write_bytes(own + b"\0")
    desk.did("infra/deploy", "webhook")
    assert running(desk) != before
    bootstrap.write_bytes(own)
    assert "webhook ran code that was pushed" in desk.did("make", "deploy")
    assert running(desk) == before


# --- Zips of a release ------------------------------------------------------------------------------------------------


def test_the_zips_of_a_release_are_deployed_as_they_are_without_rust(desk, tmp_path):
    folder = tmp_path / "release"
    desk.did("infra/dist", str(folder))
    own = {path: path.read_bytes() for path in map(desk.bootstrap, ("webhook", "reconcile", "token"))}
    try:
        for path in own:
            path.unlink()
        desk.did("make", "deploy", ZIPS=str(folder), PATH=without_cargo())
        code, _, _ = running(desk)
        for function, (there, *_) in code.items():
            assert there == base64.b64encode(hashlib.sha256((folder / f"{function}.zip").read_bytes()).digest()).decode()
        damaged = bytearray((folder / "token.zip").read_bytes())
        damaged[-1] ^= 1
        (folder / "token.zip").write_bytes(damaged)
        assert "is not what SHA256SUMS says" in desk.refused("make", "deploy", ZIPS=str(folder))
    finally:
        for path, bytes in own.items():
            path.write_bytes(bytes)
            path.chmod(0o755)


def test_the_same_executables_make_the_same_zips(desk, tmp_path):
    for name in ("one", "other"):
        desk.did("infra/dist", str(tmp_path / name))
        for function in ("webhook", "reconcile", "token"):
            os.utime(desk.bootstrap(function))
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "other" / path.name).read_bytes(), path.name


# --- A first deploy that fails, and the end of a stack ----------------------------------------------------------------


def test_a_failed_first_deploy_says_what_is_left_and_can_be_repeated(desk):
    other = Desk(desk.cloud, desk.folder, "failed", CLI="false")
    other.write(f'NamePrefix = "failed"\nCaBundleLayer = "arn:aws:lambda:{template.REGION}:000000000000:layer:nobody-made-this:1"\n')
    said = other.refused("make", "deploy")
    assert "ROLLBACK_COMPLETE" in said and "make destroy" in said and "Function: " in said and "nobody-made-this" in said, said
    # CloudFormation keeps the table of a stack that was never finished, and nobody would know of it.
    assert all(name in said for name in desk.cloud.tables() if name.startswith("failed-Tasks")), said
    assert other.refused("make", "deploy").count("can only be deleted") == 1
    other.write('NamePrefix = "failed"\n')
    gone = other.did("make", "destroy")
    assert "The stack failed is deleted" in gone
    other.did("make", "deploy")
    other.did("make", "destroy")


def test_a_failed_update_changes_nothing_and_can_be_repeated(desk):
    before = running(desk)
    desk.write(f'NamePrefix = "day2"\nCaBundleLayer = "arn:aws:lambda:{template.REGION}:000000000000:layer:nobody-made-this:1"\n')
    assert "nothing was changed, or it was changed back" in desk.refused("make", "deploy")
    assert running(desk) == before
    desk.write('NamePrefix = "day2"\nCaBundleLayer = ""\n')
    desk.did("make", "deploy")
    assert running(desk) == before


@pytest.mark.parametrize(("keys", "words"), [(None, "there is no such table"), (["prefix", "number"], "has the keys prefix, number")])
def test_a_first_deploy_takes_no_table_that_holds_no_tasks(desk, keys, words):
    if keys:
        desk.cloud.client("dynamodb").create_table(TableName="no-tasks", BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
            KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"))])
    other = Desk(desk.cloud, desk.folder, "board", CLI="false")
    other.write('NamePrefix = "board"\nExistingTasksTable = "no-tasks"\n')
    assert words in other.refused("make", "deploy")
    assert "does not exist" in str(pytest.raises(Exception, other.deployed).value)


def test_destroying_detaches_says_what_stays_and_leaves_other_stacks_alone(desk):
    other = Desk(desk.cloud, desk.folder, "going", CLI="false")
    other.write('NamePrefix = "going"\n')
    other.did("make", "deploy")
    stack = other.deployed()
    iam = desk.cloud.client("iam")
    trust = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]})
    iam.create_role(RoleName="agents", AssumeRolePolicyDocument=trust)
    iam.create_user(UserName="somebody")
    iam.create_group(GroupName="people")
    policies = [each["PhysicalResourceId"] for each in stack.resources().values() if each["ResourceType"] == "AWS::IAM::ManagedPolicy"]
    assert len(policies) == 6
    for policy in policies:
        iam.attach_role_policy(RoleName="agents", PolicyArn=policy)
    for attach, who in ((iam.attach_user_policy, {"UserName": "somebody"}), (iam.attach_group_policy, {"GroupName": "people"})):
        attach(PolicyArn=stack.outputs["OperatorPolicy"], **who)
    before = running(desk)
    s3 = desk.cloud.client("s3")
    bucket = next(each["Name"] for each in s3.list_buckets()["Buckets"] if "samclisourcebucket" in each["Name"])
    uploads = lambda stack: {(each["Key"], each["VersionId"]) for kind in ("Versions", "DeleteMarkers") for each in s3.list_object_versions(Bucket=bucket, Prefix=f"stacks/{stack}/").get(kind, [])}
    others = uploads("day2")
    assert others and uploads("going")

    # The last policy that would be detached: nobody loses one before it is found.
    iam.put_user_permissions_boundary(UserName="somebody", PermissionsBoundary=policies[-1])
    assert "is the permissions boundary of the user somebody" in other.refused("make", "destroy")
    iam.delete_user_permissions_boundary(UserName="somebody")
    assert len(iam.list_attached_role_policies(RoleName="agents")["AttachedPolicies"]) == 6
    said = other.did("make", "destroy")
    for words in ("from the role agents", "from the user somebody", "from the group people", stack.outputs["TasksTable"], "ExistingTasksTable", "restore-secret", bucket):
        assert words in said, said
    assert iam.list_attached_role_policies(RoleName="agents")["AttachedPolicies"] == []
    assert (uploads("day2"), uploads("going")) == (others, set())
    assert running(desk) == before
    # As a destroy that was cut while CloudFormation went on leaves it.
    s3.put_object(Bucket=bucket, Key="stacks/going/left-behind", Body=b"")
    assert "there is no stack going" in other.refused("make", "destroy")
    assert uploads("going") == set()

    other.write(f'NamePrefix = "going"\nExistingTasksTable = "{stack.outputs["TasksTable"]}"\n')
    other.did("make", "deploy")
    assert other.deployed().outputs["TasksTable"] == stack.outputs["TasksTable"]
    other.write('NamePrefix = "going"\nExistingTasksTable = ""\n')
    assert f"has the Tasks table {stack.outputs['TasksTable']} and keeps it" in other.refused("make", "deploy")
    assert f"{stack.outputs['TasksTable']} stays: the stack used it" in other.did("make", "destroy")


# --- A deploy that checks itself --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def configured(cloud, functions, github, binaries, tmp_path_factory):
    """A stack that everything holds of, and the desk that it is deployed from."""
    desk = Desk(cloud, checkout(tmp_path_factory.mktemp("checked"), functions), "checked", GIT_CONFIG_NOSYSTEM="1")
    desk.write(f'NamePrefix = "checked"\nGitHubApiUrl = "{github.app["url"]}"\n')
    desk.did("make", "deploy")
    operator = Operator(desk.deployed(), binaries, tmp_path_factory.mktemp("home"))
    (operator.home / "app.pem").write_text(github.app["pem"])
    github.do("hook", "http://127.0.0.1:9/not-there-yet")
    operator.run("configure", "--app-id", str(github.app["app_id"]), "--pem", "app.pem", "--yes")
    return desk, operator


def test_a_deploy_after_which_everything_holds_stands(configured):
    desk, _ = configured
    desk.write(desk.file.read_text() + "LogRetentionDays = 90\n")
    assert "verify finds everything as it was before" in desk.did("make", "deploy")


def test_every_tool_works_with_the_profile_that_the_deploy_found(configured, tmp_path):
    """The command line knows AWS_PROFILE alone: it would look at another account, and find no stack there."""
    desk, _ = configured
    (tmp_path / "credentials").write_text("[default]\naws_access_key_id = 000000000001\naws_secret_access_key = wrong\n[prod]\naws_access_key_id = test\naws_secret_access_key = test\n")
    said = desk.did("make", "deploy", AWS_SHARED_CREDENTIALS_FILE=str(tmp_path / "credentials"), AWS_DEFAULT_PROFILE="prod", AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None)
    assert "verify finds everything as it was before" in said, said


def test_what_cannot_be_verified_stands_and_is_said_but_closes_no_door(configured):
    desk, _ = configured
    file = desk.file.read_text()
    said = desk.did("make", "deploy", CLI="false")
    assert "Not verified" in said and "verify finds" not in said
    arn = f"arn:aws:acm:{template.REGION}:000000000000:certificate/1"
    desk.write(file + f'ExecuteApiEndpoint = "off"\nDomainName = "hooks.example.com"\nCertificateArn = "{arn}"\n')
    assert "waits until deliveries reach" in desk.refused("make", "deploy", CLI="false")
    desk.write(file)


BROKEN = {"webhook": "webhook-answers: ", "reconcile": "reconcile-answers: ", "token": "token: ", "parameters": "token: "}


@pytest.mark.parametrize("what", BROKEN)
def test_a_deploy_that_breaks_something_is_taken_back(configured, what):
    desk, _ = configured
    before, file = running(desk), desk.file.read_text()
    bootstrap = desk.bootstrap(what if what in before[0] else "token")
    own = bootstrap.read_bytes()
    try:
        if what != "parameters":
            # It starts on this machine and takes the parameters; as a function it is no Lambda function at all.
            bootstrap.write_bytes(shutil.which("true") and open(shutil.which("true"), "rb").read())
        else:
            bootstrap.write_bytes(own + b"\0")
            desk.write(file + '[TokenPolicy.permissions]\nmetadata = "read"\n')
        said = desk.refused("make", "deploy")
    finally:
        bootstrap.write_bytes(own)
        desk.write(file)
    assert BROKEN[what] in said and "the deploy was taken back" in said, said
    assert running(desk) == before
    assert "No changes to deploy" in desk.did("make", "deploy")


def test_a_deploy_that_was_cut_before_it_looked_is_not_forgotten(configured, tmp_path):
    """The next one finds it broken already, and must not call that in order."""
    desk, _ = configured
    first, cut = tmp_path / "looked", tmp_path / "cut"
    cut.write_text(f'#!/bin/sh\nif [ -e {first} ]; then kill -9 $PPID; fi\ntouch {first}\nexec {desk.cloud.command_line} "$@"\n')
    cut.chmod(0o755)
    bootstrap = desk.bootstrap("token")
    own = bootstrap.read_bytes()
    try:
        bootstrap.write_bytes(open(shutil.which("true"), "rb").read())
        assert "taken back" not in desk.refused("make", "deploy", CLI=str(cut))
        said = desk.refused("make", "deploy")
    finally:
        bootstrap.write_bytes(own)
    assert "These failed before this deploy and fail still" in said and "  token: " in said and "not in order" in said, said
    assert "verify finds everything as it was before" in desk.did("make", "deploy")


def test_the_other_way_in_stays_open_until_the_domain_is_in_use(configured):
    desk, _ = configured
    before, file = running(desk), desk.file.read_text()
    arn = f"arn:aws:acm:{template.REGION}:000000000000:certificate/1"
    desk.write(file + f'ExecuteApiEndpoint = "off"\nDomainName = "hooks.example.com"\nCertificateArn = "{arn}"\n')
    assert "waits until deliveries reach https://hooks.example.com" in desk.refused("make", "deploy")
    assert running(desk) == before
    desk.write(file)


def test_a_domain_is_given_first_and_used_later(configured, tmp_path):
    """Its target is known after the deploy alone, and until its name leads there GitHub delivers where it did."""
    desk, operator = configured
    file, api = desk.file.read_text(), desk.deployed().outputs["WebhookUrl"]
    arn = f"arn:aws:acm:{template.REGION}:000000000000:certificate/1"
    domain = lambda name: f'DomainName = "{name}"\nCertificateArn = "{arn}"\n'
    desk.write(file + domain("hooks.example.com"))
    said = desk.did("make", "deploy")
    assert "verify finds everything as it was before" in said and f"GitHub delivers to {api}, which still answers" in said, said
    assert desk.deployed().outputs["WebhookUrl"] == "https://hooks.example.com/api/webhooks/github"
    before = running(desk)
    desk.write(file + domain("hooks.example.com") + 'ExecuteApiEndpoint = "off"\n')
    assert f"{api} would answer no more" in desk.refused("make", "deploy")
    # Nothing shows that it leaves the domain either, but where verify finds deliveries at the name that stays.
    for other in (domain("others.example.com"), 'DomainName = ""\nCertificateArn = ""\n'):
        desk.write(file + other)
        assert "https://hooks.example.com/api/webhooks/github would answer no more" in desk.refused("make", "deploy", CLI=arriving(tmp_path, "https://hooks"))
    assert running(desk) == before
    desk.did("make", "deploy", CLI=arriving(tmp_path, api))
    assert desk.deployed().outputs["WebhookUrl"] == api
    desk.write(file)


def arriving(folder, url):
    """A command line whose verify finds deliveries at that URL and nowhere else: none gets to a name of the local API Gateway from everywhere."""
    checks = lambda verdict: json.dumps({"checks": [
        {"name": name, "verdict": each, "seen": "", "next": ""} for name, each in (("app-secret", "ok"), ("webhook-config", verdict), ("deliveries", verdict))]})
    script = folder / "arriving"
    script.write_text(f"#!/bin/sh\ncase \"$*\" in *\"--webhook-url {url}\"*) echo '{checks('ok')}' ;; *) echo '{checks('failed')}' ;; esac\n")
    script.chmod(0o755)
    return str(script)


def test_what_a_flood_kept_out_is_found_by_the_resync(configured, github):
    """A delivery that was answered 429 is a delivery that nobody repeats."""
    desk, operator = configured
    # Neither the stream nor the schedule may be the one that finds it.
    desk.cloud.client("events").disable_rule(Name="checked-due")
    functions = desk.cloud.client("lambda")
    stream, = functions.list_event_source_mappings(FunctionName="checked-reconcile")["EventSourceMappings"]
    functions.update_event_source_mapping(UUID=stream["UUID"], Enabled=False)
    created = operator.run("task", "create", "Fix the flood", "--status", "pr_submitted")
    tag = created[created.index("[kid:"):].strip()
    number = github.do("open", f"Fix the flood {tag}")["pull_request"].rsplit("/", 1)[1]
    github.do("hook", "http://127.0.0.1:9/flooded")
    assert github.do("merge", number)["status"] == 0
    show = lambda: operator.run("task", "show", tag.removeprefix("[kid: #").removesuffix("]"))
    assert "pr_submitted" in show()
    payload = json.dumps({"resync": github.app["repository"]})
    functions.invoke(FunctionName="checked-reconcile", Payload=payload)
    assert "done" in show()


# --- Moving -----------------------------------------------------------------------------------------------------------


def test_a_board_moves_to_another_region(desk):
    """As the README says. The local AWS takes an export and writes no files, so they are written here as AWS's page gives them:
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
    """
    source = desk.deployed().outputs["TasksTable"]
    task = {"prefix": {"S": "abcd1234"}, "id": {"S": "abcd1234" + 24 * "0"}, "title": {"S": "moves"}, "status": {"S": "to_do"}, "priority": {"S": "p2"},
            "created_at": {"S": "2026-01-01T00:00:00Z"}, "updated_at": {"S": "2026-01-01T00:00:00Z"}}
    desk.cloud.client("dynamodb").put_item(TableName=source, Item=task)
    there = desk.cloud.client("dynamodb", ELSEWHERE)
    described = desk.cloud.client("dynamodb").describe_table(TableName=source)["Table"]
    s3 = desk.cloud.client("s3")
    s3.create_bucket(Bucket="moving")
    export = desk.cloud.client("dynamodb").export_table_to_point_in_time(TableArn=described["TableArn"], S3Bucket="moving", ExportFormat="DYNAMODB_JSON")
    prefix = f"AWSDynamoDB/{export['ExportDescription']['ExportArn'].rsplit('/', 1)[1]}/data/"
    lines = [json.dumps({"Item": item}) for page in desk.cloud.client("dynamodb").get_paginator("scan").paginate(TableName=source) for item in page["Items"]]
    s3.put_object(Bucket="moving", Key=f"{prefix}1.json.gz", Body=gzip.compress("\n".join(lines).encode()))
    imported = there.import_table(S3BucketSource={"S3Bucket": "moving", "S3KeyPrefix": prefix}, InputFormat="DYNAMODB_JSON", InputCompressionType="GZIP", TableCreationParameters={
        "TableName": "moved-tasks", "BillingMode": "PAY_PER_REQUEST", "KeySchema": described["KeySchema"], "AttributeDefinitions": described["AttributeDefinitions"]})
    done = lambda: there.describe_import(ImportArn=imported["ImportTableDescription"]["ImportArn"])["ImportTableDescription"]["ImportStatus"] != "IN_PROGRESS"
    wait_for("import", done, 60)
    moved = Desk(desk.cloud, desk.folder, "moved", CLI="false", AWS_REGION=ELSEWHERE)
    moved.write('NamePrefix = "day2"\nExistingTasksTable = "moved-tasks"\n')
    moved.did("make", "deploy")
    assert sorted(names(desk.cloud, ELSEWHERE)) == ["day2-reconcile", "day2-token", "day2-webhook"]
    variables = desk.cloud.client("lambda", ELSEWHERE).get_function_configuration(FunctionName="day2-webhook")["Environment"]["Variables"]
    assert variables["TASKS_TABLE"] == "moved-tasks"
    moved.did("make", "destroy")
    assert there.get_item(TableName="moved-tasks", Key={"prefix": task["prefix"], "id": task["id"]})["Item"] == task
