"""The role of the pipeline: it may deploy the stack, and nothing beside it. AWS itself has not seen it."""

import fnmatch
import glob
import json
import pathlib
import re
import sys

import cfnlint
import pytest
import yaml
from samtranslator.yaml_helper import yaml_parse

import rules
import template
from cloud import Stack, checkout, in_terminal

DEPLOYER = template.ROOT / "infra" / "deployer.yaml"
WORKFLOW = template.ROOT / ".github" / "workflows" / "deploy.yml"
# The most characters of a managed policy, blanks aside.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
LONGEST = 6144
PROVIDER = "arn:aws:iam::000000000000:oidc-provider/token.actions.githubusercontent.com"
# What handlers ask for and this stack has no use for. A pattern covers what begins like it.
LEFT_OUT = {
    "secretsmanager:GetSecretValue": "it would read the App's private key",
    "secretsmanager:(Replicate|Remove)": "no replicas of secrets",
    "(kinesis|firehose|elasticfilesystem|s3files):": "no such resources",
    "s3:(getObject|GetObject|ListBucket|REST)": "SAM's bucket has its own statement",
    "kms:": "with KmsKeyArn: the key's own policy lets the deployer use it",
    "dynamodb:(Scan|Query|UpdateItem|PutItem|GetItem|DeleteItem|BatchWriteItem|.*Replica|.*Import|ImportTable)": "no replicas and no imports; the deployer reads no task",
    "dynamodb:(.*KinesisStreamingDestination|UpdateContributorInsights|PutResourcePolicy|DeleteResourcePolicy)": "the template sets none",
    "iam:(Attach|Detach).*Policy": "the template attaches no policy to anybody",
    "iam:(DeleteRolePermissionsBoundary|CreateServiceLinkedRole)": "a boundary stays; nothing of the template has a service's role",
    "apigateway:(Tag|Untag)Resource": "tags are PUT and DELETE of /tags/*",
    "lambda:(Get|Put|Delete).*CodeSigning": "no code signing",
    "lambda:Put(RuntimeManagementConfig|FunctionRecursionConfig|FunctionScalingConfig)": "the template sets none",
    "(codedeploy:|lambda:.*ProvisionedConcurrencyConfig)": "an alias is moved at once, and nothing is provisioned",
    "lambda:(PassCapacityProvider|PublishVersion)": "the template has neither",
    "logs:(AssociateKmsKey|DisassociateKmsKey|.*DataProtectionPolicy|.*IndexPolicy|DeleteResourcePolicy|PutLogGroupDeletionProtection|PutBearerTokenAuthentication)": "the template sets none",
    "logs:(CreateLogStream|DescribeLogStreams|PutLogEvents)": "for imports into tables",
}
# What the deployer has beside that: infra/deploy's and SAM's own calls, API Gateway's access log, and aliases, where functions have them.
OWN = {"cloudformation", "s3", "lambda:GetAccountSettings", "lambda:GetFunctionConfiguration", "lambda:ListTags", "logs:CreateLogDelivery", "logs:DeleteLogDelivery",
       "logs:GetLogDelivery", "logs:ListLogDeliveries", "logs:UpdateLogDelivery", "iam:ListEntitiesForPolicy"}
OWN |= {f"lambda:{verb}Alias" for verb in ("Create", "Delete", "Get", "Update")}


@pytest.fixture(scope="module")
def deployer():
    return json.loads(json.dumps(yaml_parse(DEPLOYER.read_text())))


def handlers():
    """What the handlers of the template's resource types ask for, by the schemas that AWS publishes and cfn-lint carries."""
    types = {each["Type"] for each in template.expand(template.load())["Resources"].values()}
    found = {}
    for path in glob.glob(f"{pathlib.Path(cfnlint.__file__).parent}/data/schemas/resources/*.json"):
        schema = json.loads(pathlib.Path(path).read_text())
        if schema.get("typeName") in types:
            asked = [action for name, handler in schema["handlers"].items() if name != "list" for action in handler["permissions"]]
            found.setdefault(schema["typeName"], set()).update(asked)
    assert found.keys() == types
    return found


