// Makes a Deep Chat component a front end of Longhaul's jobs: an answer goes on through a reload, a cut network and a
// restarted server, each word is shown once, and Stop stops it on the server.
//
//   import { longhaul } from "/deep-chat/longhaul.js";
//   longhaul(document.querySelector("deep-chat"));
//
// Options: `server`, its address (the page's own); `key`, a function that gives the API key; `storage`, what keeps the
// conversation (sessionStorage: one for each tab); `onStatus`, told in a few words what goes on besides the answer.

const SLOWEST = 5_000; // ms between attempts to reach the server
const SILENT = 20_000; // ms without even a heartbeat, after which a connection is taken for dead
const AGAIN = new Set([408, 425, 429, 502, 503, 504]); // statuses that pass

export function longhaul(chat, { server = "", key = () => "", storage = sessionStorage, onStatus = () => {} } = {}) {
  const conversation = JSON.parse(storage.getItem("longhaul")) ?? { thread: newId(), turns: [] };
  const keep = () => storage.setItem("longhaul", JSON.stringify(conversation));

  async function call(path, options = {}) {
    const headers = { ...options.headers, ...(key() && { Authorization: `Bearer ${key()}` }) };
    const answer = await fetch(server + path, { ...options, headers });
    if (answer.ok) return answer;
    const { error } = await answer.json().catch(() => ({}));
    throw Object.assign(new Error(error?.message ?? "The server refused the request."), { status: answer.status });
  }

  // Again and again while the network or the server is away; a refusal is thrown.
  async function insist(attempt) {
    for (let wait = 250; ; wait = Math.min(2 * wait, SLOWEST)) {
      try {
        return await attempt(() => (wait = 250));
      } catch (error) {
        if (error.status && !AGAIN.has(error.status)) throw error;
        onStatus("Reconnecting …");
        await new Promise((over) => setTimeout(over, wait * (0.75 + Math.random() / 2)));
      }
    }
  }

  const post = async (path, rest) => (await insist(() => call(path, { method: "POST", ...rest }))).json();
  const cancel = (turn) => post(`/api/jobs/${turn.job}/cancel`).catch(() => {}); // it is gone already

  async function upload(file) {
    const body = new FormData();
    body.append("file", file);
    return (await post("/api/files", { body })).id;
  }

  // The turn is kept before it is asked, with a key of its own: asking again, also after a reload, never asks twice.
  async function submit(turn) {
    if (turn.job) return;
    if (!conversation.turns.includes(turn)) conversation.turns.push(turn);
    keep();
    const body = JSON.stringify({ task: "chat", input: turn.text, thread_id: conversation.thread, files: turn.files });
    try {
      const headers = { "Content-Type": "application/json", "Idempotency-Key": turn.key };
      turn.job = (await post("/api/jobs", { headers, body })).id;
    } catch (refused) {
      conversation.turns.splice(conversation.turns.indexOf(turn), 1);
      throw refused;
    } finally {
      keep();
    }
  }

  // The whole answer, once it has ended; `look` sees it after each piece.
  async function follow(turn, look = () => {}) {
    const answer = new Answer();
    await insist(async (reached) => {
      const dead = new AbortController();
      const stream = await call(`/api/jobs/${turn.job}/events?after=${answer.seq}`, { signal: dead.signal });
      for await (const events of read(stream, dead)) {
        reached();
        events.forEach((event) => answer.feed(event));
        await look(answer);
      }
      if (!answer.end) throw new Error("cut");
    });
    return answer;
  }

  async function ask(turn, signals) {
    let shown = "";
    signals.onOpen(); // shows Stop
    signals.stopClicked.listener = () => {
      turn.stopped = true;
      keep();
      onStatus("");
      if (turn.job) cancel(turn);
    };
    try {
      turn.files ??= await Promise.all(turn.uploads.map(upload));
      delete turn.uploads;
      if (turn.stopped) return;
      await submit(turn);
      if (turn.stopped) cancel(turn);
      const { failure } = await follow(turn, async ({ text, status }) => {
        if (turn.stopped) return;
        onStatus(status);
        if (!text || text === shown) return; // the component takes no empty text: withdrawn text stays until then
        const more = text.startsWith(shown);
        await signals.onResponse(more ? { text: text.slice(shown.length) } : { text, overwrite: true });
        shown = text;
      });
      turn.ended = true;
      keep();
      if (failure) throw new Error(failure);
      if (!turn.stopped) signals.onClose();
    } catch (error) {
      if (!turn.stopped) await fail(signals, error.message);
    }
    if (!turn.stopped) onStatus("");
  }

  async function fail(signals, error) {
    try {
      await signals.onResponse({ error });
    } catch {
      signals.onClose(); // before the first word the component has no bubble that it could end
      chat.addMessage({ error });
    }
  }

  async function told(turn) {
    const question = { role: "user", text: words(turn) };
    const { text, failure } = await follow(turn).catch((error) => ({ failure: error.message }));
    return [question, ...(text ? [{ role: "ai", text }] : []), ...(failure ? [{ error: failure }] : [])];
  }

  chat.connect = {
    stream: true,
    handler: (body, signals) => {
      const { message, files } = question(body);
      const rejoined = conversation.turns.find((turn) => turn.key === message.custom?.turn);
      const names = files.map((file) => file.name);
      ask(rejoined ?? { key: newId(), text: message.text ?? "", names, uploads: files }, signals);
    },
  };
  // A turn that runs is asked again: the component shows it as it shows a new one, and its key finds the same job.
  chat.loadHistory = async () => {
    const last = conversation.turns.at(-1);
    const running = last && !last.ended && !last.stopped ? last : undefined;
    if (last?.stopped && last.job) cancel(last); // in case that the first wish got lost
    const past = conversation.turns.filter((turn) => turn !== running && turn.job);
    const messages = (await Promise.all(past.map(told))).flat();
    if (running) setTimeout(() => chat.submitUserMessage({ text: words(running), custom: { turn: running.key } }));
    onStatus("");
    return messages;
  };
  chat.errorMessages = { displayServiceErrorMessages: true };
  return conversation;
}

