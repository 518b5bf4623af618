// SPDX-License-Identifier: Apache-2.0
// What this browser keeps: chats and settings in localStorage, the API key until the tab closes.

const MAX_CHATS = 100;

function readJson(storage, key, fallback) {
  try {
    return JSON.parse(storage.getItem(key)) ?? fallback;
  } catch {
    return fallback;
  }
}

/** False where the browser has no room or forbids it; the page works without. */
function writeJson(storage, key, value) {
  try {
    storage.setItem(key, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

const isMessage = (m) => m && typeof m.text === "string" && (m.role === "user" || m.role === "assistant");
const isChat = (chat) => chat && typeof chat.id === "string" && Array.isArray(chat.messages) && chat.messages.every(isMessage);

/** chats: [{id, title, messages: [{role, text, stats?, isCut?, problem?}]}], newest first. */
const store = {
  chats: [],

  load() {
    const chats = readJson(localStorage, "veloz.chats", []);
    this.chats = Array.isArray(chats) ? chats.filter(isChat) : [];
  },

  save() {
    this.chats = this.chats.filter((chat) => chat.messages.length > 0).slice(0, MAX_CHATS);
    // The oldest go where the browser gives no room for all.
    while (!writeJson(localStorage, "veloz.chats", this.chats) && this.chats.length > 1) this.chats.pop();
  },

  /** Puts the chat first and saves. */
  touch(chat) {
    this.chats = [chat, ...this.chats.filter((other) => other !== chat)];
    this.save();
  },

  remove(chat) {
    this.chats = this.chats.filter((other) => other !== chat);
    this.save();
  },
};

function newChat() {
  return { id: `${Date.now()}-${Math.random().toString(36).slice(2)}`, title: "New chat", messages: [] };
}

const SAMPLING_FIELDS = [
  "temperature",
  "top_p",
  "top_k",
  "min_p",
  "repetition_penalty",
  "presence_penalty",
  "frequency_penalty",
  "max_tokens",
  "seed",
];

const settings = {
  system: "",
  theme: "auto",
  sampling: {}, // field: text, as typed

  load() {
    const saved = readJson(localStorage, "veloz.settings", {});
    if (typeof saved.system === "string") this.system = saved.system;
    if (["auto", "light", "dark"].includes(saved.theme)) this.theme = saved.theme;
    for (const field of SAMPLING_FIELDS)
      if (typeof saved.sampling?.[field] === "string") this.sampling[field] = saved.sampling[field];
  },

  save() {
    writeJson(localStorage, "veloz.settings", { system: this.system, theme: this.theme, sampling: this.sampling });
  },

  get key() {
    return readJson(sessionStorage, "veloz.key", "");
  },
  set key(value) {
    writeJson(sessionStorage, "veloz.key", value);
  },

  /** The fields that are set, as numbers. */
  samplingFields() {
    const fields = {};
    for (const field of SAMPLING_FIELDS) {
      const text = this.sampling[field]?.trim();
      if (text && Number.isFinite(Number(text))) fields[field] = Number(text);
    }
    return fields;
  },
};