def left_out(action):
    return any(re.match(pattern, action) for pattern in LEFT_OUT)


@pytest.mark.parametrize("region", rules.PARTITIONS)
def test_cfn_lint_finds_nothing(deployer, region):
    assert template.lint(deployer, [region]) == []


def test_every_handler_gets_what_it_asks_for(deployer):
    granted = {action for _, statement in rules.every_statement(deployer) for action in rules.as_list(statement["Action"])}
    lacking = {f"{kind} asks for {action}" for kind, actions in handlers().items() for action in actions if action not in granted and not left_out(action)}
    assert lacking == set()


def test_nothing_is_granted_that_no_handler_and_no_command_asks_for(deployer):
    asked = {action for actions in handlers().values() for action in actions}
    for owner, statement in rules.every_statement(deployer):
        for action in rules.as_list(statement["Action"]):
            assert action in asked | OWN or action.split(":")[0] in OWN, f"{owner} {statement['Sid']}: {action}"
            assert "*" not in action


def test_the_policies_fit(deployer):
    for name, each in rules.of_type(deployer, "AWS::IAM::ManagedPolicy").items():
        # The names are filled in: the longest that the parameters take.
        document = json.dumps(each["Properties"]["PolicyDocument"], separators=(",", ":")).replace("${StackName}", 36 * "s").replace("${NamePrefix}", 32 * "p")
        document = document.replace("${AWS::Partition}", "aws-us-gov").replace("${AWS::Region}", "ap-southeast-1").replace("${AWS::AccountId}", 12 * "0")
        assert len(document) < LONGEST, f"{name}: {len(document)}"


# The resources that have a name in a grant: what names them in the template, and how an ARN ends with it. CloudFormation makes names of the
# stack's, the logical id and some letters.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-name.html
NAMED = {
    "AWS::Lambda::Function": ("FunctionName", "lambda", "function:{}"),
    "AWS::Logs::LogGroup": ("LogGroupName", "logs", "log-group:{}:*"),
    "AWS::CloudWatch::Alarm": ("AlarmName", "cloudwatch", "alarm:{}"),
    "AWS::CloudWatch::Dashboard": ("DashboardName", "cloudwatch", "dashboard/{}"),
    "AWS::Events::Rule": ("Name", "events", "rule/{}"),
    "AWS::DynamoDB::Table": ("TableName", "dynamodb", "table/{}"),
    "AWS::IAM::Role": ("RoleName", "iam", "role/{}"),
    "AWS::IAM::ManagedPolicy": ("ManagedPolicyName", "iam", "policy/{}"),
    "AWS::SecretsManager::Secret": ("Name", "secretsmanager", "secret:{}-AbCdEf"),
}


def arns(resources, stack, prefix):
    """The service and the end of the ARN of each named resource of that stack."""
    for logical, each in resources.items():
        if each["Type"] not in NAMED:
            continue
        attribute, service, end = NAMED[each["Type"]]
        name = each["Properties"].get(attribute, {"Fn::Sub": f"{stack}-{logical}-1A2B3C4D5E6F"})["Fn::Sub"]
        text = name if isinstance(name, str) else name[0]
        yield f"{service} {end.format(text.replace('${NamePrefix}', prefix).replace('${Id}', '1a2b3c4d'))}"


def patterns(deployer, stack, prefix):
    """The same of each resource that the deployer may touch."""
    for _, statement in rules.every_statement(deployer):
        for each in rules.as_list(statement["Resource"]):
            if each != "*":
                _, _, service, _, _, end = re.sub(r"\$\{AWS::\w+\}", "", each["Fn::Sub"]).split(":", 5)
                yield f"{service} {end.replace('${StackName}', stack).replace('${NamePrefix}', prefix).replace('${RolePath}', '/')}"


