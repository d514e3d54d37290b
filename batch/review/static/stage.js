// The photograph with its layers, which can be enlarged and moved.

import * as api from "./api.js";
import { byId } from "./words.js";

const [SMALL, LARGE] = [1600, 4096];
const MOST = 16;
const LAYERS = ["photo", "outline", "mask", "heat"];
const stage = byId("stage");
const layers = byId("layers");
const pointers = new Map();
let view = { scale: 1, x: 0, y: 0 };
let image = null;
let side = SMALL;

export function show(shown) {
  const isSame = image && image.row === shown.row && image.sha256 === shown.sha256;
  image = shown;
  if (!isSame) {
    side = SMALL;
    fit();
    for (const layer of LAYERS) byId(layer).removeAttribute("src");
  }
  const isFailed = shown.status === "failed";
  layers.hidden = isFailed;
  byId("missing").hidden = !isFailed;
  byId("missing").textContent = isFailed ? shown.error : "";
  byId("photo").alt = `Photograph ${shown.name}`;
  if (!isFailed) update();
}

// Layers are loaded when they are wanted.
export function update() {
  if (!image || image.status === "failed") return;
  for (const layer of LAYERS) {
    const box = byId(`show-${layer}`);
    const isWanted = layer === "photo" || (box.checked && !box.closest("label").hidden);
    byId(layer).hidden = !isWanted;
    const address = api.picture(image, layer, side);
    if (isWanted && byId(layer).getAttribute("src") !== address) byId(layer).src = address;
  }
}

export function prepare(shown) {
  if (shown && shown.status !== "failed") for (const layer of ["photo", "outline"]) new Image().src = api.picture(shown, layer, SMALL);
}

export function toggle(layer) {
  const box = byId(`show-${layer}`);
  if (box.closest("label").hidden) return;
  box.checked = !box.checked;
  update();
}

export function zoom(factor, x = stage.clientWidth / 2, y = stage.clientHeight / 2) {
  const scale = Math.min(MOST, Math.max(1, view.scale * factor));
  const ratio = scale / view.scale;
  place({ scale, x: x - ratio * (x - view.x), y: y - ratio * (y - view.y) });
  if (scale > 1.5 && side === SMALL) {
    side = LARGE;
    update();
  }
}

export function fit() {
  place({ scale: 1, x: 0, y: 0 });
}

export function pan(across, down) {
  place({ ...view, x: view.x - across * stage.clientWidth / 4, y: view.y - down * stage.clientHeight / 4 });
}

function place(wanted) {
  const within = (value, size) => Math.min(0, Math.max(size * (1 - wanted.scale), value));
  view = { scale: wanted.scale, x: within(wanted.x, stage.clientWidth), y: within(wanted.y, stage.clientHeight) };
  layers.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
}

function moved(event) {
  const before = pointers.get(event.pointerId);
  if (!before) return;
  const others = [...pointers.entries()].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
  const now = { x: event.offsetX, y: event.offsetY };
  pointers.set(event.pointerId, now);
  if (others.length) {
    const far = (at) => Math.hypot(at.x - others[0].x, at.y - others[0].y) || 1;
    zoom(far(now) / far(before), (now.x + others[0].x) / 2, (now.y + others[0].y) / 2);
  } else {
    place({ ...view, x: view.x + now.x - before.x, y: view.y + now.y - before.y });
  }
}

stage.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, event.offsetX, event.offsetY);
}, { passive: false });
stage.addEventListener("pointerdown", (event) => {
  stage.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
});
stage.addEventListener("pointermove", moved);
for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, (event) => pointers.delete(event.pointerId));

// Whether the photograph and all layers that are switched on are drawn; nobody may decide on what was not shown.
export function isDrawn() {
  const wanted = LAYERS.map(byId).filter((layer) => !layer.hidden);
  return !layers.hidden && wanted.every((layer) => layer.complete && layer.naturalWidth > 0);
}

async function failed(layer) {
  const address = byId(layer).getAttribute("src");
  if (!address) return;
  const why = await fetch(address).then((response) => response.text(), () => "The server does not answer.");
  if (byId(layer).getAttribute("src") !== address) return;
  layers.hidden = true;
  byId("missing").hidden = false;
  byId("missing").textContent = why;
}

for (const layer of LAYERS) byId(layer).addEventListener("error", () => failed(layer));
for (const layer of LAYERS.slice(1)) byId(`show-${layer}`).addEventListener("change", update);
byId("zoom-in").addEventListener("click", () => zoom(1.5));
byId("zoom-out").addEventListener("click", () => zoom(1 / 1.5));
byId("zoom-fit").addEventListener("click", fit);
