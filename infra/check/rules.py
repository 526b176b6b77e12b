"""What this project promises about its stack and no linter knows.

Each rule takes the template as expanded and yields one sentence per violation.
"""

import json
import re

RULES = []

LAMBDA = "AWS::Lambda::Function"
TABLE = "AWS::DynamoDB::Table"
SECRET = "AWS::SecretsManager::Secret"
LOGS = "AWS::Logs::LogGroup"
ALARM = "AWS::CloudWatch::Alarm"

ENVIRONMENT = {
    "WebhookFunction": {"TASKS_TABLE", "PULL_REQUESTS_TABLE", "WEBHOOK_SECRET_ID"},
    "ReconcileFunction": {"TASKS_TABLE", "PULL_REQUESTS_TABLE", "TOKEN_FUNCTION", "GITHUB_API_URL"},
    "TokenFunction": {"APP_SECRET_ID", "TOKENS_TABLE", "GITHUB_API_URL", "TOKEN_POLICY"},
}
# What a role may name at all, by service. Tasks is named through its parameter.
REACH = {
    "WebhookRole": {
        "dynamodb": {"TasksTable", "PullRequestsTable"},
        "secretsmanager": {"WebhookSecret"},
        "logs": {"WebhookLogs"},
    },
    "ReconcileRole": {
        "dynamodb": {"TasksTable", "PullRequestsTable"},
        "lambda": {"TokenForReconcile"},
        "logs": {"ReconcileLogs"},
    },
    "TokenRole": {
        "dynamodb": {"TokensTable"},
        "secretsmanager": {"AppSecret"},
        "logs": {"TokenLogs"},
    },
    "ClientPolicy": {"lambda": {"TokenFunction", "TokenForAgents"}},
    "AgentPolicy": {"lambda": {"TokenFunction", "TokenForAgents"}, "dynamodb": {"TasksTable"}},
    "PusherPolicy": {"lambda": {"TokenForPushers"}},
    "BoardPolicy": {"cloudformation": set(), "dynamodb": {"TasksTable"}},
    "InspectPolicy": {
        "cloudformation": set(),
        "dynamodb": {"TasksTable", "PullRequestsTable", "TokensTable"},
        "lambda": {"WebhookFunction", "ReconcileFunction", "TokenFunction", "TokenForInspect"},
        "logs": {"WebhookLogs", "ReconcileLogs", "TokenLogs"},
    },
    "OperatorPolicy": {
        "cloudformation": set(),
        "dynamodb": {"TasksTable", "PullRequestsTable", "TokensTable"},
        "lambda": {"WebhookFunction", "ReconcileFunction", "TokenFunction", "TokenForInspect"},
        "logs": {"WebhookLogs", "ReconcileLogs", "TokenLogs"},
        "secretsmanager": {"WebhookSecret", "AppSecret"},
    },
}
# Resources that AWS cannot name in full, with the only action each may carry.
OPEN_ENDED = {
    "${PullRequestsTable.Arn}/stream/*": "dynamodb:ListStreams",
    "arn:${AWS::Partition}:cloudformation:${AWS::Region}:${AWS::AccountId}:stack/${AWS::StackName}/*": "cloudformation:DescribeStacks",
}
KEYS = {
    "TasksTable": [("prefix", "HASH", "S"), ("id", "RANGE", "S")],
    "PullRequestsTable": [("repository_id", "HASH", "S"), ("item", "RANGE", "S")],
    "TokensTable": [("cache_key", "HASH", "S")],
}
DELETION = {
    "TasksTable": ("Retain", "Retain"),
    "PullRequestsTable": ("Delete", "Retain"),
    "TokensTable": ("Delete", "Delete"),
    "WebhookSecret": ("Delete", "Retain"),
    "AppSecret": ("Delete", "Retain"),
}
ALARMED = {
    ("AWS/ApiGateway", "5xx"),
    ("Konduktor", "Webhook4xx"),
    ("Konduktor", "OldestDueSeconds"),
    ("Konduktor", "TokenRequests"),
    ("AWS/Lambda", "Invocations", "ReconcileFunction"),
    ("AWS/Lambda", "Errors", "ReconcileFunction"),
    ("AWS/Lambda", "Errors", "TokenFunction"),
}
# Where a parameter asks for it, a function has these as well, and a role may do these.
OPTIONAL_VARIABLES = {"SSL_CERT_FILE": ("HasCaBundle", "/opt/ca-bundle.pem"), "HTTPS_PROXY": ("HasProxy", {"Ref": "HttpsProxy"}), "NO_PROXY": ("HasProxy", {"Ref": "NoProxy"})}
OPTIONAL_GRANTS = {
    "WebhookRole": {"HasKey": {"kms:Decrypt"}, "IsTraced": {"xray:PutTelemetryRecords", "xray:PutTraceSegments"}},
    "OperatorPolicy": {"HasKey": {"kms:Decrypt", "kms:GenerateDataKey"}},
    "BoardPolicy": {"HasKey": {"kms:Decrypt"}},
    "InspectPolicy": {"HasKey": {"kms:Decrypt"}},
}
OPTIONAL_GRANTS["ReconcileRole"] = OPTIONAL_GRANTS["TokenRole"] = OPTIONAL_GRANTS["WebhookRole"] | {"InVpc": {
    "ec2:AssignPrivateIpAddresses", "ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface", "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets", "ec2:UnassignPrivateIpAddresses",
}}
# Services that have no resource to name for these calls.
WITHOUT_RESOURCES = {"xray", "ec2"}
# One region of each partition: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html
PARTITIONS = {"us-east-1": "aws", "cn-north-1": "aws-cn", "us-gov-west-1": "aws-us-gov", "eusc-de-east-1": "aws-eusc"}
# Where each has its console: https://docs.aws.amazon.com/general/latest/gr/mgmt-console.html, https://docs.aws.eu/general/latest/gr/endpoints.html
CONSOLES = {"us-east-1": "us-east-1.console.aws.amazon.com", "cn-north-1": "cn-north-1.console.amazonaws.cn", "us-gov-west-1": "console.amazonaws-us-gov.com",
            "eusc-de-east-1": "eusc-de-east-1.console.amazonaws-eusc.eu"}