@pytest.mark.parametrize(("stack", "prefix", "is_reached"), [
    ("konduktor-github-app", "konduktor", True),
    # The names that come to mind for a second stack begin with the first one's.
    ("konduktor-github-app-prod", "konduktor-prod", False),
    ("konduktor-github-app-webhook", "konduktor-webhook", False),
])
def test_the_deployer_reaches_its_own_stack_alone(deployer, stack, prefix, is_reached):
    resources = template.expand(template.load())["Resources"]
    granted = list(patterns(deployer, "konduktor-github-app", "konduktor"))
    reached = {arn: any(fnmatch.fnmatchcase(arn, pattern) for pattern in granted) for arn in arns(resources, stack, prefix)}
    assert len(reached) > 25
    assert [arn for arn, is_found in reached.items() if is_found != is_reached] == []


def test_the_deployer_reaches_no_policy_of_its_own(deployer):
    own = [arn for stack in ("konduktor-github-app-deployer", "konduktor-deployer") for arn in arns(deployer["Resources"], stack, "konduktor")]
    assert [arn for arn in own for pattern in patterns(deployer, "konduktor-github-app", "konduktor") if fnmatch.fnmatchcase(arn, pattern)] == []


@pytest.mark.parametrize(("subject", "is_taken"), [
    ("repo:acme/app:environment:production", True),
    ("repo:acme@1234/app@5678:environment:production", True),
    ("repo:acme/app:ref:refs/heads/main", True),
    ("repo:acme/*", False),
    ("repo:acme/app:*", False),
    ("repo:acme/app:pull_request", False),
    ("repo:acme/app:environment:*", False),
])
def test_one_repository_and_one_environment_or_branch_may_deploy(deployer, subject, is_taken):
    assert bool(re.fullmatch(deployer["Parameters"]["Subject"]["AllowedPattern"], subject)) == is_taken
    trust = deployer["Resources"]["Deployer"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert [(each["Action"], each["Condition"]["StringEquals"].keys()) for each in trust] == [
        ("sts:AssumeRoleWithWebIdentity", {f"token.actions.githubusercontent.com:{claim}" for claim in ("aud", "sub")})]
    assert trust[0]["Condition"]["StringEquals"]["token.actions.githubusercontent.com:sub"] == {"Ref": "Subject"}


def test_the_workflow_says_what_the_makefile_knows():
    workflow = yaml.safe_load(WORKFLOW.read_text())
    build, deploy = workflow["jobs"]["build"], workflow["jobs"]["deploy"]
    assert workflow["jobs"].keys() == {"build", "deploy"} and deploy["needs"] == "build"
    # Build scripts of whoever's crates run in the first, and whoever asks for a token in the second gets the deployer's role.
    assert (workflow["permissions"], build["permissions"], deploy["permissions"]) == ({}, {"contents": "read"}, {"contents": "read", "id-token": "write"})
    assert "environment" not in build and deploy["environment"] == "production"
    said = {name: "\n".join(step["run"] for step in job["steps"] if "run" in step) for name, job in workflow["jobs"].items()}
    assert not re.search(r"cargo|make build", said["deploy"])
    commands = said["build"] + said["deploy"]
    targets = set(re.findall(r"^([a-z-]+):", (template.ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)", commands)) <= targets
    for path in re.findall(r"infra/[\w/-]+", commands):
        assert (template.ROOT / path).exists(), path
    assert "secrets." not in WORKFLOW.read_text()


@pytest.mark.parametrize("workflow", sorted(WORKFLOW.parent.glob("*.yml")), ids=lambda path: path.name)
def test_every_action_is_pinned_by_commit(workflow):
    used = re.findall(r"^\s*-? ?uses: (.*)$", workflow.read_text(), re.MULTILINE)
    assert used and [each for each in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v[0-9.]+", each)] == []


@pytest.mark.real
def test_the_deployer_deploys_and_can_do_nothing_else(cloud, functions, tmp_path):
    cloudformation, iam = cloud.client("cloudformation"), cloud.client("iam")
    cloudformation.create_stack(StackName="deployer", TemplateBody=DEPLOYER.read_text(), Capabilities=["CAPABILITY_IAM"], Parameters=[
        {"ParameterKey": name, "ParameterValue": value}
        for name, value in {"Subject": "repo:acme/app:environment:production", "OidcProviderArn": PROVIDER, "StackName": "piped", "NamePrefix": "piped"}.items()])
    cloudformation.get_waiter("stack_create_complete").wait(StackName="deployer")
    iam.create_user(UserName="pipeline")
    role = Stack(cloud, "deployer").resources()["Deployer"]["PhysicalResourceId"]
    for policy in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        iam.attach_user_policy(UserName="pipeline", PolicyArn=policy["PolicyArn"])
    key = iam.create_access_key(UserName="pipeline")["AccessKey"]
    folder = checkout(tmp_path / "pipeline", functions)
    # SAM's bucket takes nothing over plain HTTP, which is all that MiniStack speaks.
    in_terminal(cloud, folder, sys.executable, "-c", f"from samcli.lib.bootstrap.bootstrap import manage_stack; manage_stack(None, '{template.REGION}')")
    bucket = Stack(cloud, "aws-sam-cli-managed-default").outputs["SourceBucket"]
    cloud.client("s3").delete_bucket_policy(Bucket=bucket)
    run = lambda stack, **more: in_terminal(cloud, folder, "make", "deploy", STACK=stack, AWS_ACCESS_KEY_ID=key["AccessKeyId"], AWS_SECRET_ACCESS_KEY=key["SecretAccessKey"], **{"CLI": "false"} | more)
    (folder / "infra/parameters").mkdir(exist_ok=True)
    (folder / "infra/parameters/piped.toml").write_text('NamePrefix = "piped"\n')
    deployed = run("piped")
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    (folder / "infra/parameters/piped.toml").write_text('NamePrefix = "piped"\nLogRetentionDays = 90\n')
    changed = run("piped")
    assert changed.returncode == 0 and "LogRetentionDays: 30 → 90" in changed.stdout, changed.stdout + changed.stderr
    assert run("other").returncode != 0
    # A secret that it may not read is not taken for one that is empty: what could not be looked at is said, and closes no door.
    cloud.client("secretsmanager").put_secret_value(SecretId=Stack(cloud, "piped").outputs["AppSecret"], SecretString='{"app_id": 1}')
    (folder / "infra/parameters/piped.toml").write_text(
        f'NamePrefix = "piped"\nExecuteApiEndpoint = "off"\nDomainName = "hooks.example.com"\nCertificateArn = "arn:aws:acm:{template.REGION}:000000000000:certificate/1"\n')
    shut = run("piped", CLI=str(cloud.command_line))
    assert shut.returncode != 0 and "waits until deliveries reach" in shut.stderr, shut.stdout + shut.stderr
    assert "Not verified: app-secret could not be looked at" in shut.stdout and "Not verified: reconcile-answers" in shut.stdout, shut.stdout
    denied = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    stack = Stack(cloud, "piped")
    for call in (
        lambda: cloud.client("secretsmanager", **denied).get_secret_value(SecretId=stack.outputs["AppSecret"]),
        lambda: cloud.client("secretsmanager", **denied).put_secret_value(SecretId=stack.outputs["WebhookSecret"], SecretString="{}"),
        lambda: cloud.client("dynamodb", **denied).scan(TableName=stack.outputs["TasksTable"]),
        lambda: cloud.client("lambda", **denied).invoke(FunctionName=stack.outputs["TokenFunction"], Payload=b"{}"),
        lambda: cloud.client("iam", **denied).create_user(UserName="another"),
        lambda: cloud.client("iam", **denied).attach_user_policy(UserName="pipeline", PolicyArn=stack.outputs["OperatorPolicy"]),
    ):
        with pytest.raises(Exception, match="AccessDenied|not authorized"):
            call()
