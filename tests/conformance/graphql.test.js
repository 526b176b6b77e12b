// What the functions ask, and what the fake GitHub knows, against the schema that GitHub publishes.
// GRAPHQL: a file with the line that `stack graphql` prints.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import test from "node:test";
import { fileURLToPath } from "node:url";

import { schema as published } from "@octokit/graphql-schema";
import { buildSchema, getNamedType, isLeafType, isRequiredArgument, isUnionType, parse, validate } from "graphql";
import { getVariableValues } from "graphql/execution/values.js";

// GitHub defines some fields of its enterprises twice.
const github = buildSchema(published.idl, { assumeValidSDL: true });
const { queries, schema } = JSON.parse(readFileSync(process.env.GRAPHQL, "utf8"));
const files = new URL("../../shared/adapters/src/github/graphql/", import.meta.url);

test("every query that the functions send is one that GitHub takes", () => {
  for (const { query, variables } of queries) {
    const document = parse(query);
    assert.deepEqual(validate(github, document).map(String), [], query);
    const [operation] = document.definitions.filter((definition) => definition.kind === "OperationDefinition");
    const { errors } = getVariableValues(github, operation.variableDefinitions, variables);
    assert.equal(errors, undefined, `${query}: ${JSON.stringify(variables)}`);
  }
});

test("no query of the functions was left out", () => {
  const names = readdirSync(fileURLToPath(files)).filter((name) => name.endsWith(".graphql"));
  assert.ok(names.length > 0);
  for (const name of names) {
    const text = readFileSync(new URL(name, files), "utf8").trim();
    assert.ok(queries.some(({ query }) => query.includes(text)), `${name} was not sent`);
  }
});

test("the fake GitHub knows no type, field or argument that GitHub does not have", () => {
  const fieldsOf = (type) => (isUnionType(type) || isLeafType(type) ? {} : type.getFields());
  for (const [name, fields] of Object.entries(schema)) {
    const type = github.getType(name);
    assert.ok(type, name);
    for (const [field, known] of Object.entries(fields)) {
      const where = `${name}.${field}`;
      const real = fieldsOf(type)[field];
      assert.ok(real, where);
      const returns = getNamedType(real.type);
      // An interface of GitHub's stands under the name of what it is here: then it has at least the fields of that.
      const inside = schema[known.type];
      if (inside && returns.name !== known.type) {
        for (const inner of Object.keys(inside)) assert.ok(fieldsOf(returns)[inner], `${where} is ${returns}, without ${inner}`);
      } else {
        assert.equal(returns.name, known.type, where);
      }
      const required = real.args.filter(isRequiredArgument).map((argument) => `${argument.name}!`);
      const optional = real.args.filter((argument) => !isRequiredArgument(argument)).map((argument) => argument.name);
      for (const argument of known.arguments) {
        assert.ok([...required, ...optional].includes(argument), `${where}(${argument})`);
      }
      for (const argument of required) assert.ok(known.arguments.includes(argument), `${where}(${argument}) is missing`);
    }
  }
});