NAMESPACE = {"Fn::Sub": "Konduktor/${NamePrefix}"}


def rule(function):
    RULES.append(function)
    return function


def of_type(template, *types):
    return {name: resource for name, resource in template["Resources"].items() if resource["Type"] in types}


def as_list(value):
    return value if isinstance(value, list) else [value]


def properties(template, name):
    return template["Resources"].get(name, {}).get("Properties", {})


def texts(value):
    """Every string in a value, keys included."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    elif isinstance(value, str):
        yield value


def named(template, value):
    """The resources of the template that a value points at, by whichever function."""
    found = set()
    for text in texts(value):
        for word in re.findall(r"\$\{([A-Za-z0-9]+)", text) + [text.split(".")[0]]:
            if word in template["Resources"]:
                found.add(word)
    return found


def statements(template):
    """(owner, statement) of every policy in the template, trust policies aside; those that a parameter asks for are `optional`."""
    return ((owner, statement) for owner, statement in every_statement(template) if "Fn::If" not in statement)


def optional(template):
    """(owner, condition, statement) of each statement that is there only if a parameter asks for it."""
    for owner, statement in every_statement(template):
        if "Fn::If" in statement:
            condition, asked, otherwise = statement["Fn::If"]
            yield owner, condition, asked
            if otherwise != {"Ref": "AWS::NoValue"}:
                yield owner, f"not {condition}", otherwise


def every_statement(template):
    for name, resource in template["Resources"].items():
        inner = resource.get("Properties", {})
        documents = [policy["PolicyDocument"] for policy in inner.get("Policies", []) if isinstance(policy, dict)]
        if resource["Type"] in ("AWS::IAM::ManagedPolicy", "AWS::IAM::Policy"):
            documents.append(inner["PolicyDocument"])
        for document in documents:
            for statement in as_list(document["Statement"]):
                yield name, statement


@rule
def grants_name_their_actions_and_resources(template):
    for owner, statement in statements(template):
        for key in ("NotAction", "NotResource", "NotPrincipal"):
            if key in statement:
                yield f"{owner}: {key} grants whatever it forgets"
        for action in as_list(statement.get("Action", [])):
            if "*" in action or "?" in action:
                yield f"{owner}: wildcard action {action}"
        for resource in as_list(statement.get("Resource", [])):
            for text in texts(resource):
                if ("*" in text or "?" in text) and OPEN_ENDED.get(text) != statement["Action"]:
                    yield f"{owner}: {statement['Action']} on {text}"


@rule
def a_role_reaches_only_its_own(template):
    for owner, statement in statements(template):
        if owner not in REACH:
            yield f"{owner}: a policy that nobody asked for"
            continue
        services = {action.split(":")[0] for action in as_list(statement["Action"])}
        for service in services:
            if service not in REACH[owner]:
                yield f"{owner}: reaches {service}"
            elif extra := named(template, statement.get("Resource", [])) - REACH[owner][service]:
                yield f"{owner}: {service} reaches {', '.join(sorted(extra))}"


@rule
def agents_write_nothing_of_a_card_but_its_column(template):
    named = {"ForAllValues:StringEquals": {"dynamodb:Attributes": ["prefix", "id", "status", "updated_at"]}}
    for owner, statement in statements(template):
        writes = {"dynamodb:UpdateItem", "dynamodb:PutItem", "dynamodb:DeleteItem"} & set(as_list(statement["Action"]))
        if owner == "AgentPolicy" and writes and (writes != {"dynamodb:UpdateItem"} or statement.get("Condition") != named):
            yield f"{owner}: {', '.join(sorted(writes))} beyond the column"


@rule
def what_a_parameter_adds_to_a_role_is_written_down(template):
    found = {}
    for owner, condition, statement in optional(template):
        actions = set(as_list(statement["Action"]))
        services = {action.split(":")[0] for action in actions}
        if statement["Effect"] == "Allow":
            found.setdefault(owner, {}).setdefault(condition, set()).update(actions)
        if statement["Resource"] != {"Ref": "KmsKeyArn"} and not (statement["Resource"] == "*" and services <= WITHOUT_RESOURCES):
            yield f"{owner}: {sorted(actions)} on {json.dumps(statement['Resource'])}"
        if condition == "InVpc" and statement["Effect"] == "Deny" and "lambda:SourceFunctionArn" not in json.dumps(statement.get("Condition")):
            yield f"{owner}: denies Lambda itself the network"
    if found != OPTIONAL_GRANTS:
        yield f"optional grants are {found}"
    for owner in ("ReconcileRole", "TokenRole"):
        if not any((owner, "InVpc", "Deny") == (name, condition, statement["Effect"]) for name, condition, statement in optional(template)):
            yield f"{owner}: the function's own code may make network interfaces"


@rule
def house_rules_reach_what_they_are_for(template):
    value = lambda name, key: json.dumps(properties(template, name).get(key))
    for name in of_type(template, "AWS::IAM::Role"):
        for key, condition, parameter in (("PermissionsBoundary", "HasBoundary", "PermissionsBoundary"), ("Path", "HasRolePath", "RolePath")):
            # Without the condition an existing role would be given a value where it had none, and be replaced.
            if value(name, key) != json.dumps({"Fn::If": [condition, {"Ref": parameter}, {"Ref": "AWS::NoValue"}]}):
                yield f"{name}: {key}"
    for name in of_type(template, SECRET):
        if value(name, "KmsKeyId") != json.dumps({"Fn::If": ["HasKey", {"Ref": "KmsKeyArn"}, {"Ref": "AWS::NoValue"}]}):
            yield f"{name}: not under the key that a parameter names"
    for name, function in of_type(template, LAMBDA).items():
        asks_github = name != "WebhookFunction"
        if (value(name, "VpcConfig") != "null", value(name, "Layers") != "null") != (asks_github, asks_github):
            yield f"{name}: network or certificates"
        if function["Properties"].get("TracingConfig") != {"Mode": {"Ref": "Tracing"}}:
            yield f"{name}: tracing"
    if template["Parameters"]["Tracing"]["Default"] != "PassThrough":
        yield "Tracing: costs without being asked for"


def resolved(template, value, names):
    """What CloudFormation makes of an expression, where `names` gives each name's value."""
    if not isinstance(value, dict):
        return value
    (function, given), = value.items()
    inner = lambda value, more={}: resolved(template, value, names | more)
    match function:
        case "Ref":
            return names[given]
        case "Fn::Equals":
            return inner(given[0]) == inner(given[1])
        case "Fn::If":
            return inner(given[1] if inner(template["Conditions"][given[0]]) else given[2])
        case "Fn::Sub":
            text, own = given if isinstance(given, list) else (given, {})
            known = names | {name: inner(each) for name, each in own.items()}
            return re.sub(r"\$\{([\w:]+)\}", lambda found: known[found[1]], text)


