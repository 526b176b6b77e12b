"""What the roles and policies grant, against what was called in the tests.

The tests write `access key <tab> action <tab> resource` lines, each with the name of the local stack. A call counts as needed
however it ended: a role that is denied something has still asked for it.
"""

import re

import rules

# Whose access key is whose policy in the local stack (`lambda::access_key_id`, `stack::CLIENT` and what stands below it).
OWNERS = {
    "ASIAWEBHOOK": "WebhookRole",
    "ASIARECONCILE": "ReconcileRole",
    "ASIATOKEN": "TokenRole",
    "AKIACLIENT": "ClientPolicy",
    "AKIAAGENT": "AgentPolicy",
    "AKIAOPERATOR": "OperatorPolicy",
    "AKIAPUSHER": "PusherPolicy",
    "AKIABOARD": "BoardPolicy",
    "AKIAINSPECT": "InspectPolicy",
}
# What the local stack calls the template's resources.
NAMES = {
    "Tasks": "TasksTable",
    "PullRequests": "PullRequestsTable",
    "Tokens": "TokensTable",
    "konduktor/webhook": "WebhookSecret",
    "konduktor/app": "AppSecret",
    "webhook": "WebhookFunction",
    "reconcile": "ReconcileFunction",
    "token": "TokenFunction",
    "token:reconcile": "TokenForReconcile",
    "token:agents": "TokenForAgents",
    "token:pushers": "TokenForPushers",
    "token:inspect": "TokenForInspect",
    "konduktor-github-app": "Stack",
    "/aws/lambda/webhook": "WebhookLogs",
}
# What tests call things that are not there, or that stand in for the stack's own.
MADE_UP = re.compile(r"(konduktor/)?nobody-.*|other")
# Granted for what AWS does in the role's name, where no test of ours sees it.
BY_AWS = {
    "logs:CreateLogStream": "Lambda writes what the function prints",
    "logs:PutLogEvents": "Lambda writes what the function prints",
    "dynamodb:DescribeStream": "the event source mapping reads the stream",
    "dynamodb:GetRecords": "the event source mapping reads the stream",
    "dynamodb:GetShardIterator": "the event source mapping reads the stream",
    "dynamodb:ListStreams": "the event source mapping looks the stream up",
    "logs:FilterLogEvents": "people read what the functions print, with the AWS CLI; the webhook's, with `board` as well",
}


def granted(template, left_out=frozenset(BY_AWS)):
    """Every (owner, action, resource) that the template allows, without what AWS itself needs."""
    found = set()
    for owner, statement in rules.statements(template):
        for action in set(rules.as_list(statement["Action"])) - left_out:
            for resource in rules.as_list(statement["Resource"]):
                found |= {(owner, action, name) for name in names(template, resource)}
    return found


def names(template, resource):
    """What a statement's resource stands for: `TasksTable`, `PullRequestsTable/index/due-index`, `Stack`."""
    if "stack/${AWS::StackName}" in str(resource):
        return {"Stack"}
    index = "".join(index for text in rules.texts(resource) for index in re.findall(r"/index/[\w-]+$", text))
    return {name + index for name in rules.named(template, resource)}


def called(lines):
    """Every (owner, action, resource) of the recorded lines; calls that a test made with a key of its own do not count."""
    found = set()
    for line in lines:
        key, action, resource = line.split("\t")
        # A secret that is asked for by its ARN has six characters of Secrets Manager's behind its name.
        name, slash, index = re.sub(r"arn:.*:secret:(.*)-\w{6}", r"\1", resource).partition("/index/")
        if key in OWNERS and not MADE_UP.fullmatch(name):
            found.add((OWNERS[key], action, NAMES.get(name, name) + slash + index))
    return found


# What is asked for and refused on purpose: who looks for a reason is told that the secrets are not theirs to read.
REFUSED = {("InspectPolicy", f"secretsmanager:{action}", secret) for action in ("DescribeSecret", "GetSecretValue") for secret in ("AppSecret", "WebhookSecret")}


def findings(template, calls):
    """One sentence per grant that nothing used, and per call that nothing grants."""
    grants, calls = granted(template), calls - REFUSED
    for owner, action, resource in sorted(grants - calls):
        yield f"{owner}: {action} on {resource} is granted, and no test needs it"
    for owner, action, resource in sorted(calls - granted(template, frozenset())):
        yield f"{owner}: {action} on {resource} is called, and not granted"
