"""Mistakes planted one by one into the template. Each must be caught; the closing table says by what.

`sam` is what `sam validate --lint` runs (cfn-lint on the template as written), `lint` is cfn-lint on the expanded
template, `rules` are this project's own.
"""

import copy
import itertools

import pytest

import conftest
import rules
import template

SAM = template.load()


def put(path, value):
    """Sets one value, e.g. `WebhookFunction.Timeout`; a path that begins with `/` starts at the top of the template."""
    def plant(sam):
        *way, last = locate(path)
        at = sam
        for step in way:
            at = at[step]
        assert at.get(last) != value
        at[last] = value
    return plant


def drop(path):
    def plant(sam):
        *way, last = locate(path)
        at = sam
        for step in way:
            at = at[step]
        del at[last]
    return plant


def locate(path):
    if path.startswith("/"):
        return path[1:].split("/")
    name, *rest = path.split(".")
    return ["Resources", name, "Properties", *rest]


def widen(role, sid, **changes):
    """Changes one statement of a role or managed policy."""
    def plant(sam):
        inner = sam["Resources"][role]["Properties"]
        document = inner.get("PolicyDocument") or inner["Policies"][0]["PolicyDocument"]
        next(each for each in document["Statement"] if each["Sid"] == sid).update(changes)
    return plant


def attribute(name, value):
    def plant(sam):
        sam["Resources"][name]["Properties"].update(value)
    return plant


def arn(name, key="Arn"):
    return {"Fn::GetAtt": [name, key]}