@rule
def every_partition_is_thought_of(template):
    for name, statement in every_statement(template):
        for text in texts(statement):
            if re.match(r"arn:(?!\$\{AWS::Partition\})", text):
                yield f"{name}: {text} is an ARN of one partition"
    for region, host in CONSOLES.items():
        names = {"AWS::Region": region, "AWS::Partition": PARTITIONS[region], "Dashboard": "konduktor-github-app"}
        url = resolved(template, template["Outputs"]["Dashboard"]["Value"], names)
        if not url.startswith(f"https://{host}/cloudwatch/"):
            yield f"Dashboard: in {region} it is {url}, and the console is {host}"


@rule
def one_role_per_function_and_nothing_attached(template):
    roles = []
    for name, function in of_type(template, LAMBDA).items():
        role = function["Properties"]["Role"]
        if role != {"Fn::GetAtt": [name.replace("Function", "Role"), "Arn"]}:
            yield f"{name}: role is {json.dumps(role)}"
        roles += named(template, role)
    for name, role in of_type(template, "AWS::IAM::Role").items():
        if name not in roles:
            yield f"{name}: a role of no function"
        if "ManagedPolicyArns" in role["Properties"]:
            yield f"{name}: a managed policy widens it out of sight"
        for statement in role["Properties"]["AssumeRolePolicyDocument"]["Statement"]:
            if statement["Principal"] != {"Service": "lambda.amazonaws.com"}:
                yield f"{name}: assumed by {json.dumps(statement['Principal'])}"


