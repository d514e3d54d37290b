// Requests to the server of this page. Decisions are sent one after another, in the order in which they were made.

let sending = Promise.resolve();

async function answer(response) {
  if (!response.ok) {
    const error = new Error(await response.text());
    error.isStale = response.status === 409;
    throw error;
  }
  return response.json();
}

export async function images(asked) {
  return answer(await fetch(`api/images?${new URLSearchParams(asked)}`));
}

export async function image(row) {
  return answer(await fetch(`api/images/${row}`));
}

export function decide(shown, action, note = "") {
  const { row, sha256, verdict, reviewer } = shown;
  const body = JSON.stringify({ row, action, sha256, note, verdict, reviewer });
  const send = async () =>
    answer(await fetch("api/decisions", { method: "POST", headers: { "Content-Type": "application/json" }, body, keepalive: true }));
  const sent = sending.then(send);
  sending = sent.catch(() => undefined);
  return sent;
}

// A mask that was made again has another address, so that no browser shows the old one.
export const picture = (shown, layer, side = 1600) =>
  `api/images/${shown.row}/${layer}?side=${side}&of=${(shown.sha256 ?? "").slice(0, 16)}`;
