// Words and small elements that both views share.

const REASONS = { uncertain: "uncertain", empty: "no lesion", unsuitable: "unlike dermoscopy", cut: "cut" };

export const byId = (id) => document.getElementById(id);
export const number = (value) => value.toLocaleString("en");
export const share = (value) => `${(100 * value).toFixed(1)} %`;

export function element(name, className = "", text = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.textContent = text;
  return made;
}

export function badges(shown) {
  const box = element("span", "badges");
  if (shown.verdict !== "none") box.append(element("span", `badge ${shown.verdict}`, shown.verdict));
  if (shown.status === "failed") box.append(element("span", "badge", "failed"));
  for (const reason of shown.reasons) box.append(element("span", "badge", REASONS[reason]));
  if (shown.note) box.append(element("span", "badge", "note"));
  return box;
}

export function say(text) {
  byId("said").textContent = text;
}

export function showProgress(progress) {
  const failed = progress.failed ? `, ${number(progress.failed)} failed` : "";
  byId("progress").textContent = `${number(progress.reviewed)} of ${number(progress.done)} reviewed${failed}`;
  byId("problem").textContent = progress.problem;
  byId("problem").hidden = !progress.problem;
  byId("heat-choice").hidden = !progress.has_heat;
}