@rule
def callers_of_functions_are_named(template):
    for name, permission in of_type(template, "AWS::Lambda::Permission").items():
        inner = permission["Properties"]
        if "SourceArn" not in inner:
            yield f"{name}: any {inner['Principal']} in the world may call"
        elif not named(template, inner["SourceArn"]):
            yield f"{name}: the source is not of this stack"
        if named(template, inner["FunctionName"]) & {"TokenFunction"}:
            yield f"{name}: the token function is called under IAM only"
    source = json.dumps(properties(template, "ApiPermission").get("SourceArn", ""))
    if "/POST/api/webhooks/github" not in source:
        yield "ApiPermission: not bound to the one route"


@rule
def every_alias_of_the_token_function_is_a_profile(template):
    """Each runs the code that is deployed, is asked once, and is granted to somebody."""
    aliases = of_type(template, "AWS::Lambda::Alias")
    asked_once = {str(config["Properties"]["Qualifier"]) for config in of_type(template, "AWS::Lambda::EventInvokeConfig").values()
                  if named(template, config["Properties"]["FunctionName"]) == {"TokenFunction"} and config["Properties"]["MaximumRetryAttempts"] == 0}
    granted = {name for _, statement in statements(template) for name in named(template, statement.get("Resource", []))}
    for name, alias in aliases.items():
        if alias["Properties"]["FunctionVersion"] != "$LATEST":
            yield f"{name}: runs the code of a version, and not what is deployed"
        if alias["Properties"]["Name"] not in asked_once:
            yield f"{name}: an asynchronous call is repeated"
        if name not in granted:
            yield f"{name}: nobody may invoke it"
    if "$LATEST" not in asked_once:
        yield "TokenFunction: an asynchronous call is repeated"


# What people attached to roles of their own. Another description makes CloudFormation replace a policy by one that is attached to nobody:
# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-iam-managedpolicy.html
ATTACHED = {
    "ClientPolicy": "For agents - may ask the Konduktor token function for installation tokens.",
    "PusherPolicy": "For agents that push - may ask the Konduktor token function for installation tokens of the profile pushers.",
    "BoardPolicy": "For people - may work the board of the Konduktor GitHub App.",
    "InspectPolicy": "For people - may see what the Konduktor GitHub App does and why, its logs included, and change nothing.",
    "AgentPolicy": "For agents that also work the board - may ask for installation tokens, read cards and move them.",
    "OperatorPolicy": "For people - may configure and inspect the Konduktor GitHub App and work the board.",
}


