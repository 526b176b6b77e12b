"""A function that does as it is told, to find out what its role may do.

Speaks the Lambda Runtime API like the real ones. Given `{"calls": [[service, operation, parameters], ...]}` it makes the
calls with the credentials it was started with and answers each with `ok` or the error's code. Anything else it logs
and returns.
"""

import json
import os
import urllib.request

import boto3
import botocore.exceptions

RUNTIME = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime/invocation"


def call(service, operation, parameters):
    try:
        getattr(boto3.client(service), operation)(**parameters)
        return "ok"
    except botocore.exceptions.ClientError as error:
        return error.response["Error"]["Code"]


def handle(event):
    if "calls" in event:
        return [call(*each) for each in event["calls"]]
    print(json.dumps({"message": "event", "event": event}), flush=True)
    if "requestContext" in event:
        return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": json.dumps({"outcome": "stand-in"})}
    return event


while True:
    with urllib.request.urlopen(f"{RUNTIME}/next") as invocation:
        request_id = invocation.headers["Lambda-Runtime-Aws-Request-Id"]
        answer = json.dumps(handle(json.load(invocation))).encode()
    urllib.request.urlopen(f"{RUNTIME}/{request_id}/response", data=answer).read()