MISTAKES = {
    # who may do what
    "wildcard action in a role": widen("TokenRole", "Tokens", Action="dynamodb:*"),
    "wildcard resource in a role": widen("TokenRole", "Tokens", Resource="*"),
    "misspelt action": widen("TokenRole", "Tokens", Action=["dynamodb:GetItems"]),
    "webhook may read the app secret": widen("WebhookRole", "Secret", Resource=arn("AppSecret", "Id")),
    "webhook may read every secret of the account": widen("WebhookRole", "Secret", Resource={"Fn::Sub": "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:*"}),
    "reconcile may read the webhook secret": widen("ReconcileRole", "Token", Action=["lambda:InvokeFunction", "secretsmanager:GetSecretValue"], Resource=[arn("TokenFunction"), arn("WebhookSecret", "Id")]),
    "token function may write tasks": widen("TokenRole", "Tokens", Resource=[arn("TokensTable"), arn("TasksTable")]),
    "agents may write all of a card": widen("AgentPolicy", "Move", Condition={}),
    "agents may put cards": widen("AgentPolicy", "Read", Action=["dynamodb:Query", "dynamodb:Scan", "dynamodb:PutItem"]),
    "agents may invoke every function": widen("ClientPolicy", "Token", Resource="*"),
    "an alias runs an old version": put("TokenForAgents.FunctionVersion", "7"),
    "an alias is asked again": put("TokenForPushersAsync.MaximumRetryAttempts", 2),
    "an alias is nobody's": widen("PusherPolicy", "Token", Resource=[arn("TokenFunction")]),
    "a policy of characters that are several bytes": put("/Parameters/TokenPolicy/AllowedPattern", r"^\{.*\}$"),
    "a policy under another description": put("ClientPolicy.Description", "For agents."),
    "a policy under another path": put("OperatorPolicy.Path", "/konduktor/"),
    "a policy that Lambda has no room for": lambda sam: sam["Parameters"]["TokenPolicy"].update(MaxLength=4000),
    "agents may invoke reconcile": widen("ClientPolicy", "Token", Resource=[arn("TokenFunction"), arn("ReconcileFunction")]),
    "reconcile runs under the token function's role": put("ReconcileFunction.Role", arn("TokenRole")),
    "a role with AdministratorAccess attached": put("WebhookRole.ManagedPolicyArns", ["arn:aws:iam::aws:policy/AdministratorAccess"]),
    "a role that any AWS account may assume": put("WebhookRole.AssumeRolePolicyDocument", {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}),
    "any API of any account may call the webhook": drop("ApiPermission.SourceArn"),
    "the token function is given a URL": lambda sam: sam["Resources"].update(TokenUrl={"Type": "AWS::Lambda::Url", "Properties": {"AuthType": "NONE", "TargetFunctionArn": arn("TokenFunction")}}),
    # tables and secrets
    "Tasks goes with the stack": put("/Resources/TasksTable/DeletionPolicy", "Delete"),
    "Tasks without DeletionPolicy": drop("/Resources/TasksTable/DeletionPolicy"),
    "Tasks without deletion protection": drop("TasksTable.DeletionProtectionEnabled"),
    "Tasks without point-in-time recovery": drop("TasksTable.PointInTimeRecoverySpecification"),
    "Tasks under a fixed name": put("TasksTable.TableName", "konduktor-tasks"),
    "an attribute of no key": put("TokensTable.AttributeDefinitions", [{"AttributeName": "cache_key", "AttributeType": "S"}, {"AttributeName": "ttl", "AttributeType": "N"}]),
    "provisioned without throughput": put("TokensTable.BillingMode", "PROVISIONED"),
    "time-to-live on another attribute": put("TokensTable.TimeToLiveSpecification", {"AttributeName": "expires_at", "Enabled": True}),
    "time-to-live switched off": put("PullRequestsTable.TimeToLiveSpecification", {"AttributeName": "ttl", "Enabled": False}),
    "a table that the operator's key does not reach": drop("TokensTable.SSESpecification"),
    "a table under a key that KMS bills": put("TokensTable.SSESpecification", {"SSEEnabled": True}),
    "a secret that the operator's key does not reach": drop("AppSecret.KmsKeyId"),
    "stream with keys only": put("PullRequestsTable.StreamSpecification", {"StreamViewType": "KEYS_ONLY"}),
    "no stream": drop("PullRequestsTable.StreamSpecification"),
    "due-index with every attribute": lambda sam: sam["Resources"]["PullRequestsTable"]["Properties"]["GlobalSecondaryIndexes"][0].update(Projection={"ProjectionType": "ALL"}),
    "a secret replaced is a secret lost": put("/Resources/AppSecret/UpdateReplacePolicy", "Delete"),
    "a secret under a fixed name": put("AppSecret.Name", "konduktor/app"),
    "a secret's value in the template": lambda sam: (sam["Resources"]["WebhookSecret"]["Properties"].pop("GenerateSecretString"), sam["Resources"]["WebhookSecret"]["Properties"].update(SecretString='{"webhook_secret":"hunter2hunter2hunter2"}')),
    "a secret that can be guessed": put("WebhookSecret.GenerateSecretString.PasswordLength", 8),
    "a placeholder in the app secret": put("AppSecret.GenerateSecretString", {"SecretStringTemplate": "{}", "GenerateStringKey": "private_key"}),
    "a secret in an environment variable": put("WebhookFunction.Environment.Variables.WEBHOOK_SECRET", {"Fn::Sub": "{{resolve:secretsmanager:${WebhookSecret}:SecretString:webhook_secret}}"}),
    "a secret as a parameter": put("/Parameters/WebhookPassword", {"Type": "String", "NoEcho": True, "Description": "x", "AllowedPattern": ".*"}),
    # functions, time-outs, API
    "a variable misspelt": lambda sam: (lambda v: v.update(TASK_TABLE=v.pop("TASKS_TABLE")))(sam["Resources"]["WebhookFunction"]["Properties"]["Environment"]["Variables"]),
    "a runtime that is gone": put("/Globals/Function/Runtime", "provided.al1"),
    "webhook as long as GitHub waits": put("WebhookFunction.Timeout", 10),
    "integration longer than GitHub waits": put("ApiIntegration.TimeoutInMillis", 29000),
    "integration over AWS's limit": put("ApiIntegration.TimeoutInMillis", 31000),
    "reconcile shorter than the token function": put("ReconcileFunction.Timeout", 20),
    "no throttling": drop("ApiStage.DefaultRouteSettings"),
    "no access log": drop("ApiStage.AccessLogSettings"),
    "route open to every method": put("ApiRoute.RouteKey", "ANY /api/webhooks/github"),
    "route without its integration": put("ApiRoute.Target", {"Fn::Sub": "integrations/${ApiIntegrations}"}),
    "another payload format": put("ApiIntegration.PayloadFormatVersion", "1.0"),
    # stream and schedule
    "filter for another value": put("ReconcileStream.FilterCriteria", {"Filters": [{"Pattern": '{"dynamodb":{"NewImage":{"check":{"S":["later"]}}}}'}]}),
    "filter without DynamoDB's type": put("ReconcileStream.FilterCriteria", {"Filters": [{"Pattern": '{"dynamodb":{"NewImage":{"check":["now"]}}}'}]}),
    "no filter": drop("ReconcileStream.FilterCriteria"),
    "one failed item repeats the batch": drop("ReconcileStream.FunctionResponseTypes"),
    "a poisoned batch retried for a day": drop("ReconcileStream.MaximumRetryAttempts"),
    "a stream without a starting position": drop("ReconcileStream.StartingPosition"),
    "schedule every hour": put("ReconcileSchedule.ScheduleExpression", "rate(1 hour)"),
    "schedule misspelt": put("ReconcileSchedule.ScheduleExpression", "rate(1 minutes)"),
    "schedule with other words": lambda sam: sam["Resources"]["ReconcileSchedule"]["Properties"]["Targets"][0].update(Input='{"schedule":"now"}'),
    # watching
    "logs kept for ever": drop("TokenLogs.RetentionInDays"),
    "a retention that AWS does not offer": put("TokenLogs.RetentionInDays", 31),
    "plain-text logs": put("WebhookFunction.LoggingConfig.LogFormat", "Text"),
    "a role brings its log group back": widen("TokenRole", "Logs", Action=["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"]),
    "an alarm that rings nowhere": drop("MintFailuresAlarm.AlarmActions"),
    "an alarm on a metric that nobody writes": put("OldestDueAlarm.MetricName", "OldestDue"),
    "an alarm without the dimension": drop("MintFailuresAlarm.Dimensions"),
    "a stopped schedule goes unnoticed": drop("ReconcileStoppedAlarm.InsufficientDataActions"),
    "a new stack rings before its first run": put("ReconcileStoppedAlarm.TreatMissingData", "breaching"),
    "an alarm of the first hour": put("OldestDueAlarm.TreatMissingData", "breaching"),
    "an alarm with a comparison misspelt": put("Webhook5xxAlarm.ComparisonOperator", "GreaterThan"),
    "a metric that no alarm reads": lambda sam: sam["Resources"]["OldestDueMetric"]["Properties"]["MetricTransformations"].append(
        {"MetricNamespace": {"Fn::Sub": "Konduktor/${NamePrefix}"}, "MetricName": "TasksMoved", "MetricValue": "1"}),
    "two stacks write one metric": lambda sam: sam["Resources"]["OldestDueMetric"]["Properties"]["MetricTransformations"][0].update(MetricNamespace="Konduktor"),
    "a dashboard that is not JSON": lambda sam: sam["Resources"]["Dashboard"]["Properties"]["DashboardBody"].update({"Fn::Sub": '{"widgets": [}'}),
    "a log level that silences the metrics": put("/Parameters/LogLevel/AllowedValues", ["DEBUG", "INFO", "WARN"]),
    # names, parameters, outputs
    "a function under a fixed name": put("TokenFunction.FunctionName", "token"),
    "a role under a chosen name": put("TokenRole.RoleName", {"Fn::Sub": "${NamePrefix}-token"}),
    "a role that the boundary does not bound": drop("TokenRole.PermissionsBoundary"),
    "a path that replaces the roles of a running stack": put("TokenRole.Path", {"Ref": "RolePath"}),
    "a parameter that lets a role read any object": lambda sam: sam["Resources"]["TokenRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"].append(
        {"Fn::If": ["HasKey", {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}, {"Ref": "AWS::NoValue"}]}),
    "token reaches GitHub outside the subnets": drop("TokenFunction.VpcConfig"),
    "the webhook in the subnets": put("WebhookFunction.VpcConfig", {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}),
    "certificates of its own without being asked": put("TokenFunction.Environment.Variables.SSL_CERT_FILE", "/opt/ca-bundle.pem"),
    "a proxy that the webhook cannot reach": put("WebhookFunction.Environment.Variables.HTTPS_PROXY", {"Fn::If": ["HasProxy", {"Ref": "HttpsProxy"}, {"Ref": "AWS::NoValue"}]}),
    "a proxy without its exceptions": drop("ReconcileFunction.Environment.Variables.NO_PROXY"),
    "a proxy's password in the stack": put("/Parameters/HttpsProxy/AllowedPattern", "^(https?://.+)?$"),
    "a proxy that Lambda has no room for": lambda sam: sam["Parameters"]["NoProxy"].update(MaxLength=600),
    "tracing that nobody asked for": put("/Parameters/Tracing/Default", "Active"),
    "a way in that stays open beside the domain": drop("Api.DisableExecuteApiEndpoint"),
    "a console of one partition": put("/Outputs/Dashboard/Value", {"Fn::Sub": "https://${AWS::Region}.console.aws.amazon.com/cloudwatch/home"}),
    "consoles of two partitions exchanged": put("/Conditions/InChina", SAM["Conditions"]["InGovCloud"]),
    "an ARN of one partition": widen("ReconcileRole", "Token", Resource={"Fn::Sub": "arn:aws:lambda:${AWS::Region}:${AWS::AccountId}:function:${TokenFunction}"}),
    "a parameter that takes anything": drop("/Parameters/GitHubApiUrl/AllowedPattern"),
    "a default that its own values forbid": put("/Parameters/Architecture/Default", "arm"),
    "an output of nothing": put("/Outputs/TokensTable/Value", {"Ref": "TokenTable"}),
    "nobody is told that Tasks stays": put("/Outputs/TasksTable/Description", "The Tasks table."),
    "a condition misspelt": put("/Resources/TasksTable/Condition", "CreateTaskTable"),
}


def findings(sam):
    """(check, finding) of all three, the quickest first; a template that does not even expand is a finding of `lint`."""
    try:
        expanded = template.expand(sam)
    except Exception as error:
        yield "lint", f"does not expand ({type(error).__name__})"
        return
    for rule in rules.RULES:
        try:
            found = list(rule(expanded))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            found = [error]
        if found:
            yield "rules", rule.__name__
    yield from (("lint", finding.split(" ")[0]) for finding in template.lint(expanded))
    yield from (("sam", finding.split(" ")[0]) for finding in template.lint(sam))


def test_the_template_without_a_mistake_is_clean():
    assert list(findings(SAM)) == []


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_caught(name, request):
    sam = copy.deepcopy(SAM)
    MISTAKES[name](sam)
    found = findings(sam)
    if not request.config.getoption("--every-catch"):
        found = itertools.islice(found, 1)
    catchers = list(dict.fromkeys(f"{check} {finding}" for check, finding in found))
    conftest.CATCHES.append((name, catchers))
    assert catchers, f"nothing noticed: {name}"
