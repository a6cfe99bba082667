// The cases of the suite and the lines of JSON about them; tests/clients/README.md defines these.

import assert from "node:assert/strict";
import { renameSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

export const endpoint = process.env.MILLSTREAM_ENDPOINT;
export const keyedEndpoint = process.env.MILLSTREAM_KEYED_ENDPOINT;
export const clockedEndpoint = process.env.MILLSTREAM_CLOCKED_ENDPOINT;
export const region = process.env.AWS_REGION;
export const scheme = endpoint.split(":")[0];

// Longer than any case takes, shorter than the driver's patience.
const caseDeadlineMs = 90_000;

let current = null;
let calls = new Map();

/** The client's middleware saw an answer. */
export function called(operation, encoding, transport, status) {
  const key = JSON.stringify([operation, encoding, transport]);
  const seen = calls.get(key) ?? { calls: 0, answered: 0 };
  seen.calls += 1;
  seen.answered += status >= 200 && status < 300 ? 1 : 0;
  calls.set(key, seen);
}

export function line(more) {
  process.stdout.write(JSON.stringify({ client: "js", scheme, case: current, ...more }) + "\n");
}

/** Runs the cases, and ends the process by what became of them. */
export async function run(cases) {
  let failed = 0;
  const wanted = process.argv.slice(2);
  for (const [name, body] of Object.entries(cases)) {
    if (wanted.length && !wanted.includes(name)) continue;
    current = name;
    calls = new Map();
    const started = performance.now();
    let error = null;
    try {
      await Promise.race([body(), sleep(caseDeadlineMs, null, { ref: false }).then(() => assert.fail("the case takes too long"))]);
    } catch (failure) {
      console.error(failure);
      error = `${failure.name}: ${failure.message}`;
      failed += 1;
    }
    for (const [key, seen] of calls) {
      const [operation, encoding, transport] = JSON.parse(key);
      line({ operation, encoding, transport, ...seen, ok: error === null });
    }
    line({ ok: error === null, seconds: Math.round((performance.now() - started) / 10) / 100, ...(error && { error }) });
  }
  process.exit(failed ? 1 : 0);
}

/** Waits for a condition with a deadline, and gives what it gave. */
export async function until(what, seconds, condition) {
  const deadline = performance.now() + seconds * 1000;
  for (;;) {
    const value = await condition();
    if (value) return value;
    assert(performance.now() < deadline, `not within ${seconds} s: ${what}`);
    await sleep(50);
  }
}

/** Moves the clock of the node at `clockedEndpoint`, to `+301s` ahead of the true time for example. */
export function setClock(ahead) {
  const clock = process.env.MILLSTREAM_CLOCK_FILE;
  writeFileSync(`${clock}.new`, ahead);
  // The node reads the file whenever it asks for the time: never half of it.
  renameSync(`${clock}.new`, clock);
}
