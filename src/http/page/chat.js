// SPDX-License-Identifier: Apache-2.0
// The conversation: shows a chat, streams answers into it, and lets one stop, continue, repeat and edit.

// Within this distance of the end, the view follows what is written.
const FOLLOW_PX = 60;

const chatView = {
  chat: newChat(),
  model: "",
  stream: null, // of the answer being written: {controller, message, node}

  isStreaming() {
    return this.stream !== null;
  },

  show(chat) {
    this.stop();
    this.chat = chat;
    this.render();
    byId("scroll").scrollTop = byId("scroll").scrollHeight;
  },

  render() {
    const { messages } = this.chat;
    byId("thread").replaceChildren(...(messages.length ? messages.map((_, i) => this.messageNode(i)) : [emptyNode()]));
  },

  messageNode(i) {
    const message = this.chat.messages[i];
    return message.role === "user" ? this.userNode(message, i) : this.answerNode(message, i);
  },

  userNode(message, i) {
    const node = el("article", { class: "message user", "aria-label": "You" });
    const actions = el("div", { class: "actions" }, copyButton(() => message.text), iconButton("edit", "Edit", () => this.edit(node, i)));
    node.append(el("div", { class: "bubble" }, message.text), actions);
    return node;
  },

  answerNode(message, i) {
    const node = el("article", { class: "message assistant", "aria-label": "Answer" });
    const body = el("div", { class: "answer" }, ...renderMarkdown(message.text));
    node.append(body);
    if (this.stream?.message === message) {
      body.classList.add("streaming");
      if (!message.text) body.append(waitingNode());
      return node;
    }
    if (message.problem) node.append(el("div", { class: "problem", role: "alert" }, message.problem));
    node.append(this.answerActions(message, i));
    return node;
  },

  answerActions(message, i) {
    const actions = el("div", { class: "actions" });
    if (message.text) actions.append(copyButton(() => message.text));
    actions.append(iconButton("retry", "Regenerate", () => this.regenerate(i)));
    const isLast = i === this.chat.messages.length - 1;
    if (message.isCut && message.text && isLast)
      actions.append(el("button", { class: "button continue", type: "button", onclick: () => this.resume() }, icon("play"), "Continue"));
    if (message.stats) actions.append(el("span", { class: "stats" }, describeStats(message.stats)));
    return actions;
  },

  send(text) {
    this.stop();
    this.chat.messages.push({ role: "user", text });
    if (this.chat.messages.length === 1) this.chat.title = text.replace(/\s+/g, " ").slice(0, 60);
    this.answer();
  },

  /** Streams a new answer to what the chat holds. */
  answer() {
    this.chat.messages.push({ role: "assistant", text: "", isCut: true });
    this.streamInto(this.chat.messages.at(-1));
  },

  /** Goes on with an answer that was cut. */
  resume() {
    const message = this.chat.messages.at(-1);
    delete message.problem;
    this.streamInto(message);
  },

  regenerate(i) {
    this.stop();
    this.chat.messages.length = i;
    this.answer();
  },

  edit(node, i) {
    const area = el("textarea", { "aria-label": "Edit message" });
    area.value = this.chat.messages[i].text;
    const finish = () => {
      const text = area.value.trim();
      if (!text) return;
      this.stop();
      this.chat.messages.length = i;
      this.send(text);
    };
    const cancel = () => node.replaceWith(this.messageNode(i));
    area.addEventListener("keydown", (event) => {
      if (event.key === "Escape") cancel();
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) finish();
    });
    const row = el(
      "div",
      { class: "editor-row" },
      el("button", { class: "button", type: "button", onclick: cancel }, "Cancel"),
      el("button", { class: "button primary", type: "button", onclick: finish }, "Send"),
    );
    node.replaceChildren(el("div", { class: "editor" }, area, row));
    area.focus();
  },

  stop() {
    this.stream?.controller.abort();
  },

  async streamInto(message) {
    const chat = this.chat;
    const stream = { controller: new AbortController(), message, frame: 0 };
    this.stream = stream;
    store.touch(chat);
    this.render();
    this.follow(true);
    this.onChange();
    const clock = { start: performance.now(), first: 0, last: 0, chunks: 0 };
    const onText = (piece) => {
      clock.last = performance.now();
      clock.first ||= clock.last;
      clock.chunks++;
      message.text += piece;
      stream.frame ||= requestAnimationFrame(() => this.draw(stream));
    };
    try {
      const result = await streamChat(this.model, apiMessages(chat, message), onText, stream.controller.signal);
      message.isCut = result.finishReason === "length";
      message.stats = statsOf(clock, result.usage);
    } catch (error) {
      // What is there can be continued, whether it was stopped or broke off.
      message.isCut = true;
      if (clock.chunks) message.stats = statsOf(clock);
      if (error.name !== "AbortError") message.problem = this.explain(error);
    }
    cancelAnimationFrame(stream.frame);
    if (this.stream === stream) this.stream = null;
    store.touch(chat);
    if (this.chat === chat) {
      const isAtEnd = this.isAtEnd();
      this.render();
      this.follow(isAtEnd);
    }
    this.onChange();
    announce(message.problem ?? message.text);
  },

  /** Shows what has come so far, at most once a frame. */
  draw(stream) {
    stream.frame = 0;
    if (this.stream !== stream) return;
    const body = byId("thread").lastElementChild.querySelector(".answer");
    const isAtEnd = this.isAtEnd();
    body.replaceChildren(...renderMarkdown(stream.message.text));
    this.follow(isAtEnd);
  },

  isAtEnd() {
    const view = byId("scroll");
    return view.scrollHeight - view.scrollTop - view.clientHeight < FOLLOW_PX;
  },

  follow(isWanted) {
    if (isWanted) byId("scroll").scrollTop = byId("scroll").scrollHeight;
  },

  explain(error) {
    if (error.status === 401) {
      this.onUnauthorized();
      return "The server wants an API key: put it in under Settings, then try again.";
    }
    if (error instanceof TypeError) return "The server cannot be reached.";
    return error.message;
  },

  onChange() {},
  onUnauthorized() {},
};

