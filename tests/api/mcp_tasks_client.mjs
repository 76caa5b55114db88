// The official client of the extension for tasks. `begin URL TEXT` prints a reference and waits for its death;
// `resume URL REFERENCE` prints the result.
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { createTaskSessionFromClient, resultFromTaskOutcome } from "@modelcontextprotocol/ext-tasks/client";

const [, , phase, url, given] = process.argv;
const TASKS = "io.modelcontextprotocol/tasks";
const clientInfo = { name: "test", version: "1" };
const clientCapabilities = { extensions: { [TASKS]: {} } };

// The host's own requests: the SDK leaves those of extensions to it.
async function rawDispatch(request) {
  const name = request.params.name ?? request.params.taskId;
  const response = await fetch(url, {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      Accept: "application/json, text/event-stream",
      "MCP-Protocol-Version": "2026-07-28",
      "Mcp-Method": request.method,
      ...(name ? { "Mcp-Name": name } : {}),
    },
    body: JSON.stringify({ jsonrpc: "2.0", id: crypto.randomUUID(), ...request }),
  });
  const message = await response.json();
  return message.error ? { kind: "error", error: message.error } : { kind: "result", result: message.result };
}

const client = new Client(clientInfo, { capabilities: clientCapabilities, versionNegotiation: { mode: "auto" } });
await client.connect(new StreamableHTTPClientTransport(new URL(url)));
const session = createTaskSessionFromClient(client, {
  endpointId: "longhaul",
  rawDispatch,
  v2RequestFraming: { protocolVersion: "2026-07-28", clientInfo, clientCapabilities },
});

if (phase === "begin") {
  const execution = await session.callTool("chat", { input: given });
  console.log(JSON.stringify(execution.serializeReference()));
  await execution.settle();
} else {
  const execution = await session.resumeTask(JSON.parse(given));
  const { outcome } = await execution.settle();
  console.log(JSON.stringify(resultFromTaskOutcome(outcome)));
  process.exit(0);
}