// A job's answer, read from its log: the text of the top-level model steps; a repeated step begins its text anew.
class Answer {
  seq = 0;
  status = "";
  failure = "";
  end = false;
  #pieces = new Map();
  #withdrawn = new Set();

  get text() {
    return [...this.#pieces.values()].join("");
  }

  feed(event) {
    if (event.seq <= this.seq) return;
    this.seq = event.seq;
    this.#read(event);
    this.end = ["job.completed", "job.incomplete", "job.failed", "job.cancelled"].includes(event.type);
    if (this.end) this.failure = event.error?.message ?? (this.text ? "" : "There is no answer.");
  }

  #read({ type, step, kind, parent, name, text, message, done, total }) {
    const known = this.#pieces.has(step);
    if (type === "step.started" && kind === "model" && !parent) {
      if (this.#pieces.get(step)) this.#withdrawn.add(step);
      else this.#pieces.set(step, "");
    } else if (known && (type === "text.delta" || type === "step.finished")) {
      const before = this.#withdrawn.delete(step) ? "" : this.#pieces.get(step);
      this.#pieces.set(step, before + (text ?? ""));
      this.status = "";
    } else if (type === "step.started" && kind === "tool") this.status = `${name} …`;
    else if (type === "progress") this.status = `${message} ${total ? Math.round((100 * done) / total) + " %" : ""}`;
  }
}

// Pages of events of a stream; heartbeats are empty pages.
async function* read(stream, dead) {
  const reader = stream.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ; ) {
    const silent = setTimeout(() => dead.abort(), SILENT);
    const { value, done } = await reader.read().finally(() => clearTimeout(silent));
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    const events = blocks.flatMap((block) => block.split("\n").filter((line) => line.startsWith("data: ")));
    yield events.map((line) => refusing(JSON.parse(line.slice("data: ".length))));
  }
}

function refusing(event) {
  if (event.seq) return event;
  throw Object.assign(new Error(event.error.message), { status: 410 }); // the job was deleted
}

// What the component sends: its messages as JSON, or as the fields of a form when files come along.
function question(body) {
  if (!(body instanceof FormData)) return { message: body.messages.at(-1), files: [] };
  const messages = [...body].filter(([name]) => /^message\d+$/.test(name)).map(([, text]) => JSON.parse(text));
  const last = messages.at(-1);
  return { message: last?.role === "user" ? last : {}, files: body.getAll("files") };
}

const words = ({ text, names }) => [text, ...names.map((name) => `📎 ${name}`)].filter(Boolean).join("\n");
// Not crypto.randomUUID: pages without https do not have it.
const newId = () => [...crypto.getRandomValues(new Uint32Array(4))].map((n) => n.toString(16).padStart(8, 0)).join("");