/** The conversation up to this answer, its beginning included where there is one. */
function apiMessages(chat, message) {
  const messages = settings.system.trim() ? [{ role: "system", content: settings.system }] : [];
  for (const { role, text } of chat.messages.slice(0, chat.messages.indexOf(message) + 1))
    if (role === "user" || text) messages.push({ role, content: text });
  return messages;
}

/** Seconds to the first text, tokens, and tokens per second after the first. */
function statsOf(clock, usage) {
  const tokens = usage?.completion_tokens ?? clock.chunks;
  const seconds = (clock.last - clock.first) / 1000;
  return {
    ttftMs: clock.first ? clock.first - clock.start : 0,
    tokens,
    rate: tokens > 1 && seconds > 0 ? (tokens - 1) / seconds : 0,
  };
}

function describeStats({ ttftMs, tokens, rate }) {
  const first = ttftMs < 1000 ? `${Math.round(ttftMs)} ms` : `${(ttftMs / 1000).toFixed(2)} s`;
  const parts = [`TTFT ${first}`, `${tokens} token${tokens === 1 ? "" : "s"}`];
  if (rate > 0) parts.push(`${rate < 100 ? rate.toFixed(1) : Math.round(rate)} tokens/s`);
  return parts.join(" · ");
}

function waitingNode() {
  return el("div", { class: "waiting", "aria-label": "Waiting for the first token" }, el("i"), el("i"), el("i"));
}

function emptyNode() {
  const mark = document.querySelector(".brand .mark").cloneNode(true);
  return el(
    "div",
    { class: "empty" },
    mark,
    el("h1", {}, "What shall we talk about?"),
    el("p", {}, "Answers stream as they are generated, with their speed below. Live shows how the engine is doing."),
  );
}
