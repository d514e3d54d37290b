// The page of images that both views go through, and the steps to its neighbours.

import * as api from "./api.js";
import { filters, remember, state } from "./state.js";
import { showProgress } from "./words.js";

export const SIZE = 60;
export const page = { images: [], first: 0, total: 0 };

let latest = 0;

// Load the page from, after or before an image; return whether it has any. Only the last request counts.
export async function load(row = "", side = "at") {
  const mine = ++latest;
  const found = await api.images({ ...filters(), ...(row === "" ? {} : { row, side }), limit: SIZE });
  if (mine !== latest) return false;
  showProgress(found.progress);
  if (!found.images.length && side !== "at") return false;
  Object.assign(page, found);
  remember({ from: page.images[0]?.row ?? "" });
  return page.images.length > 0;
}

export const place = () => Math.max(0, page.images.findIndex((image) => String(image.row) === String(state.at)));
export const selected = () => page.images[place()];
export const hasBefore = () => page.first > 0;
export const hasAfter = () => page.first + page.images.length < page.total;

export function select(index) {
  remember({ at: page.images[index]?.row ?? "" });
}

// Select the image that is so many steps away, on another page if need be; return "moved", "turned" or "".
export async function step(steps) {
  const wanted = place() + steps;
  if (page.images[wanted]) {
    select(wanted);
    return "moved";
  }
  return (await turn(steps > 0 ? 1 : -1)) ? "turned" : "";
}

// Turn the page; its first image is selected, or its last one on the way back.
export async function turn(direction, atEdge = true) {
  const edge = direction > 0 ? page.images.at(-1) : page.images[0];
  if (!edge || !(await load(edge.row, direction > 0 ? "after" : "before"))) return false;
  select(direction < 0 && atEdge ? page.images.length - 1 : 0);
  return true;
}

export function replace(shown) {
  const index = page.images.findIndex((image) => image.row === shown.row);
  if (index >= 0) page.images[index] = shown;
}
