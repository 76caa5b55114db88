// The AI SDK's providers for OpenAI and Open Responses with a tool of the caller. Arguments: base URL, key, model. Prints one line of JSON.
import { createOpenResponses } from "@ai-sdk/open-responses";
import { createOpenAI } from "@ai-sdk/openai";
import { isStepCount, streamText, tool } from "ai";
import { z } from "zod";

const [baseURL, apiKey, name] = process.argv.slice(2);
const openai = createOpenAI({ baseURL, apiKey });
const openResponses = createOpenResponses({ name: "longhaul", url: `${baseURL}/responses`, apiKey });

async function answered(model) {
  const words = [];
  const look_up = tool({
    description: "Look up.",
    inputSchema: z.object({ word: z.string() }),
    execute: async ({ word }) => (words.push(word), `wet in ${word}`),
  });
  const prompt = 'say=1 call look_up {"word": "sea"} tokens=1';
  const result = streamText({ model, prompt, tools: { look_up }, stopWhen: isStepCount(3), maxRetries: 0 });
  let text = "";
  for await (const part of result.fullStream) {
    if (part.type === "error") throw part.error;
    if (part.type === "text-delta") text += part.text;
  }
  return { text, steps: (await result.steps).length, words };
}

const seen = {
  chat: await answered(openai.chat(name)),
  responses: await answered(openai.responses(name)),
  openResponses: await answered(openResponses(name)),
  agent: await answered(openai.chat("assistant")),
};
console.log(JSON.stringify(seen));
