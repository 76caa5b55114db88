// The page at /deep-chat: loads the component, asks for a key where the server does, and gives the rest to longhaul.js.

import { longhaul } from "/deep-chat/longhaul.js";
import { linkPictures } from "/deep-chat/pictures.js";

const find = (id) => document.getElementById(id);
const KEY = "longhaul-key";
const key = () => sessionStorage.getItem(KEY) ?? "";

function load(content, { integrity }) {
  const script = Object.assign(document.createElement("script"), {
    type: "module",
    src: content,
    integrity,
    crossOrigin: "anonymous",
  });
  return new Promise((loaded, failed) => {
    script.onload = loaded;
    script.onerror = failed;
    document.head.append(script);
  });
}

// Why this page may not call the server; empty: it may.
async function refusal() {
  const answer = await fetch("/v1/models", { headers: key() ? { Authorization: `Bearer ${key()}` } : {} });
  return answer.status === 401 ? (await answer.json()).error.message : "";
}

function say(problem) {
  find("problem").textContent = problem;
  find("problem").hidden = false;
}

function show() {
  const chat = document.createElement("deep-chat");
  const conversation = longhaul(chat, { key, onStatus: (text) => (find("status").textContent = text) });
  chat.introMessage = { text: "What can I do for you? Attach documents or tables if your request is about them." };
  chat.mixedFiles = { files: { maxNumberOfFiles: 20 } };
  chat.textInput = { placeholder: { text: "Ask something long", style: { color: "var(--quiet)" } }, styles: INPUT };
  chat.style.fontFamily = "var(--font)"; // without one, the component asks another host for its own
  chat.chatStyle = { width: "100%", height: "100%", border: "0", backgroundColor: "transparent" };
  chat.messageStyles = BUBBLES;
  chat.submitButtonStyles = BUTTON;
  chat.auxiliaryStyle = AUXILIARY;
  linkPictures(chat.shadowRoot);
  find("place").append(chat);
  find("thread").href = `/thread/${conversation.thread}`;
  find("thread").hidden = key() !== "" || conversation.turns.length === 0;
  chat.onMessage = () => (find("thread").hidden = key() !== "");
}

const SNIPPET = `<script type="module" src="COMPONENT"></script>
<deep-chat></deep-chat>
<script type="module">
  import { longhaul } from "SERVER/deep-chat/longhaul.js";
  longhaul(document.querySelector("deep-chat"), { server: "SERVER" });
</script>`;
const INPUT = {
  container: {
    backgroundColor: "var(--card)",
    border: "1px solid var(--line)",
    borderRadius: "14px",
    boxShadow: "none",
    color: "var(--ink)",
  },
  text: { padding: "13px 44px 13px 16px" },
};
const BUTTON = {
  submit: { container: { default: { bottom: "1.15em" } }, svg: { styles: { default: { filter: "var(--icon)" } } } },
  stop: { container: { default: { bottom: "1.15em" } } },
  loading: { container: { default: { bottom: "1.15em" } } },
};
const BUBBLES = {
  default: {
    shared: { bubble: { maxWidth: "88%", lineHeight: "1.6", padding: "10px 14px", borderRadius: "14px" } },
    user: { bubble: { backgroundColor: "var(--mine)", color: "var(--on-mine)" } },
    ai: { bubble: { backgroundColor: "var(--bubble)", color: "var(--ink)" } },
  },
  error: { bubble: { backgroundColor: "var(--alarm)", color: "var(--on-alarm)" } },
};
const AUXILIARY = `
  #messages::-webkit-scrollbar { width: 8px }
  #messages::-webkit-scrollbar-thumb { background: var(--line); border-radius: 4px }
`;
find("new").onclick = () => {
  sessionStorage.removeItem("longhaul");
  location.reload();
};
find("key").onsubmit = (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, find("secret").value);
  location.reload();
};

async function open() {
  const { content, dataset } = document.querySelector("meta[name=component]");
  const source = new URL(content, location);
  find("snippet").textContent = SNIPPET.replaceAll("SERVER", location.origin).replace("COMPONENT", source);
  try {
    await load(content, dataset);
  } catch {
    return say("The Deep Chat component is missing: run scripts/install on the server, which fetches it with npm.");
  }
  const refused = await refusal();
  if (!refused) show();
  else if (refused.startsWith("Send a known key")) find("key").hidden = false;
  else say(refused);
}

open();
