"""The stack and its account, as `infra/deploy` asks about them: one account, one region and one name, settled once."""

import json
import os
import pathlib
import sys

import boto3
from botocore.exceptions import ClientError

INFRA = pathlib.Path(__file__).resolve().parent
ROOT = INFRA.parent
STACK = os.environ.get("STACK") or "konduktor-github-app"
# What each state means is known once, here and to the command line.
STATES = json.loads((INFRA / "states.json").read_text())
BEGINNINGS = {"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS"}
FUNCTIONS = {"webhook": "WebhookFunction", "reconcile": "ReconcileFunction", "token": "TokenFunction"}


def stop(sentence):
    sys.exit(f"infra/deploy: {sentence}")


def kind_of(status):
    """The name of the group of states; a state that nobody knows yet is left alone."""
    if status is None:
        return "absent"
    return next((name for name, kind in STATES.items() if status in kind["states"]), "by hand")


class Aws:
    """The one session, in the account and the region that every tool below is given."""

    def __init__(self):
        # SAM and boto3 read AWS_DEFAULT_PROFILE first, our command line AWS_PROFILE alone.
        if profile := os.environ.pop("AWS_DEFAULT_PROFILE", None):
            os.environ["AWS_PROFILE"] = profile
        # The AWS CLI v2 and our command line read AWS_REGION first, SAM and boto3 read AWS_DEFAULT_REGION alone.
        self.region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or boto3.Session().region_name
        if not self.region:
            stop("no AWS region: set AWS_REGION, or give the profile one with `aws configure set region REGION`.")
        os.environ["AWS_REGION"] = os.environ["AWS_DEFAULT_REGION"] = self.region
        self.session = boto3.Session(region_name=self.region)
        self.account = self.client("sts").get_caller_identity()["Account"]
        print(f"Account {self.account}, region {self.region}, stack {STACK}", flush=True)

    def client(self, service):
        return self.session.client(service)


class Stack:
    """What CloudFormation says of the stack; its status is `None` where there is none."""

    def __init__(self, aws):
        self.aws, self.cloudformation = aws, aws.client("cloudformation")
        try:
            found = self.cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
        except ClientError as error:
            if "does not exist" not in str(error):
                raise
            found = {}
        self.status = found.get("StackStatus")
        self.id = found.get("StackId")
        self.is_protected = found.get("EnableTerminationProtection", False)
        self.outputs = {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])}
        self.parameters = {each["ParameterKey"]: each["ParameterValue"] for each in found.get("Parameters", [])}

    @property
    def kind(self):
        return kind_of(self.status)

    @property
    def is_there(self):
        return self.kind != "absent"

    @property
    def advice(self):
        events = f"`aws cloudformation describe-stack-events --stack-name {STACK}`"
        return f"the stack {STACK} is in {self.status}: " + STATES[self.kind]["next"].format(events=events, name=STACK)

    def resources(self):
        pages = self.cloudformation.get_paginator("list_stack_resources").paginate(StackName=STACK)
        return [each for page in pages for each in page["StackResourceSummaries"]]

    def events(self):
        """What happened to the stack, the last first."""
        pages = self.cloudformation.get_paginator("describe_stack_events").paginate(StackName=STACK)
        return (each for page in pages for each in page["StackEvents"])

    def function(self, name):
        """The ARN of a function. Lambda refuses one of another account or region, where a name would find a namesake."""
        return f"{self.id.split(':stack/')[0].replace(':cloudformation:', ':lambda:')}:function:{self.outputs[FUNCTIONS[name]]}"

    def webhook_urls(self, parameters):
        """Where the webhook answers with these parameters, the output's first."""
        hosts = [f"https://{parameters['DomainName']}"] if parameters.get("DomainName") else []
        if parameters.get("ExecuteApiEndpoint") != "off":
            api, = (each["PhysicalResourceId"] for each in self.resources() if each["LogicalResourceId"] == "Api")
            hosts.append(self.aws.client("apigatewayv2").get_api(ApiId=api)["ApiEndpoint"])
        return [f"{host}/api/webhooks/github" for host in hosts]

    def guard(self):
        """Whatever a later template or parameter says: CloudFormation replaces and removes no secret and no table."""
        self.cloudformation.set_stack_policy(StackName=STACK, StackPolicyBody=(INFRA / "stack-policy.json").read_text())

    def troubles(self):
        """Why the last operation failed, by CloudFormation's events."""
        found = []
        for event in self.events():
            reason = event.get("ResourceStatusReason", "")
            if event["ResourceStatus"].endswith("_FAILED") and "cancelled" not in reason:
                found.append(f"{event['LogicalResourceId']}: {reason}")
            elif found and event["LogicalResourceId"] == STACK and event["ResourceStatus"] in BEGINNINGS:
                break
        return list(dict.fromkeys(reversed(found)))

    def kept(self):
        """What the stack leaves behind once it is deleted, and how to go on with it."""
        if table := self.parameters.get("ExistingTasksTable"):
            yield f"The Tasks table {table} stays: the stack used it and did not own it."
        # A rolled back creation may list the table no more, and events are not kept for ever: each knows what the other does not.
        seen = (each for source in (self.resources(), self.events()) for each in source if each["LogicalResourceId"] == "TasksTable")
        for name in dict.fromkeys(each["PhysicalResourceId"] for each in seen if each.get("PhysicalResourceId")):
            try:
                self.aws.client("dynamodb").describe_table(TableName=name)
            except ClientError:
                continue
            yield (f"The Tasks table {name} stays, with every task in it. To come back with it: ExistingTasksTable = \"{name}\" in "
                   f"infra/parameters/{STACK}.toml. To be rid of it: aws dynamodb update-table --no-deletion-protection-enabled --table-name {name} "
                   f"and aws dynamodb delete-table --table-name {name}")