@rule
def attached_policies_stay_the_same_ones(template):
    for name, description in ATTACHED.items():
        inner = properties(template, name)
        if inner.get("Description") != description:
            yield f"{name}: another description makes another policy, attached to nobody"
        if inner.keys() & {"Path", "ManagedPolicyName"}:
            yield f"{name}: a path or name makes another policy, attached to nobody"


@rule
def the_token_functions_variables_fit(template):
    """Lambda takes 4 KB for all of them together. It counts bytes, and MaxLength counts characters."""
    def longest(value):
        if isinstance(value, str):
            return len(value.encode())
        if "Fn::If" in value:
            return longest(value["Fn::If"][1])
        # Names and ARNs that AWS makes of our names are below 200.
        parameter = template["Parameters"].get(value.get("Ref"), {"MaxLength": 200})
        outside = re.sub(r"\\.|\[(?!\^)[^]]*\]", "", parameter.get("AllowedPattern", ""))
        takes_all = "." in outside or "[^" in outside
        return int(parameter.get("MaxLength", 4096)) * (4 if takes_all else 1)

    variables = properties(template, "TokenFunction")["Environment"]["Variables"]
    size = sum(len(name) + longest(value) for name, value in variables.items())
    if size > 4096:
        yield f"TokenFunction: {size} bytes of variables are too many for Lambda"


