// OpenAI's package for node as its users call it: node openai_node.mjs BASE_URL MODEL TUNED ENCODER
import assert from "node:assert/strict";
import OpenAI, { toFile } from "openai";

const [baseURL, model, tuned, encoder] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const messages = [{ role: "user", content: "Hello" }];

const names = [];
for await (const each of client.models.list()) names.push(each.id);
assert(names.includes(model) && names.includes(tuned), String(names));
console.log("models");

const file = await client.files.create({ file: await toFile(Buffer.from("{}\n"), "rows.jsonl"), purpose: "fine-tune" });
assert.equal(await (await client.files.content(file.id)).text(), "{}\n");
assert((await client.files.delete(file.id)).deleted);
console.log("files");

const asked = { model: tuned, messages, max_tokens: 8, temperature: 0 };
const whole = await client.chat.completions.create(asked);
assert(whole.choices[0].message.content && whole.usage.completion_tokens > 0);
console.log("chat");

let text = "";
for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) {
  text += chunk.choices[0]?.delta?.content ?? "";
}
assert.equal(text.trim(), whole.choices[0].message.content.trim());
console.log("stream");

const schema = {
  type: "object",
  properties: { colour: { enum: ["red", "blue"] } },
  required: ["colour"],
  additionalProperties: false,
};
const parsed = await client.chat.completions.parse({
  model,
  messages,
  max_tokens: 200,
  response_format: { type: "json_schema", json_schema: { name: "colour", strict: true, schema } },
});
assert(["red", "blue"].includes(parsed.choices[0].message.parsed.colour));
console.log("schema");

const tool = { type: "function", function: { name: "look_up", parameters: schema, strict: true } };
const called = await client.chat.completions.create({ model, messages, max_tokens: 200, tools: [tool], tool_choice: "required" });
assert.equal(called.choices[0].message.tool_calls[0].function.name, "look_up");
console.log("tools");

const { data } = await client.embeddings.create({ model: encoder, input: ["a cat", "a kitten"] });
assert.equal(data.length, 2);
assert(Math.abs(data[0].embedding.reduce((sum, x) => sum + x * x, 0) - 1) < 1e-3, "a vector of unit length");
console.log("embeddings");

await assert.rejects(client.chat.completions.create({ ...asked, model: "nobody" }), OpenAI.NotFoundError);
await assert.rejects(client.get("/nowhere"), OpenAI.NotFoundError);
await assert.rejects(client.chat.completions.create({ ...asked, temperature: 9 }), OpenAI.BadRequestError);
console.log("errors");
