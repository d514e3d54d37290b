// What is shown, kept in the address: a reload, or the address on another day, shows the same.

const PLAIN = { order: "doubt", status: "", verdict: "", reason: "", from: "", at: "", view: "grid" };

export const state = read();

function read() {
  const given = new URLSearchParams(location.search);
  return Object.fromEntries(Object.entries(PLAIN).map(([name, plain]) => [name, given.get(name) ?? plain]));
}

function address() {
  const changed = Object.entries(state).filter(([name, value]) => String(value) !== PLAIN[name]);
  const query = new URLSearchParams(changed).toString();
  return location.pathname + (query ? `?${query}` : "");
}

// `asStep`: the browser's Back returns to what was shown before.
export function remember(changes, asStep = false) {
  Object.assign(state, changes);
  history[asStep ? "pushState" : "replaceState"](null, "", address());
}

export function recall() {
  Object.assign(state, read());
}

export const filters = () =>
  Object.fromEntries(["order", "status", "verdict", "reason"].filter((name) => state[name]).map((name) => [name, state[name]]));
