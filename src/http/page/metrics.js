// SPDX-License-Identifier: Apache-2.0
// Prometheus' text format, read whatever prefix the names have: figures are asked for by the end of their name.

const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)/;
const LE = /(?:^|,)\s*le="([^"]*)"/;

/** Map of name (prefix included) to {value, buckets: Map of upper bound to count}, summed over labels. */
function parseMetrics(text) {
  const families = new Map();
  for (const line of text.split("\n")) {
    const match = SAMPLE.exec(line);
    if (!match) continue;
    const [, name, labels = "", number] = match;
    const value = Number(number.replace("Inf", "Infinity"));
    if (Number.isNaN(value)) continue;
    const le = LE.exec(labels);
    const family = families.get(name) ?? { value: 0, buckets: new Map() };
    if (le) {
      const bound = le[1] === "+Inf" ? Infinity : Number(le[1]);
      family.buckets.set(bound, (family.buckets.get(bound) ?? 0) + value);
    } else {
      family.value += value;
    }
    families.set(name, family);
  }
  return families;
}

/** The family whose name is `end`, or a prefix and `end`. */
function findFamily(families, end) {
  for (const [name, family] of families)
    if (name === end || (name.endsWith(end) && /[:_]$/.test(name.slice(0, -end.length)))) return family;
  return undefined;
}

const findValue = (families, end) => findFamily(families, end)?.value;

/** {sum, count, buckets: [[bound, cumulative count], ...] rising} of a histogram, or undefined. */
function findHistogram(families, name) {
  const buckets = findFamily(families, `${name}_bucket`)?.buckets;
  if (!buckets) return undefined;
  return {
    sum: findValue(families, `${name}_sum`) ?? 0,
    count: findValue(families, `${name}_count`) ?? 0,
    buckets: [...buckets].sort((a, b) => a[0] - b[0]),
  };
}

/** What was observed between two readings of one histogram; all of it where there is no older one. */
function histogramSince(now, before) {
  if (!now || !before || before.count > now.count) return now;
  const old = new Map(before.buckets);
  return {
    sum: now.sum - before.sum,
    count: now.count - before.count,
    buckets: now.buckets.map(([bound, count]) => [bound, count - (old.get(bound) ?? 0)]),
  };
}

/** A quantile as Prometheus' histogram_quantile estimates it: linear inside its bucket. Undefined where nothing was seen. */
function quantile(histogram, q) {
  if (!histogram || histogram.count <= 0) return undefined;
  const rank = q * histogram.count;
  let lower = 0;
  let below = 0;
  for (const [bound, count] of histogram.buckets) {
    if (count >= rank) {
      if (bound === Infinity) return lower;
      return count === below ? bound : lower + ((bound - lower) * (rank - below)) / (count - below);
    }
    lower = bound;
    below = count;
  }
  return lower;
}
