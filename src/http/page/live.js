// SPDX-License-Identifier: Apache-2.0
// The live view: reads /metrics each second while it is looked at, or while an answer streams, and keeps some minutes.

const POLL_MS = 1000;
const SPAN_S = 120;
// Percentiles are of what happened within this time.
const PERCENTILE_WINDOW_S = 30;
// Prompts come in lumps: their rate is over this many readings.
const PROMPT_READINGS = 10;

const live = {
  readings: [], // [{time, families, ttft, itl, steps}], oldest first
  timer: 0,
  problem: "",

  start() {
    const whole = (value) => Math.round(value).toLocaleString("en");
    const rate = (value) => (value < 100 ? value.toFixed(1) : whole(value));
    const time = (seconds) => (seconds < 1 ? `${(seconds * 1000).toFixed(seconds < 0.1 ? 1 : 0)} ms` : `${seconds.toFixed(2)} s`);
    const percent = (value) => `${(100 * value).toFixed(value < 0.1 ? 1 : 0)} %`;
    this.cards = [
      [new ChartCard("Requests", [{ label: "running", format: whole }, { label: "waiting", format: whole }]), requestCounts],
      [new ChartCard("Tokens per second", [{ label: "output", format: rate }, { label: "prompt", format: rate, isDrawn: false }]), tokenRates],
      [new ChartCard("KV cache", [{ label: "in use", format: percent }], { ceiling: 1 }), cacheUse],
      [new ChartCard("Time to first token", [{ label: "median", format: time }, { label: "P99", format: time }]), (i) => percentiles(i, "ttft")],
      [new ChartCard("Time per output token", [{ label: "median", format: time }, { label: "P99", format: time }]), (i) => percentiles(i, "itl")],
      [new ChartCard("Batch size", [{ label: "tokens a step", format: rate }, { label: "steps/s", format: rate, isDrawn: false }]), batchSizes],
    ];
    this.state = el("span", { class: "state" }, "Connecting");
    const head = el("div", { class: "live-head" }, el("h1", {}, "Live"), this.state);
    byId("live").replaceChildren(head, ...this.cards.map(([card]) => card.node));
    document.addEventListener("visibilitychange", () => this.schedule());
    this.draw();
  },

  isWatched() {
    return !document.hidden && (!byId("view-live").hidden || chatView.isStreaming());
  },

  /** Called when something of isWatched changed. */
  schedule() {
    if (this.isWatched() && !this.timer) this.poll();
  },

  async poll() {
    this.timer = setTimeout(() => {
      this.timer = 0;
      this.schedule();
    }, POLL_MS);
    try {
      this.add(parseMetrics(await readMetrics()));
      this.problem = "";
    } catch (error) {
      this.problem = error.message;
    }
    if (!byId("view-live").hidden) this.draw();
  },

  add(families) {
    const time = Date.now();
    const itl = ["inter_token_latency_seconds", "time_per_output_token_seconds"].map((name) => findHistogram(families, name));
    this.readings.push({
      time,
      families,
      ttft: findHistogram(families, "time_to_first_token_seconds"),
      itl: itl[0] ?? itl[1],
      steps: findHistogram(families, "iteration_tokens_total"),
    });
    // One window more than is shown, for the percentiles at the left end.
    this.readings = this.readings.filter((reading) => reading.time > time - (SPAN_S + PERCENTILE_WINDOW_S) * 1000);
  },

  draw() {
    this.state.textContent = this.problem || (this.readings.length ? "Connected" : "Connecting");
    this.state.classList.toggle("bad", this.problem !== "");
    for (const [card, valuesAt] of this.cards) {
      const points = this.readings.map(({ time }, i) => ({ time, values: valuesAt(i) }));
      card.update(points, SPAN_S);
    }
  },
};

function requestCounts(i) {
  const { families } = live.readings[i];
  return [findValue(families, "num_requests_running"), findValue(families, "num_requests_waiting")];
}

function cacheUse(i) {
  return [findValue(live.readings[i].families, "kv_cache_usage_perc")];
}

/** The rise of a figure per second over the last readings; none across a restart or a pause. */
function rateAt(i, valueOf, numReadings = 1) {
  const [now, before] = [live.readings[i], live.readings[Math.max(0, i - numReadings)]];
  if (now === before || now.time - before.time > MAX_GAP_MS * numReadings) return undefined;
  const rise = valueOf(now) - valueOf(before);
  return rise >= 0 ? (rise * 1000) / (now.time - before.time) : undefined;
}

function tokenRates(i) {
  const total = (name) => ({ families }) => findValue(families, name);
  return [rateAt(i, total("generation_tokens_total")), rateAt(i, total("prompt_tokens_total"), PROMPT_READINGS)];
}

function percentiles(i, name) {
  const since = live.readings[i].time - PERCENTILE_WINDOW_S * 1000;
  const before = live.readings.find((reading) => reading.time >= since);
  const recent = i > 0 && before !== live.readings[i] ? histogramSince(live.readings[i][name], before[name]) : undefined;
  return [quantile(recent, 0.5), quantile(recent, 0.99)];
}

function batchSizes(i) {
  const before = live.readings[i - 1];
  const recent = before && live.readings[i].steps && histogramSince(live.readings[i].steps, before.steps);
  const size = recent?.count > 0 ? recent.sum / recent.count : undefined;
  return [size, rateAt(i, ({ steps }) => steps?.count)];
}
