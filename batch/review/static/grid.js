// The grid: thumbnails with outlines. One of them is selected, and only that one is in the order of the Tab key.

import * as api from "./api.js";
import { hasAfter, hasBefore, page, place, select } from "./pages.js";
import { badges, byId, element, number } from "./words.js";

const cells = byId("cells");

export function draw(open) {
  cells.replaceChildren(...page.images.map((shown, index) => item(shown, index, open)));
  byId("nothing").hidden = page.images.length > 0;
  const last = page.first + page.images.length;
  byId("range").textContent = page.images.length ? `${number(page.first + 1)} to ${number(last)} of ${number(page.total)}` : "";
  byId("page-before").disabled = !hasBefore();
  byId("page-after").disabled = !hasAfter();
  mark(false);
}

// Draw one image again, with its new badges.
export function redraw(shown, open) {
  const index = page.images.findIndex((image) => image.row === shown.row);
  const had = cells.children[index]?.contains(document.activeElement);
  if (index >= 0) cells.children[index]?.replaceWith(item(shown, index, open));
  mark(had);
}

export function mark(withFocus = true) {
  [...cells.children].forEach((child, index) => {
    const isSelected = index === place();
    child.firstChild.tabIndex = isSelected ? 0 : -1;
    child.firstChild.setAttribute("aria-current", String(isSelected));
    if (isSelected && withFocus) {
      child.firstChild.focus({ preventScroll: true });
      child.scrollIntoView({ block: "nearest" });
    }
  });
}

// Whether the picture of the selected image is drawn.
export function isDrawn() {
  const picture = cells.children[place()]?.querySelector("img");
  return Boolean(picture && picture.complete && picture.naturalWidth > 0);
}

export function columns() {
  const tops = [...cells.children].map((child) => child.offsetTop);
  return Math.max(1, tops.filter((top) => top === tops[0]).length);
}

function item(shown, index, open) {
  const button = element("button", "cell");
  button.type = "button";
  button.append(shown.status === "failed" ? element("span", "failure", shown.error ?? "") : thumbnail(shown));
  button.append(element("span", "title", shown.name), badges(shown));
  button.title = shown.path;
  button.addEventListener("click", () => {
    select(index);
    open();
  });
  const made = element("li");
  made.append(button);
  return made;
}

function thumbnail(shown) {
  const made = element("img");
  made.alt = "";
  made.loading = "lazy";
  made.src = api.picture(shown, "thumbnail");
  made.addEventListener("error", async () => {
    const why = await fetch(made.src).then((response) => response.text(), () => "The server does not answer.");
    made.replaceWith(element("span", "failure", why));
  });
  return made;
}