@rule
def tables_keep_their_contract(template):
    tables = of_type(template, TABLE)
    for name in KEYS.keys() - tables.keys():
        yield f"{name}: missing"
    for name in tables.keys() & KEYS.keys():
        inner = tables[name]["Properties"]
        kinds = {each["AttributeName"]: each["AttributeType"] for each in inner["AttributeDefinitions"]}
        keys = [(key["AttributeName"], key["KeyType"], kinds.get(key["AttributeName"])) for key in inner["KeySchema"]]
        if keys != KEYS[name]:
            yield f"{name}: keys {keys}"
        if inner.get("BillingMode") != "PAY_PER_REQUEST":
            yield f"{name}: not on demand"
        encryption = {"Fn::If": ["HasKey", {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": {"Ref": "KmsKeyArn"}}, {"SSEEnabled": False}]}
        if inner.get("SSESpecification") != encryption:
            yield f"{name}: not under the key that a parameter names, else AWS's own"
        if "TableName" in inner:
            yield f"{name}: a fixed name collides with the table an earlier stack left"
    for name in ("PullRequestsTable", "TokensTable"):
        if properties(template, name).get("TimeToLiveSpecification") != {"AttributeName": "ttl", "Enabled": True}:
            yield f"{name}: items are never dropped"


@rule
def tasks_are_hard_to_lose(template):
    inner = properties(template, "TasksTable")
    if inner.get("PointInTimeRecoverySpecification") != {"PointInTimeRecoveryEnabled": True}:
        yield "TasksTable: no point-in-time recovery"
    if inner.get("DeletionProtectionEnabled") is not True:
        yield "TasksTable: no deletion protection"


@rule
def what_a_deleted_stack_keeps_is_written_down(template):
    for name, resource in of_type(template, TABLE, SECRET).items():
        policies = (resource.get("DeletionPolicy"), resource.get("UpdateReplacePolicy"))
        if policies != DELETION.get(name):
            yield f"{name}: deletion and replacement are {policies}, not {DELETION.get(name)}"


@rule
def the_stream_and_the_index_are_there(template):
    inner = properties(template, "PullRequestsTable")
    if inner.get("StreamSpecification", {}).get("StreamViewType") != "NEW_AND_OLD_IMAGES":
        yield "PullRequestsTable: stream without both images"
    indexes = {index["IndexName"]: index for index in inner.get("GlobalSecondaryIndexes", [])}
    due = indexes.get("due-index", {})
    kinds = {each["AttributeName"]: each["AttributeType"] for each in inner.get("AttributeDefinitions", [])}
    if [(key["AttributeName"], kinds.get(key["AttributeName"])) for key in due.get("KeySchema", [])] != [("due", "S"), ("next_check_at", "N")]:
        yield "due-index: keys"
    if due.get("Projection") != {"ProjectionType": "KEYS_ONLY"}:
        yield "due-index: projection"


@rule
def the_stream_mapping_takes_what_wants_a_check(template):
    inner = properties(template, "ReconcileStream")
    filters = [json.loads(each["Pattern"]) for each in inner.get("FilterCriteria", {}).get("Filters", [])]
    if filters != [{"dynamodb": {"NewImage": {"check": {"S": ["now"]}}}}]:
        yield f"ReconcileStream: filter {filters}"
    if inner.get("FunctionResponseTypes") != ["ReportBatchItemFailures"]:
        yield "ReconcileStream: one failed item repeats the whole batch"
    if inner.get("BisectBatchOnFunctionError") is not True:
        yield "ReconcileStream: a poisoned batch is never split"
    if inner.get("MaximumBatchingWindowInSeconds") != 2:
        yield "ReconcileStream: window"
    if not 0 <= inner.get("MaximumRetryAttempts", -1) <= 10 or not 60 <= inner.get("MaximumRecordAgeInSeconds", -1) <= 3600:
        yield "ReconcileStream: retries a record until it leaves the stream"
    if inner.get("StartingPosition") != "TRIM_HORIZON":
        yield "ReconcileStream: what was written before the mapping started is passed over"
    if inner.get("ParallelizationFactor", 1) < 2:
        yield "ReconcileStream: one slow pull request holds up the rest"


@rule
def the_schedule_asks_every_minute(template):
    inner = properties(template, "ReconcileSchedule")
    if inner.get("ScheduleExpression") != "rate(1 minute)" or inner.get("State") != "ENABLED":
        yield "ReconcileSchedule: not every minute"
    targets = inner.get("Targets", [])
    if [json.loads(target.get("Input", "null")) for target in targets] != [{"schedule": "due"}]:
        yield "ReconcileSchedule: input"
    if properties(template, "ReconcileAsync").get("MaximumRetryAttempts") != 0:
        yield "ReconcileAsync: a failed minute is repeated into the next"


@rule
def secrets_come_from_no_template(template):
    for name, secret in of_type(template, SECRET).items():
        if "SecretString" in secret["Properties"]:
            yield f"{name}: its value stands in the template"
        if "${NamePrefix}" not in json.dumps(secret["Properties"].get("Name")) or "AWS::StackId" not in json.dumps(secret["Properties"]["Name"]):
            yield f"{name}: its name is that of a deleted stack's, which AWS holds for days"
    generated = properties(template, "WebhookSecret").get("GenerateSecretString", {})
    if generated.get("GenerateStringKey") != "webhook_secret" or generated.get("SecretStringTemplate") != "{}":
        yield "WebhookSecret: not the JSON that the function reads"
    if generated.get("PasswordLength", 0) < 32:
        yield "WebhookSecret: can be guessed"
    if generated.get("ExcludePunctuation") is not True:
        yield "WebhookSecret: quotes and blanks do not survive being pasted"
    if "GenerateSecretString" in properties(template, "AppSecret"):
        yield "AppSecret: a generated value is taken for a configured one"


@rule
def functions_are_what_is_built_and_read_what_they_need(template):
    functions = of_type(template, LAMBDA)
    if functions.keys() != ENVIRONMENT.keys():
        yield f"functions are {sorted(functions)}"
    for name in functions.keys() & ENVIRONMENT.keys():
        inner = functions[name]["Properties"]
        if (inner.get("Runtime"), inner.get("Handler"), inner.get("Architectures")) != ("provided.al2023", "bootstrap", [{"Ref": "Architecture"}]):
            yield f"{name}: runtime, handler or architecture"
        variables = dict(inner.get("Environment", {}).get("Variables", {}))
        # The webhook calls AWS alone, from where no proxy of a subnet is reached.
        for variable, (condition, value) in OPTIONAL_VARIABLES.items() if name != "WebhookFunction" else ():
            if variables.pop(variable, None) != {"Fn::If": [condition, value, {"Ref": "AWS::NoValue"}]}:
                yield f"{name}: {variable} is not as a parameter asks"
        if variables.keys() != ENVIRONMENT[name]:
            yield f"{name}: variables {sorted(variables)}"
        for variable, value in variables.items():
            if isinstance(value, str) or "{{resolve:" in json.dumps(value):
                yield f"{name}: {variable} is a value, not a name"
            if variable.endswith("_SECRET_ID") and value.get("Fn::GetAtt", [None, None])[1] != "Id":
                yield f"{name}: {variable} is not the secret's ARN"


@rule
def no_parameter_carries_a_secret(template):
    for name, parameter in template["Parameters"].items():
        if parameter.get("NoEcho") or re.search("secret|password|private|pem", name, re.IGNORECASE):
            yield f"{name}: a secret would be read back from the stack"
    if re.fullmatch(template["Parameters"]["HttpsProxy"]["AllowedPattern"], "http://user:password@proxy.example.com:3128"):
        yield "HttpsProxy: a password would be read back from the stack"


@rule
def time_outs_form_a_chain(template):
    integration = properties(template, "ApiIntegration").get("TimeoutInMillis", 30000)
    if integration > 10000:
        yield f"ApiIntegration: {integration} ms, but GitHub waits 10 s"
    webhook = properties(template, "WebhookFunction").get("Timeout", 3)
    if webhook * 1000 >= integration:
        yield f"WebhookFunction: {webhook} s, not below the integration's {integration} ms"
    if webhook < 5:
        yield f"WebhookFunction: {webhook} s"
    token, reconcile = (properties(template, name).get("Timeout", 3) for name in ("TokenFunction", "ReconcileFunction"))
    if reconcile < token + 20:
        yield f"ReconcileFunction: {reconcile} s do not hold its polling and the token function's {token} s"


@rule
def the_api_is_one_throttled_logged_route(template):
    routes = [route["Properties"]["RouteKey"] for route in of_type(template, "AWS::ApiGatewayV2::Route").values()]
    if routes != ["POST /api/webhooks/github"]:
        yield f"routes are {routes}"
    for name, stage in of_type(template, "AWS::ApiGatewayV2::Stage").items():
        settings = stage["Properties"].get("DefaultRouteSettings", {})
        if not settings.get("ThrottlingRateLimit") or not settings.get("ThrottlingBurstLimit"):
            yield f"{name}: not throttled"
        access_log = stage["Properties"].get("AccessLogSettings", {})
        if not access_log.get("DestinationArn"):
            yield f"{name}: no access log"
        else:
            json.loads(access_log["Format"])
    for name, integration in of_type(template, "AWS::ApiGatewayV2::Integration").items():
        if (integration["Properties"].get("IntegrationType"), integration["Properties"].get("PayloadFormatVersion")) != ("AWS_PROXY", "2.0"):
            yield f"{name}: not the event that the function reads"
    for name, api in of_type(template, "AWS::ApiGatewayV2::Api").items():
        if api["Properties"].get("DisableExecuteApiEndpoint") != {"Fn::If": ["ExecuteApiIsOff", True, False]}:
            yield f"{name}: its own host name cannot be switched off"
    if others := of_type(template, "AWS::Lambda::Url", "AWS::ApiGateway::RestApi", "AWS::Serverless::Api"):
        yield f"another way in: {', '.join(others)}"


@rule
def logs_are_json_and_end(template):
    groups = of_type(template, LOGS)
    for name, group in groups.items():
        if not group["Properties"].get("RetentionInDays"):
            yield f"{name}: kept for ever"
    for name, function in of_type(template, LAMBDA).items():
        logging = function["Properties"].get("LoggingConfig", {})
        if not named(template, logging.get("LogGroup", "")) & groups.keys():
            yield f"{name}: its log group is not of this stack"
        if logging.get("LogFormat") != "JSON":
            yield f"{name}: metric filters read JSON"
    for owner, statement in statements(template):
        if "logs:CreateLogGroup" in as_list(statement["Action"]):
            yield f"{owner}: brings a deleted log group back"
    if not set(template["Parameters"]["LogLevel"]["AllowedValues"]) <= {"TRACE", "DEBUG", "INFO"}:
        yield "LogLevel: silences the summary lines that the metrics are read from"


@rule
def every_named_trouble_has_an_alarm_that_rings(template):
    seen = set()
    for name, alarm in of_type(template, ALARM).items():
        inner = alarm["Properties"]
        namespace = "Konduktor" if inner["Namespace"] == NAMESPACE else inner["Namespace"]
        functions = named(template, [each["Value"] for each in inner.get("Dimensions", []) if each["Name"] == "FunctionName"])
        seen |= {(namespace, inner["MetricName"])} | {(namespace, inner["MetricName"], function) for function in functions}
        for action in ("AlarmActions", "OKActions"):
            if "AlarmTopicArn" not in json.dumps(inner.get(action)):
                yield f"{name}: {action} rings nowhere"
        if "TreatMissingData" not in inner:
            yield f"{name}: what silence means is not said"
        if not inner.get("AlarmDescription"):
            yield f"{name}: says nothing to whoever it wakes"
        if inner.get("TreatMissingData") == "breaching":
            yield f"{name}: rings before anything could have run"
    for missing in ALARMED - seen:
        yield f"no alarm on {missing}"
    stopped = properties(template, "ReconcileStoppedAlarm")
    if stopped.get("TreatMissingData") != "missing" or "AlarmTopicArn" not in json.dumps(stopped.get("InsufficientDataActions")):
        yield "ReconcileStoppedAlarm: a stopped schedule goes unnoticed"


@rule
def metrics_read_have_a_filter_that_writes_them(template):
    written = {}
    for name, each in of_type(template, "AWS::Logs::MetricFilter").items():
        for transformation in each["Properties"]["MetricTransformations"]:
            if transformation["MetricNamespace"] != NAMESPACE:
                yield f"{name}: two stacks write one metric"
            dimensions = frozenset(dimension["Key"] for dimension in transformation.get("Dimensions", []))
            written.setdefault(transformation["MetricName"], dimensions)
    for name, alarm in of_type(template, ALARM).items():
        inner = alarm["Properties"]
        if inner["Namespace"] == NAMESPACE:
            dimensions = frozenset(dimension["Name"] for dimension in inner.get("Dimensions", []))
            if written.get(inner["MetricName"]) != dimensions:
                yield f"{name}: nothing writes {inner['MetricName']} by {sorted(dimensions)}"
    read = {alarm["Properties"]["MetricName"] for alarm in of_type(template, ALARM).values()}
    for metric in written.keys() - read:
        yield f"{metric}: costs 0.30 a month, and no alarm reads it"
    body = properties(template, "Dashboard").get("DashboardBody", {}).get("Fn::Sub", "{}")
    for metric in set(re.findall(r'\["Konduktor/\$\{NamePrefix\}", "(\w+)"', body)) - written.keys():
        yield f"Dashboard: nothing writes {metric}"
    json.loads(body)


@rule
def two_stacks_do_not_collide(template):
    fixed = {
        LAMBDA: "FunctionName", LOGS: "LogGroupName", ALARM: "AlarmName", "AWS::CloudWatch::Dashboard": "DashboardName",
        "AWS::Events::Rule": "Name", "AWS::ApiGatewayV2::Api": "Name", "AWS::IAM::Role": "RoleName",
        "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
    }
    for name, resource in template["Resources"].items():
        key = fixed.get(resource["Type"])
        if key in resource.get("Properties", {}):
            if resource["Type"].startswith("AWS::IAM"):
                yield f"{name}: a chosen name needs CAPABILITY_NAMED_IAM"
            elif "${NamePrefix}" not in json.dumps(resource["Properties"][key]):
                yield f"{name}: {key} without the prefix"


@rule
def parameters_explain_and_guard_themselves(template):
    grouped = json.dumps(template["Metadata"]["AWS::CloudFormation::Interface"])
    for name, parameter in template["Parameters"].items():
        if not parameter.get("Description"):
            yield f"{name}: no help"
        if not parameter.keys() & {"AllowedValues", "AllowedPattern", "MinValue"}:
            yield f"{name}: takes anything"
        if "Default" not in parameter:
            yield f"{name}: a first deploy has to guess it"
        if f'"{name}"' not in grouped:
            yield f"{name}: not in the console's form"


@rule
def outputs_say_what_comes_next(template):
    wanted = {"WebhookUrl", "TasksTable", "PullRequestsTable", "TokensTable", "WebhookSecret", "AppSecret", "ClientPolicy", "AgentPolicy",
              "PusherPolicy", "BoardPolicy", "InspectPolicy", "OperatorPolicy", "GitCredentialHelper", "InspectTokens", "DomainTarget"} | ENVIRONMENT.keys()
    for name in wanted - template["Outputs"].keys():
        yield f"{name}: no output"
    for name, output in template["Outputs"].items():
        if not output.get("Description"):
            yield f"{name}: no description"
        if "{{resolve:" in json.dumps(output["Value"]):
            yield f"{name}: shows a secret"
    if "Kept when the stack is deleted" not in template["Outputs"].get("TasksTable", {}).get("Description", ""):
        yield "TasksTable: nobody is told that it stays"
