// SPDX-License-Identifier: Apache-2.0
// The server's endpoints, as the page uses them.

class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

function headers(more = {}) {
  return settings.key ? { ...more, Authorization: `Bearer ${settings.key}` } : more;
}

async function errorOf(response) {
  const text = await response.text();
  try {
    return new ApiError(response.status, JSON.parse(text).error.message);
  } catch {
    return new ApiError(response.status, text.slice(0, 200) || response.statusText);
  }
}

async function get(path) {
  const response = await fetch(path, { headers: headers() });
  if (!response.ok) throw await errorOf(response);
  return response;
}

async function listModels() {
  const { data } = await (await get("v1/models")).json();
  return data.map((model) => model.id);
}

async function readMetrics() {
  return (await get("metrics")).text();
}

/** Yields the data of each server-sent event. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split(/\r?\n/);
    rest = lines.pop();
    for (const line of lines) if (line.startsWith("data:")) yield line.slice(5).trim();
  }
}

/**
 * Streams one answer. `messages` as in the API; where the last one is the assistant's, it is continued. Calls
 * `onText(piece)`; returns {finishReason, usage}. Throws ApiError, or what fetch throws (AbortError when stopped).
 */
async function streamChat(model, messages, onText, signal) {
  const isContinuing = messages.at(-1).role === "assistant";
  const body = {
    model,
    messages,
    stream: true,
    stream_options: { include_usage: true },
    ...(isContinuing && { continue_final_message: true, add_generation_prompt: false }),
    ...settings.samplingFields(),
  };
  const response = await fetch("v1/chat/completions", {
    method: "POST",
    headers: headers({ "Content-Type": "application/json" }),
    body: JSON.stringify(body),
    signal,
  });
  if (!response.ok) throw await errorOf(response);
  const result = { finishReason: null, usage: null };
  for await (const data of events(response.body)) {
    if (data === "[DONE]") return result;
    const event = JSON.parse(data);
    if (event.error) throw new ApiError(500, event.error.message ?? "the answer failed");
    if (event.usage) result.usage = event.usage;
    const choice = event.choices?.[0];
    if (!choice) continue;
    if (choice.finish_reason) result.finishReason = choice.finish_reason;
    const piece = choice.delta?.content;
    if (piece) onText(piece);
  }
  if (!result.finishReason) throw new ApiError(502, "the connection was lost before the answer was complete");
  return result;
}
