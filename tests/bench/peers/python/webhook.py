"""The webhook's work as Konduktor's own server is written: FastAPI, on Lambda by Mangum (https://mangum.fastapiexpert.com), and boto3."""

import hashlib
import hmac
import json
import os
import re

import boto3
from botocore.exceptions import ClientError
from fastapi import FastAPI, HTTPException, Request
from mangum import Mangum

TASKS = os.environ["TASKS_TABLE"]
PULL_REQUESTS = os.environ["PULL_REQUESTS_TABLE"]
TAG = re.compile(r"\[kid: #([0-9a-f]{8,32})\]", re.IGNORECASE)
ACTIONS = {"opened", "reopened", "synchronize", "edited", "closed"}

table = boto3.client("dynamodb")
stored = boto3.client("secretsmanager").get_secret_value(SecretId=os.environ["WEBHOOK_SECRET_ID"])
secret = json.loads(stored["SecretString"])["webhook_secret"].encode()
app = FastAPI()


@app.post("/api/webhooks/github")
async def webhook(request: Request):
    body = await request.body()
    signature = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(signature, request.headers.get("x-hub-signature-256", "")):
        raise HTTPException(401, "the signature is wrong")
    payload = json.loads(body)
    if request.headers.get("x-github-event") != "pull_request" or payload["action"] not in ACTIONS:
        return {"outcome": "ignored"}
    return {"outcome": store(payload["pull_request"], payload["repository"]["id"])}


def store(pull, repository_id):
    key = {"repository_id": {"S": str(repository_id)}, "item": {"S": f"pr#{pull['number']}"}}
    row = table.get_item(TableName=PULL_REQUESTS, Key=key, ConsistentRead=True).get("Item")
    if row and row["updated_at"]["S"] > pull["updated_at"]:
        return "stale"
    tag = TAG.search(pull["title"])
    tasks = find(tag[1].lower()) if tag else []
    try:
        table.transact_write_items(TransactItems=changes(key, row, pull, tasks))
    except ClientError as error:
        raise HTTPException(500, "it could not be stored") from error
    return "stored"


def find(tag):
    found = table.query(
        TableName=TASKS,
        KeyConditionExpression="prefix = :prefix AND begins_with(id, :tag)",
        ExpressionAttributeValues={":prefix": {"S": tag[:8]}, ":tag": {"S": tag}},
        ConsistentRead=True,
        Limit=2,
    )
    return found["Items"]


def changes(key, row, pull, tasks):
    version = int(row["version"]["N"]) if row else 0
    state = "merged" if pull["merged"] else pull["state"]
    put = {
        "TableName": PULL_REQUESTS,
        "Item": {
            **key,
            "title": {"S": pull["title"]},
            "url": {"S": pull["html_url"]},
            "head": {"S": pull["head"]["sha"]},
            "base": {"S": pull["base"]["ref"]},
            "author": {"S": pull["user"]["login"]},
            "state": {"S": state},
            "updated_at": {"S": pull["updated_at"]},
            "version": {"N": str(version + 1)},
        },
    }
    if row:
        put |= {"ConditionExpression": "version = :version", "ExpressionAttributeValues": {":version": {"N": str(version)}}}
    else:
        put |= {"ConditionExpression": "attribute_not_exists(#item)", "ExpressionAttributeNames": {"#item": "item"}}
    if len(tasks) != 1:
        return [{"Put": put}]
    (task,) = tasks
    before = task["status"]
    after = {"S": "done"} if state == "merged" and before["S"] == "pr_submitted" else before
    update = {
        "TableName": TASKS,
        "Key": {"prefix": task["prefix"], "id": task["id"]},
        "UpdateExpression": "SET #status = :status, pull_request = :url",
        "ConditionExpression": "#status = :before",
        "ExpressionAttributeNames": {"#status": "status"},
        "ExpressionAttributeValues": {":status": after, ":before": before, ":url": {"S": pull["html_url"]}},
    }
    return [{"Put": put}, {"Update": update}]


handler = Mangum(app, lifespan="off")
