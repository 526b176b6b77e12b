// The webhook's work as a Probot app behind its Lambda adapter, written as both READMEs show:
// https://github.com/probot/adapter-aws-lambda-serverless#usage, https://probot.github.io/docs/webhooks/
const { createLambdaFunction, createProbot } = require("@probot/adapter-aws-lambda-serverless");
const { DynamoDBClient, GetItemCommand, QueryCommand, TransactWriteItemsCommand } = require("@aws-sdk/client-dynamodb");
const { SecretsManagerClient, GetSecretValueCommand } = require("@aws-sdk/client-secrets-manager");

const { TASKS_TABLE, PULL_REQUESTS_TABLE, WEBHOOK_SECRET_ID } = process.env;
const table = new DynamoDBClient({});
const TAG = /\[kid: #([0-9a-f]{8,32})\]/i;

const app = (probot) => {
  const events = ["opened", "reopened", "synchronize", "edited", "closed"].map((action) => `pull_request.${action}`);
  probot.on(events, async ({ payload }) => {
    const { pull_request: pull, repository } = payload;
    const key = { repository_id: { S: String(repository.id) }, item: { S: `pr#${pull.number}` } };
    const tag = TAG.exec(pull.title)?.[1].toLowerCase();
    const [row, tasks] = await Promise.all([read(key), tag ? find(tag) : []]);
    if (row && row.updated_at.S > pull.updated_at) return;
    await table.send(new TransactWriteItemsCommand({ TransactItems: changes(key, row, pull, tasks) }));
  });
};

const read = async (Key) =>
  (await table.send(new GetItemCommand({ TableName: PULL_REQUESTS_TABLE, Key, ConsistentRead: true }))).Item;

const find = async (tag) => {
  const query = new QueryCommand({
    TableName: TASKS_TABLE,
    KeyConditionExpression: "prefix = :prefix AND begins_with(id, :tag)",
    ExpressionAttributeValues: { ":prefix": { S: tag.slice(0, 8) }, ":tag": { S: tag } },
    ConsistentRead: true,
    Limit: 2,
  });
  return (await table.send(query)).Items;
};

const changes = (key, row, pull, tasks) => {
  const version = Number(row?.version.N ?? 0);
  const state = pull.merged ? "merged" : pull.state;
  const Put = {
    TableName: PULL_REQUESTS_TABLE,
    Item: {
      ...key,
      title: { S: pull.title },
      url: { S: pull.html_url },
      head: { S: pull.head.sha },
      base: { S: pull.base.ref },
      author: { S: pull.user.login },
      state: { S: state },
      updated_at: { S: pull.updated_at },
      version: { N: String(version + 1) },
    },
    ConditionExpression: row ? "version = :version" : "attribute_not_exists(#item)",
    ...(row
      ? { ExpressionAttributeValues: { ":version": { N: String(version) } } }
      : { ExpressionAttributeNames: { "#item": "item" } }),
  };
  const [task, another] = tasks;
  if (!task || another) return [{ Put }];
  const status = state === "merged" && task.status.S === "pr_submitted" ? "done" : task.status.S;
  const Update = {
    TableName: TASKS_TABLE,
    Key: { prefix: task.prefix, id: task.id },
    UpdateExpression: "SET #status = :status, pull_request = :url",
    ConditionExpression: "#status = :before",
    ExpressionAttributeNames: { "#status": "status" },
    ExpressionAttributeValues: { ":status": { S: status }, ":before": task.status, ":url": { S: pull.html_url } },
  };
  return [{ Put }, { Update }];
};

const ready = (async () => {
  const secrets = new SecretsManagerClient({});
  const { SecretString } = await secrets.send(new GetSecretValueCommand({ SecretId: WEBHOOK_SECRET_ID }));
  return createLambdaFunction(app, {
    probot: createProbot({ overrides: { secret: JSON.parse(SecretString).webhook_secret } }),
  });
})();

exports.handler = async (event, context) => (await ready)(event, context);
