// The official Node client on chat completions. Arguments: base URL, key, model. Prints what it saw as one line of JSON.
import OpenAI from "openai";

const [baseURL, apiKey, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const asking = (content) => ({ model, messages: [{ role: "user", content }] });
const seen = {};

seen.models = (await client.models.list()).data.map((one) => one.id);

const whole = await client.chat.completions.create(asking("tokens=3"));
seen.whole = whole.choices[0].message.content;
seen.tokens = whole.usage.completion_tokens;

let text = "";
const options = { stream: true, stream_options: { include_usage: true } };
for await (const chunk of await client.chat.completions.create({ ...asking("tokens=4 hang=0.7@2"), ...options })) {
  text += chunk.choices[0]?.delta.content ?? "";
  seen.streamedTokens = chunk.usage?.completion_tokens;
}
seen.streamed = text;

const helper = client.chat.completions.stream(asking("tokens=2"));
seen.helped = (await helper.finalChatCompletion()).choices[0].message.content;

const codes = async (call) => {
  try {
    await call();
  } catch (error) {
    return [error.status ?? null, error.code];
  }
};
seen.unknown = await codes(() => client.chat.completions.create({ ...asking("hi"), model: "gpt-99" }));
seen.broken = await codes(async () => {
  const stream = await client.chat.completions.create({ ...asking("tokens=4 error=2 rate=20"), stream: true });
  for await (const _ of stream);
});
seen.refused = await codes(() => new OpenAI({ baseURL, apiKey: "wrong", maxRetries: 0 }).models.list());

// Tools of the caller: the helper runs them and asks again; responses go on from the one before.
const parameters = { type: "object", properties: { word: { type: "string" } }, required: ["word"] };
const asks = 'call look_up {"word": "sea"} tokens=1';
const ran = [];
const look_up = ({ word }) => (ran.push("look_up"), `wet in ${word}`);
const runner = client.chat.completions.runTools({
  ...asking(asks),
  stream: true,
  tools: [{ type: "function", function: { name: "look_up", parse: JSON.parse, parameters, function: look_up } }],
});
seen.tool = await runner.finalContent();
seen.toolRounds = ran;

const tools = [{ type: "function", name: "look_up", parameters, strict: false }];
const kinds = [];
const streamed = client.responses.stream({ model, input: asks, tools });
for await (const event of streamed) kinds.push(event.type);
const response = await streamed.finalResponse();
seen.response = response.output.map((item) => item.type);
seen.responseEvents = kinds.includes("response.function_call_arguments.done");
const output = { type: "function_call_output", call_id: response.output[0].call_id, output: "wet" };
const after = { model, previous_response_id: response.id, input: [output], tools };
seen.wentOn = (await client.responses.create(after)).output_text;

console.log(JSON.stringify(seen));
