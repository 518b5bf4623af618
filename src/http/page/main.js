// SPDX-License-Identifier: Apache-2.0
// Wires the page: sidebar, tabs, settings, theme and the message box.

const isNarrow = matchMedia("(max-width: 760px)");
const isSystemDark = matchMedia("(prefers-color-scheme: dark)");

function applyTheme() {
  const isDark = settings.theme === "dark" || (settings.theme === "auto" && isSystemDark.matches);
  document.documentElement.dataset.theme = isDark ? "dark" : "light";
  for (const button of byId("theme").children)
    button.setAttribute("aria-checked", String(button.dataset.themeChoice === settings.theme));
}

function setUpTheme() {
  byId("theme").addEventListener("click", ({ target }) => {
    if (!target.dataset.themeChoice) return;
    settings.theme = target.dataset.themeChoice;
    settings.save();
    applyTheme();
  });
  isSystemDark.addEventListener("change", applyTheme);
  applyTheme();
}

/* Panels that cover the page where it is narrow */

function setSidebar(isOpen) {
  byId("sidebar").classList.toggle("is-open", isOpen);
  byId("open-sidebar").setAttribute("aria-expanded", String(isOpen));
  updateScrim();
}

function setSettings(isOpen) {
  byId("settings").hidden = !isOpen;
  byId("open-settings").setAttribute("aria-expanded", String(isOpen));
  updateScrim();
}

function updateScrim() {
  const isCovered = byId("sidebar").classList.contains("is-open") || (isNarrow.matches && !byId("settings").hidden);
  byId("scrim").hidden = !isCovered;
}

function setUpPanels() {
  byId("open-sidebar").addEventListener("click", () => setSidebar(true));
  byId("open-settings").addEventListener("click", () => setSettings(byId("settings").hidden));
  byId("close-settings").addEventListener("click", () => {
    setSettings(false);
    byId("open-settings").focus();
  });
  byId("scrim").addEventListener("click", () => {
    setSidebar(false);
    setSettings(false);
  });
  isNarrow.addEventListener("change", updateScrim);
}

/* Sidebar */

function renderChats() {
  const rows = store.chats.map((chat) => {
    const isCurrent = chat === chatView.chat;
    const open = el("button", { class: "open", type: "button", title: chat.title, "aria-current": isCurrent && "true" }, chat.title);
    open.addEventListener("click", () => openChat(chat));
    const remove = iconButton("trash", `Delete ${chat.title}`, () => removeChat(chat));
    return el("div", { class: isCurrent ? "chat-row current" : "chat-row" }, open, remove);
  });
  byId("chats").replaceChildren(...rows);
}

function openChat(chat) {
  chatView.show(chat);
  showTab("chat");
  setSidebar(false);
  renderChats();
  if (!isNarrow.matches) byId("prompt").focus();
}

function removeChat(chat) {
  if (chat === chatView.chat) chatView.show(newChat());
  store.remove(chat);
  renderChats();
}

/* Tabs */

const TABS = ["chat", "live"];

function showTab(name) {
  for (const tab of TABS) {
    const isShown = tab === name;
    byId(`view-${tab}`).hidden = !isShown;
    byId(`tab-${tab}`).setAttribute("aria-selected", String(isShown));
    byId(`tab-${tab}`).tabIndex = isShown ? 0 : -1;
  }
  if (name === "live") live.draw();
  live.schedule();
}

function setUpTabs() {
  for (const [i, tab] of TABS.entries()) {
    byId(`tab-${tab}`).addEventListener("click", () => showTab(tab));
    byId(`tab-${tab}`).addEventListener("keydown", ({ key }) => {
      if (key !== "ArrowLeft" && key !== "ArrowRight") return;
      const next = TABS[(i + 1) % TABS.length];
      showTab(next);
      byId(`tab-${next}`).focus();
    });
  }
}

/* Settings */

function fillSettings() {
  byId("set-system").value = settings.system;
  byId("set-key").value = settings.key;
  for (const field of SAMPLING_FIELDS) byId(`set-${field}`).value = settings.sampling[field] ?? "";
}

function setUpSettings() {
  byId("settings").addEventListener("input", ({ target }) => {
    const name = target.id.replace("set-", "");
    if (name === "system") settings.system = target.value;
    else if (name === "key") settings.key = target.value.trim();
    else if (target.validity.valid) settings.sampling[name] = target.value;
    settings.save();
  });
  byId("set-key").addEventListener("change", loadModels);
  byId("reset-settings").addEventListener("click", () => {
    settings.system = "";
    settings.sampling = {};
    settings.save();
    fillSettings();
  });
  fillSettings();
}

/* Models */

const LOADING_RETRY_MS = 1500;

async function loadModels() {
  try {
    const models = await listModels();
    chatView.model = models.includes(chatView.model) ? chatView.model : (models[0] ?? "");
    byId("model-name").textContent = chatView.model;
    byId("model-name").hidden = models.length > 1;
    byId("model-select").hidden = models.length < 2;
    byId("model-select").replaceChildren(...models.map((model) => el("option", {}, model)));
    document.title = chatView.model ? `${chatView.model} – Veloz` : "Veloz";
  } catch (error) {
    const isLoading = error.status === 503;
    byId("model-name").textContent = isLoading ? "model is loading" : error.status === 401 ? "API key needed" : "no model";
    if (isLoading) setTimeout(loadModels, LOADING_RETRY_MS);
    if (error.status === 401) askForKey();
  }
}

function askForKey() {
  setSettings(true);
  byId("set-key").focus();
}

/* Message box */

function growPrompt() {
  const prompt = byId("prompt");
  prompt.style.height = "auto";
  prompt.style.height = `${prompt.scrollHeight}px`;
  updateSend();
}

function updateSend() {
  const isStreaming = chatView.isStreaming();
  byId("stop").hidden = !isStreaming;
  byId("send").hidden = isStreaming;
  byId("send").disabled = byId("prompt").value.trim() === "";
}

function setUpComposer() {
  const prompt = byId("prompt");
  prompt.addEventListener("input", growPrompt);
  prompt.addEventListener("keydown", (event) => {
    // Enter also confirms a word of an input method; that is no message.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    byId("composer").requestSubmit();
  });
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = prompt.value.trim();
    if (!text || chatView.isStreaming()) return;
    prompt.value = "";
    growPrompt();
    chatView.send(text);
  });
  byId("stop").addEventListener("click", () => chatView.stop());
  byId("new-chat").addEventListener("click", () => openChat(newChat()));
  document.addEventListener("keydown", ({ key }) => {
    if (key !== "Escape") return;
    if (byId("sidebar").classList.contains("is-open")) setSidebar(false);
    else chatView.stop();
  });
}

function main() {
  settings.load();
  store.load();
  setUpTheme();
  setUpPanels();
  setUpTabs();
  setUpSettings();
  setUpComposer();
  chatView.onChange = () => {
    renderChats();
    updateSend();
    live.schedule();
  };
  chatView.onUnauthorized = askForKey;
  byId("model-select").addEventListener("change", ({ target }) => {
    chatView.model = target.value;
  });
  live.start();
  chatView.render();
  renderChats();
  loadModels();
}

main();
