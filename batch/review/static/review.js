// The page as a whole: which view is shown, what keys and buttons do, and decisions with their way back.

import * as api from "./api.js";
import * as grid from "./grid.js";
import { load, page, place, replace, select, selected, step, turn } from "./pages.js";
import * as single from "./single.js";
import * as stage from "./stage.js";
import { recall, remember, state } from "./state.js";
import { byId, number, say, showProgress } from "./words.js";

const FILTERS = ["order", "status", "verdict", "reason"];
const DONE = { accept: "Accepted", reject: "Rejected", undo: "Undone", note: "Note saved" };
const MOST_UNDONE = 500;
const help = byId("help");
const isSingle = () => state.view === "single";

function draw({ withFocus = true } = {}) {
  const shown = selected();
  if (!shown) remember({ view: "grid" });
  for (const name of FILTERS) byId("filters").elements[name].value = state[name];
  document.body.classList.toggle("is-single", isSingle());
  byId("single").hidden = !isSingle();
  byId("grid").hidden = isSingle();
  if (isSingle()) {
    attempt(() => single.draw(shown));
    if (withFocus) byId("stage").focus({ preventScroll: true });
  } else {
    grid.draw(openSingle);
    if (withFocus) grid.mark();
  }
}

async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    say(error.message);
    return undefined;
  }
}

function openSingle() {
  if (!selected()) return;
  remember({ view: "single" }, true);
  draw();
}

function openGrid() {
  saveNote();
  remember({ view: "grid" }, true);
  draw();
}

async function go(steps) {
  await saveNote();
  const how = await step(steps);
  if (!how) say(steps > 0 ? "This is the last image." : "This is the first image.");
  else if (isSingle() || how === "turned") draw();
  else grid.mark();
  return how;
}

async function turnPage(direction) {
  if (await turn(direction, false)) draw();
}

let deciding = Promise.resolve();

// A decision in progress is finished before an undo.
function decide(action) {
  const shown = isSingle() ? single.image() : selected();
  if (!shown) return undefined;
  if (shown.status === "failed") return say("This image failed and has no mask, so there is nothing to decide.");
  if (!(isSingle() ? stage : grid).isDrawn()) return say("The mask is not drawn yet. Look at it, then decide.");
  const work = decided(shown, action);
  deciding = Promise.allSettled([deciding, work]);
  return work;
}

async function decided(shown, action) {
  await saveNote();
  const sent = await send(shown, action);
  if (!sent) return;
  const before = undone();
  sessionStorage.setItem(key(), JSON.stringify([...before, shown.row].slice(-MOST_UNDONE)));
  if (state.at !== "" && String(selected()?.row) === String(shown.row)) await go(1);
  const { reviewed, done } = sent.progress;
  const all = reviewed === done ? ` All ${number(done)} masks are reviewed.` : "";
  say(`${DONE[action]}: ${shown.name}.${all}`);
}

// The last verdict of this window is undone, and its image shown again; else the verdict of the image that is shown.
async function undo() {
  await deciding;
  const rows = undone();
  const row = rows.pop() ?? (selected()?.verdict === "none" ? undefined : selected()?.row);
  if (row === undefined) return say("There is nothing to undo.");
  const shown = await api.image(row);
  const sent = await send(shown, "undo");
  sessionStorage.setItem(key(), JSON.stringify(rows));
  if (!sent) return;
  const index = page.images.findIndex((image) => image.row === row);
  if (index >= 0) select(index);
  else if (await load(row)) select(0);
  draw();
  say(`Undone: ${sent.name}`);
}

async function send(shown, action, note = "") {
  try {
    const now = await api.decide(shown, action, note);
    replace(now);
    showProgress(now.progress);
    if (isSingle() && single.image()?.row === now.row) single.drawKnown(now);
    else if (!isSingle()) grid.redraw(now, openSingle);
    return now;
  } catch (error) {
    if (error.isStale) {
      const now = await api.image(shown.row);
      replace(now);
      draw();
    }
    say(error.message);
    return undefined;
  }
}

async function saveNote() {
  if (!isSingle() || !single.hasUnsavedNote()) return;
  const shown = single.image();
  const text = single.takeNote();
  if (await send(shown, "note", text)) say(`Note saved: ${shown.name}`);
  else single.giveBackNote(shown.row, shown.note);
}

const key = () => `undo ${location.pathname}`;
const undone = () => JSON.parse(sessionStorage.getItem(key()) ?? "[]");

function onKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || help.open) return;
  const isField = event.target.matches("select, textarea, input:not([type=checkbox])");
  if (isField && event.key === "Escape") {
    event.preventDefault();
    if (isSingle()) byId("stage").focus();
    else grid.mark();
    return;
  }
  if (event.target.matches("select") && "aru".includes(event.key.toLowerCase())) { // it would choose from the list
    event.preventDefault();
    return say("Leave the list first: press Esc.");
  }
  const action = isField ? undefined : actionOf(event);
  if (action) {
    event.preventDefault();
    attempt(action);
  }
}

function actionOf(event) {
  const isOnControl = event.target.matches("button, input");
  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  if (event.shiftKey && isSingle() && event.key in ways) return () => stage.pan(...ways[event.key]);
  const arrows = { ArrowLeft: -1, ArrowRight: 1 };
  if (event.key in arrows) return () => go(arrows[event.key]);
  const common = { a: () => decide("accept"), r: () => decide("reject"), u: undo, "?": () => help.showModal() };
  const ofSingle = {
    Escape: openGrid, n: () => byId("note").focus(), o: () => stage.toggle("outline"), m: () => stage.toggle("mask"),
    h: () => stage.toggle("heat"), "+": () => stage.zoom(1.5), "=": () => stage.zoom(1.5), "-": () => stage.zoom(1 / 1.5),
    0: stage.fit, ...(isOnControl ? {} : { Enter: openGrid }),
  };
  const ofGrid = {
    ArrowUp: () => go(-grid.columns()), ArrowDown: () => go(grid.columns()), ...(isOnControl ? {} : { Enter: openSingle }),
  };
  const known = { ...common, ...(isSingle() ? ofSingle : ofGrid) };
  return known[event.key.length === 1 ? event.key.toLowerCase() : event.key];
}

async function filtered() {
  remember({ ...Object.fromEntries(new FormData(byId("filters"))), at: "", from: "" });
  await load();
  select(0);
  draw({ withFocus: false });
}

async function restore() {
  recall();
  if (!(await load(state.from)) && state.from) await load();
  if (!page.images.some((image) => String(image.row) === String(state.at))) {
    if (!isSingle() || !(await load(state.at))) select(0);
  }
  draw();
}

const buttons = {
  accept: () => decide("accept"), reject: () => decide("reject"), undo, back: openGrid, before: () => go(-1), after: () => go(1),
  "page-before": () => turnPage(-1), "page-after": () => turnPage(1), "help-button": () => help.showModal(),
  "help-close": () => help.close(),
};
for (const [id, action] of Object.entries(buttons)) byId(id).addEventListener("click", () => attempt(action));
byId("filters").addEventListener("change", () => attempt(filtered));
byId("note").addEventListener("change", () => attempt(saveNote));
document.addEventListener("keydown", onKey);
window.addEventListener("popstate", () => attempt(restore));
window.addEventListener("beforeunload", (event) => {
  if (isSingle() && single.hasUnsavedNote()) event.preventDefault();
});
attempt(restore);
