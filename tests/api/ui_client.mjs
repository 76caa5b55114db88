// The AI SDK's own chat with its transport for durable streams: asks, is cut, comes back, and says what it saw.
import { Chat } from "@ai-sdk/react";
import { WorkflowChatTransport } from "@ai-sdk/workflow/client";
import { readUIMessageStream } from "ai";

const [, , url, text] = process.argv;
const requests = [];

// A server that is away is asked again: the transport itself gives up when nobody answers.
async function patientFetch(address, options) {
  for (let attempt = 0; ; attempt++) {
    try {
      const response = await fetch(address, options);
      if (response.status < 500 || attempt > 100) {
        requests.push(new URL(address).search);
        return response;
      }
    } catch (error) {
      if (attempt > 100) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
}

let run;
const transport = new WorkflowChatTransport({
  api: `${url}/api/ui/chat`,
  fetch: patientFetch,
  maxConsecutiveErrors: 10,
  onChatSendMessage: (response) => {
    run = response.headers.get("x-workflow-run-id");
  },
});
console.error = () => {}; // the transport reports each cut
const chat = new Chat({ transport });
await chat.sendMessage({ text });

const textOf = (message) => message.parts.filter((part) => part.type === "text").map((part) => part.text).join("");
let again;
const replay = await new WorkflowChatTransport({ api: `${url}/api/ui/chat` }).reconnectToStream({ chatId: run });
for await (const message of readUIMessageStream({ stream: replay })) again = message;
console.log(
  JSON.stringify({
    status: chat.status,
    text: textOf(chat.lastMessage),
    same: JSON.stringify(chat.lastMessage.parts) === JSON.stringify(again.parts),
    requests,
    run,
  }),
);
process.exit(0);
