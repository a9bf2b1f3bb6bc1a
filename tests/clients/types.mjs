// Checks answers by the types that the clients declare: their .d.ts files become JSON Schemas, and
// what the server sends must be valid by them.
import assert from "node:assert/strict";
import Ajv from "ajv";
import { createGenerator } from "ts-json-schema-generator";

const schema = createGenerator({
  path: "types.ts", tsconfig: "tsconfig.json", type: "*", skipTypeCheck: true,
  additionalProperties: true,
}).createSchema("*");
const ajv = new Ajv({ strict: false, formats: { "date-time": true } });
ajv.addSchema(schema, "types");

// `type`: a name of types.ts.
export function conforms(type, value) {
  const validate = ajv.getSchema(`types#/definitions/${type}`);
  assert.ok(validate, `there is no type ${type}`);
  const plain = JSON.parse(JSON.stringify(value));
  assert.ok(validate(plain),
    `not a ${type}: ${JSON.stringify(validate.errors)} in ${JSON.stringify(plain)}`);
}

// An event, by the type that has its name as the constant `type`.
export function conformsByType(value) {
  const found = Object.entries(schema.definitions).find(
    ([, { properties }]) => properties?.type?.const === value.type);
  assert.ok(found, `the client knows no event ${value.type}`);
  conforms(found[0], value);
}
