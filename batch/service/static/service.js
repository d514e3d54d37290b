import { zipped } from "./zip.js";

const AT_ONCE = 4;
const MOST_TRIES = 20;
const SVG = "http://www.w3.org/2000/svg";
const waiting = [];
const masks = [];
const taken = new Set();
let running = 0, done = 0, failed = 0;

const by = (id) => document.getElementById(id);
const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

function take(files) {
  for (const file of files) {
    const figure = by("result").content.firstElementChild.cloneNode(true);
    figure.querySelector(".name").textContent = file.name;
    figure.querySelector(".figures").textContent = "waiting";
    by("results").append(figure);
    waiting.push({ file, figure });
  }
  next();
}

function next() {
  while (running < AT_ONCE && waiting.length) {
    running += 1;
    const job = waiting.shift();
    work(job).catch((error) => fail(job.figure, String(error.message || error))).finally(() => {
      running -= 1;
      next();
    });
  }
  tell();
}

async function work({ file, figure }) {
  const form = new FormData();
  form.append("file", file, file.name);
  let answer;
  for (let tries = 0; tries < MOST_TRIES; tries += 1) {
    answer = await fetch("v1/masks?mask=true", { method: "POST", body: form, headers: { Accept: "application/json" } })
      .catch(() => { throw new Error("The server does not answer. Is it still running?"); });
    if (answer.status !== 503 || !answer.headers.has("Retry-After")) break;
    await pause(Number(answer.headers.get("Retry-After")) || 1);
  }
  const found = await answer.json();
  const image = found.images ? found.images[0] : { error: found.detail || `Error ${answer.status}` };
  if (image.error) fail(figure, image.error);
  else await show(file, figure, image);
}

function fail(figure, text) {
  failed += 1;
  figure.classList.add("failed");
  figure.querySelector(".picture").textContent = text;
  figure.querySelector(".figures").textContent = "no mask";
}

async function show(file, figure, image) {
  done += 1;
  const bytes = Uint8Array.from(atob(image.mask), (letter) => letter.charCodeAt(0));
  const blob = new Blob([bytes], { type: "image/png" });
  const name = file.name.replace(/\.[^.]*$/, "") + ".png";
  masks.push([free(name), bytes]);
  const link = figure.querySelector(".download");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.setAttribute("aria-label", `Download mask ${name}`);
  link.hidden = false;
  figure.querySelector(".figures").replaceChildren(...words(image));
  const picture = figure.querySelector(".picture");
  const photo = await drawn(URL.createObjectURL(file), `${file.name} with the outline of its lesion`);
  if (photo) picture.append(photo, outline(image));
  else picture.append(await drawn(link.href, `mask of ${file.name}; the browser cannot show the photograph`));
}

async function drawn(url, text) {
  const img = new Image();
  img.alt = text;
  img.src = url;
  try {
    await img.decode();
    return img;
  } catch {
    return null;
  }
}

function outline(image) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${image.width} ${image.height}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  for (const kind of ["halo", "outline"]) {
    for (const points of image.outlines) {
      const line = document.createElementNS(SVG, "polygon");
      line.setAttribute("class", kind);
      line.setAttribute("points", points.join(" "));
      svg.append(line);
    }
  }
  return svg;
}

function words(image) {
  const percent = (100 * image.lesion_fraction).toFixed(1);
  const first = image.lesion_area ? `lesion ${percent} % of ${image.width} × ${image.height}` : "no lesion found";
  const found = [text(`${first}, confidence ${image.confidence.toFixed(2)}`)];
  if (image.is_unsuitable) found.push(text("does not look like dermoscopy", "warns"));
  if (image.is_uncertain) found.push(text("uncertain: check it", "warns"));
  if (image.is_cut) found.push(text("cut by the border", "warns"));
  if (image.remark) found.push(text(image.remark));
  return found;
}

function text(content, kind = "") {
  const span = document.createElement("span");
  span.textContent = content;
  span.className = kind;
  return span;
}

function tell() {
  const left = waiting.length + running;
  const parts = [];
  if (done) parts.push(`${done} ${done === 1 ? "mask" : "masks"}`);
  if (failed) parts.push(`${failed} failed`);
  if (left) parts.push(`${left} to do`);
  by("progress").textContent = parts.join(", ");
  by("all").hidden = left > 0 || masks.length < 2;
}

// Return a name that is not taken: a.png, a-2.png, a-3.png and so on.
function free(name) {
  const stem = name.slice(0, -".png".length);
  let found = name;
  for (let number = 2; taken.has(found.toLowerCase()); number += 1) found = `${stem}-${number}.png`;
  taken.add(found.toLowerCase());
  return found;
}

function downloadAll() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(zipped(masks));
  link.download = "masks.zip";
  link.click();
}

function start() {
  const drop = by("drop");
  by("files").addEventListener("change", (event) => {
    take(event.target.files);
    event.target.value = "";
  });
  by("all").addEventListener("click", downloadAll);
  for (const kind of ["dragenter", "dragover"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  document.addEventListener("dragleave", () => drop.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    take(event.dataTransfer.files);
  });
}

start();
