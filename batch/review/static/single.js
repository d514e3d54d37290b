// One image: photograph with layers, figures, note, and who decided what.

import * as api from "./api.js";
import { hasAfter, hasBefore, page, place } from "./pages.js";
import * as stage from "./stage.js";
import { badges, byId, element, number, share, showProgress } from "./words.js";

const DONE = { accept: "accepted", reject: "rejected", undo: "took back a verdict", note: "wrote a note" };
const note = byId("note");
let shown = null;

export const image = () => shown;
export const hasUnsavedNote = () => shown !== null && note.value.trim() !== shown.note;

// Return the note that is not saved yet, and take it for saved; undefined if there is none.
export function takeNote() {
  if (!hasUnsavedNote()) return undefined;
  shown = { ...shown, note: note.value.trim() };
  return shown.note;
}

// Take the note for not saved again.
export function giveBackNote(row, before) {
  if (shown.row === row) shown = { ...shown, note: before };
}

// Show an image at once, then with what the server knows now.
export async function draw(wanted) {
  drawKnown(wanted);
  stage.prepare(page.images[place() + 1]);
  const found = await api.image(wanted.row);
  if (shown.row === found.row) drawKnown(found);
  showProgress(found.progress);
}

export function drawKnown(wanted) {
  const isNext = shown?.row !== wanted.row;
  if (isNext || !hasUnsavedNote()) note.value = wanted.note;
  shown = wanted;
  byId("name").textContent = wanted.name;
  byId("place").textContent = `${number(page.first + place() + 1)} of ${number(page.total)}`;
  byId("before").disabled = !hasBefore() && place() === 0;
  byId("after").disabled = !hasAfter() && place() === page.images.length - 1;
  for (const id of ["accept", "reject", "note"]) byId(id).disabled = wanted.status === "failed";
  const by = wanted.reviewer ? ` by ${wanted.reviewer}` : "";
  const none = wanted.status === "failed" ? "Failed: there is no mask" : "Not reviewed";
  byId("verdict").textContent = wanted.verdict === "none" ? none : wanted.verdict + by;
  byId("view").hidden = wanted.status === "failed";
  byId("verdict").className = wanted.verdict;
  byId("facts").replaceChildren(...facts(wanted));
  byId("history").replaceChildren(...(wanted.history ?? []).map(told));
  byId("history-title").hidden = !wanted.history?.length;
  stage.show(wanted);
}

function facts(wanted) {
  const known = {
    Path: wanted.path,
    Size: wanted.size[0] ? `${wanted.size.join(" × ")} pixels` : "",
    "Lesion share": wanted.share === null ? "" : share(wanted.share),
    Confidence: confidence(wanted),
    Suitable: wanted.suitable?.toFixed(2),
    Remark: wanted.remark,
  };
  const found = Object.entries(known).filter(([, value]) => value);
  const all = found.flatMap(([name, value]) => [element("dt", "", name), element("dd", "", value)]);
  const why = element("dd");
  why.append(badges({ ...wanted, verdict: "none", note: "" }));
  return why.textContent ? [...all, element("dt", "", "Look because"), why] : all;
}

function confidence(wanted) {
  if (wanted.confidence === null) return "";
  return wanted.confidence.toFixed(2) + (wanted.reasons.includes("uncertain") ? ", low" : "");
}

function told(decision) {
  const of = decision.is_of_earlier_mask ? " (an earlier mask)" : "";
  const when = new Date(decision.decided_at).toLocaleString();
  const what = decision.action === "note" ? `${DONE.note}: ${decision.note || "empty"}` : DONE[decision.action];
  return element("li", "", `${when}: ${decision.reviewer} ${what}${of}`);
}
