// The page of the service: asks for the stances of an article's statements and shows them. Whatever comes from an article,
// a claim or the service becomes text nodes only, never markup.

import { csv, save } from "./saving.js";
import { EXAMPLES, STRINGS } from "./strings.js";
import { directionOf, unitsOfCodePoints } from "./texts.js";

const SIGNS = { assert: "+", deny: "×", confirm: "✓" };
const OTHER_SIGNS = ["◆", "■", "▲", "●", "★", "▼"]; // as many as there are colours .tone-other-N
const MOST_CLAIMS = 16;
const ROWS = 200; // a page of the table; more would make the browser lay out for seconds
const NAMES = 6; // speakers named for one stance in a summary

const $ = (id) => document.getElementById(id);
let language = "en";
let result = null; // { answer, article, at, direction, lang }
let shown = []; // the statements that pass the filter, by index
let page = 0;
let chosen = 0; // the claim by which the article is highlighted
let model = null;
let waiting = false; // for the service to be ready
let asking = null;
let problem = null;
let mine = null; // what was in the form before the example

const format = (template, ...values) => template.replace(/\{(\d)\}/g, (_, index) => values[index]);
const say = (key, ...values) => format(STRINGS[language][key], ...values);
const number = (value, options) => new Intl.NumberFormat(language === "ar" ? "ar-u-nu-arab" : "en", options).format(value);
const percent = (value) => number(value, { style: "percent" });
const announce = (key, ...values) => { $("status").textContent = key ? say(key, ...values) : ""; };

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function look(stance) {
  if (Object.hasOwn(SIGNS, stance)) return { tone: stance, sign: SIGNS[stance], word: say(stance) };
  const others = result.answer.model.stances.filter((name) => !Object.hasOwn(SIGNS, name));
  const order = others.indexOf(stance) % OTHER_SIGNS.length;
  return order < 0 ? { tone: "none", sign: "–", word: say("none") } : { tone: `other-${order}`, sign: OTHER_SIGNS[order], word: stance };
}

function chip(stance) {
  const { tone, sign, word } = look(stance);
  // A word of the interface goes its way, whichever way the article goes.
  const spoken = word !== stance ? { lang: language, dir: document.dir } : {};
  return make("span", { class: `chip tone-${tone}`, ...spoken }, make("span", { class: "sign", "aria-hidden": "true" }, sign), make("bdi", {}, word));
}

// A bar of shares, [stance, share] each; its parts are also told in words.
function bar(shares, direction, told) {
  const element = make("span", { class: "bar", role: "img", title: told, "aria-label": told });
  const total = shares.reduce((sum, [, share]) => sum + share, 0) || 1;
  let from = 0;
  const parts = shares.map(([stance, share]) => {
    const to = from + (100 * share) / total;
    const part = `var(--bar-${look(stance).tone}) ${from}% ${to}%`;
    from = to;
    return part;
  });
  element.style.backgroundImage = `linear-gradient(to ${direction === "rtl" ? "left" : "right"}, ${parts.join(", ")})`;
  return element;
}

function drawSummary() {
  const { answer } = result;
  const cards = columns().map((claim, index) => {
    const rows = [...answer.model.stances, null].map((stance) => {
      const speakers = new Map();
      for (const { speaker, stances } of answer.statements) {
        if (stances[index].stance === stance) speakers.set(speaker, (speakers.get(speaker) ?? 0) + 1);
      }
      return { stance, speakers, count: [...speakers.values()].reduce((sum, count) => sum + count, 0) };
    });
    const told = rows.map(({ stance, count }) => `${look(stance).word} ${number(count)}`).join(" · ");
    const list = rows.map(({ stance, speakers, count }) => make("li", count ? {} : { class: "nobody" }, chip(stance), make("b", {}, number(count)), names(speakers)));
    return make("section", { class: "card" }, heading("h3", claim, index), bar(rows.map(({ stance, count }) => [stance, count]), document.dir, told), make("ul", {}, ...list));
  });
  $("summary").replaceChildren(...(cards.length ? cards : [make("p", {}, say("noClaims"))]));
}

function names(speakers) {
  const all = [...speakers].sort(([a], [b]) => (a === "") - (b === ""));
  const list = make("ul", { class: "names" });
  for (const [speaker, count] of all.slice(0, NAMES)) {
    const name = make("bdi", speaker ? {} : { class: "soft" }, speaker || say("unnamed"));
    list.append(make("li", {}, name, count > 1 ? ` ×${number(count)}` : ""));
  }
  if (all.length > NAMES) list.append(make("li", { class: "soft" }, say("more", number(all.length - NAMES))));
  return list;
}

// A model that reads statements alone gives one stance each although no claim was asked about.
const columns = () => (result.answer.claims.length ? result.answer.claims : (result.answer.statements[0]?.stances ?? []).map(() => ""));

function heading(tag, claim, index, attributes = {}) {
  const order = columns().length > 1 ? [make("span", { class: "order" }, number(index + 1))] : [];
  return make(tag, attributes, ...order, make("bdi", { dir: "auto" }, claim || say("stance")));
}

function drawLegend() {
  const entries = [...result.answer.model.stances, null].flatMap((stance) => {
    const { tone } = look(stance);
    const means = tone.startsWith("other") ? [] : [make("dd", {}, say(`${tone}Means`))];
    return [make("div", {}, make("dt", {}, chip(stance)), ...means)];
  });
  entries.push(make("div", {}, make("dt", { class: "confidence" }, "%"), make("dd", {}, say("percentMeans"))));
  $("legend").replaceChildren(...entries);
}

function drawTable() {
  const { statements } = result.answer;
  shown = [...statements.keys()].filter((index) => !$("only").checked || statements[index].stances.some(({ stance }) => stance !== null));
  page = Math.min(page, Math.max(0, Math.ceil(shown.length / ROWS) - 1));
  const first = page * ROWS;
  const rows = shown.slice(first, first + ROWS);
  const head = (text) => make("th", { scope: "col", role: "columnheader", lang: language }, text);
  const claims = columns().map((claim, index) => heading("th", claim, index, { scope: "col", role: "columnheader", class: "claim" }));
  $("table").replaceChildren(
    make("table", { role: "table", dir: result.direction, lang: result.lang },
      make("caption", { id: "caption", lang: language }, make("bdi", {}, say("caption", number(shown.length), number(statements.length)))),
      make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, head("#"), head(say("statement")), head(say("speaker")), ...claims)),
      make("tbody", { role: "rowgroup" }, ...rows.map(tableRow))));
  $("pages").hidden = shown.length <= ROWS;
  $("pages").setAttribute("aria-label", say("pages"));
  $("page").textContent = say("page", number(first + 1), number(first + rows.length), number(shown.length));
  $("previous").disabled = page === 0;
  $("next").disabled = first + rows.length >= shown.length;
}

function tableRow(index) {
  const { text, speaker, stances } = result.answer.statements[index];
  const order = number(index + 1);
  const link = make("a", { href: `#place-${index + 1}`, "aria-label": say("toPlace", order) }, order);
  const who = make("bdi", speaker ? {} : { class: "soft", lang: language }, speaker || say("unnamed"));
  const claims = columns();
  const cells = stances.map(({ stance, confidence, probabilities }, claim) => {
    const shares = Object.entries(probabilities);
    const told = shares.map(([label, share]) => `${look(label).word} ${percent(share)}`).join(" · ");
    const label = claims.length > 1 ? { "data-label": `${number(claim + 1)} ${claims[claim]}` } : {};
    const sure = make("bdi", { class: "confidence" }, percent(confidence));
    return make("td", { role: "cell", class: "stance", ...label }, make("span", { class: "said" }, chip(stance), sure), bar(shares, result.direction, told));
  });
  return make("tr", { id: `row-${index + 1}`, role: "row" },
    make("th", { scope: "row", role: "rowheader" }, link),
    make("td", { role: "cell", class: "statement", dir: "auto" }, text),
    make("td", { role: "cell", class: "speaker", "data-label": say("speaker") }, who), ...cells);
}

function drawArticle() {
  const { answer, article, at } = result;
  const places = answer.statements.map(({ start, stop }, index) => ({ index, start: at[start], stop: at[stop] }));
  places.sort((a, b) => a.start - b.start);
  // One paragraph a line, each with a direction of its own; a statement is isolated, so that its marks turn nothing else.
  const lines = [];
  let next = 0;
  let done = 0;
  let begin = 0;
  for (const { length } of article.split("\n")) {
    const end = begin + length;
    begin = end + 1;
    const line = make("p", { dir: "auto" });
    while (next < places.length && places[next].start < end) {
      const { index, start, stop } = places[next++];
      const from = Math.max(start, done);
      line.append(article.slice(done, from), place(index, article.slice(from, stop)));
      done = Math.max(from, stop);
    }
    line.append(article.slice(done, end));
    done = Math.max(done, begin);
    lines.push(line);
  }
  $("article").lang = result.lang;
  $("article").dir = result.direction;
  $("article").replaceChildren(...lines);
}

function place(index, words) {
  const { tone, sign, word } = look(result.answer.statements[index].stances[chosen]?.stance ?? null);
  const order = number(index + 1);
  const link = make("a", { href: `#row-${index + 1}`, "aria-label": say("toRow", order, word), lang: language }, `${sign} ${order}`);
  return make("span", { id: `place-${index + 1}`, class: `place tone-${tone}` }, link, make("span", { class: "words" }, words));
}

function drawChoice() {
  const options = columns().map((claim, index) => {
    const input = make("input", { type: "radio", name: "shown", value: index });
    input.checked = index === chosen;
    return make("label", {}, input, heading("span", claim, index));
  });
  $("shown").hidden = options.length < 2;
  $("shown").replaceChildren(make("legend", {}, say("highlight")), ...options);
}

function draw() {
  $("result").hidden = !result;
  if (!result) return;
  drawSummary();
  drawLegend();
  drawTable();
  drawChoice();
  drawArticle();
}

function arrive(element) {
  document.querySelector(".here")?.classList.remove("here");
  element.classList.add("here");
  element.querySelector("a").focus({ preventScroll: true });
  // A long way is not scrolled through: what is laid out on the way would move the goal.
  element.scrollIntoView({ block: "center", behavior: result.answer.statements.length > ROWS ? "instant" : "auto" });
}

function toRow(index) {
  if (!shown.includes(index)) {
    $("only").checked = false;
    drawTable();
    announce("unfiltered");
  }
  const wanted = Math.floor(shown.indexOf(index) / ROWS);
  if (wanted !== page) {
    page = wanted;
    drawTable();
  }
  arrive($(`row-${index + 1}`));
}

function complain(about, field) {
  problem = about;
  const { key, values = [], message, where, way } = about ?? {};
  const parts = !about ? [] : [say(key, ...values)];
  if (message) parts.push(" ", make("bdi", { lang: "en" }, message), where ? " " : "", where ? make("code", { dir: "ltr" }, where) : "");
  if (way) parts.push(" ", say(way));
  $("error").replaceChildren(...parts);
  for (const input of document.querySelectorAll("#ask textarea, #ask input")) input.toggleAttribute("aria-invalid", input === field);
  field?.focus();
}

function wayOut(status, code) {
  if (status === 413 || status === 504 || code === "text_too_long") return "wayLong";
  if (status === 408 || status === 429 || status === 503) return "wayWait";
  return status < 500 ? "wayInput" : "wayBroken";
}

async function ask() {
  if (asking) return;
  const article = $("text").value.toWellFormed();
  complain(null);
  if (!article.trim()) return complain({ key: "noArticle" }, $("text"));
  const { signal } = (asking = new AbortController());
  $("stop").hidden = false;
  $("ask").setAttribute("aria-busy", "true");
  announce("working");
  try {
    const body = JSON.stringify({ text: article, claims: entered() });
    const response = await fetch("article", { method: "POST", headers: { "Content-Type": "application/json" }, body, signal });
    const answer = await response.json().catch(() => null);
    signal.throwIfAborted();
    if (response.ok && answer) return show(answer, article);
    const { code, message, where } = answer?.error ?? {};
    complain({ key: "refused", message: message ?? say("unreadable", response.status), where, way: wayOut(response.status, code) });
    announce();
  } catch (error) {
    announce(signal.aborted ? "stopped" : undefined);
    if (!signal.aborted) {
      complain({ key: "unreachable" });
      if (!(error instanceof TypeError)) throw error;
    }
  } finally {
    asking = null;
    $("stop").hidden = true;
    $("ask").removeAttribute("aria-busy");
  }
}

function show(answer, article) {
  const direction = directionOf(article.slice(0, 10_000));
  // The models read Arabic and English; a voice that reads the page aloud needs to be told which.
  result = { answer, article, at: unitsOfCodePoints(article), direction, lang: direction === "rtl" ? "ar" : "en" };
  page = chosen = 0;
  draw();
  const { length } = answer.statements;
  length ? announce("done", number(length), number(answer.claims.length)) : announce("nothing");
  $("result").scrollIntoView({ block: "nearest" });
}

const inputs = () => [...$("claims").querySelectorAll("input")];
const entered = () => inputs().map((input) => input.value.toWellFormed().trim()).filter(Boolean);

function drawClaims(values) {
  const rows = (values.length ? values : [""]).slice(0, MOST_CLAIMS).map((value, index, { length }) => {
    const order = number(index + 1);
    const input = make("input", { type: "text", dir: "auto", "aria-label": say("claim", order), autocomplete: "off" });
    input.value = value;
    const remove = make("button", { type: "button", class: "quiet", "aria-label": say("remove", order) }, "×");
    remove.hidden = length === 1;
    remove.addEventListener("click", () => {
      drawClaims(inputs().map((other) => other.value).toSpliced(index, 1));
      inputs()[Math.max(0, index - 1)].focus();
    });
    input.addEventListener("paste", (event) => {
      const lines = event.clipboardData.getData("text").split(/[\r\n]+/).map((line) => line.trim()).filter(Boolean);
      if (lines.length < 2) return;
      event.preventDefault();
      drawClaims(inputs().map((other) => other.value).toSpliced(index, input.value.trim() ? 0 : 1, ...lines));
      inputs()[Math.min(index + lines.length, inputs().length) - 1].focus();
    });
    return make("li", {}, input, remove);
  });
  $("claims").replaceChildren(...rows);
  $("add").hidden = rows.length >= MOST_CLAIMS;
}

function fillIn({ text, claims }) {
  $("text").value = text;
  drawClaims(claims);
  complain(null);
}

function toggleExample() {
  const now = { text: $("text").value, claims: inputs().map((input) => input.value) };
  const isExample = Object.values(EXAMPLES).some(({ text }) => text === now.text);
  fillIn(isExample && mine ? mine : EXAMPLES[language]);
  if (!isExample) mine = now.text.trim() || now.claims.some(Boolean) ? now : null;
  else if (mine) mine = null;
  $("example").textContent = say(mine ? "back" : "example");
}

function speak(name) {
  language = name;
  document.documentElement.lang = name;
  document.documentElement.dir = name === "ar" ? "rtl" : "ltr";
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = say(element.dataset.text);
  for (const button of document.querySelectorAll("[data-language]")) button.setAttribute("aria-pressed", button.dataset.language === name);
  if (mine) $("example").textContent = say("back");
  drawClaims(inputs().map((input) => input.value));
  complain(problem);
  announce(asking ? "working" : undefined);
  drawModel();
  draw();
}

async function meetModel() {
  const response = await fetch("ready").catch(() => null);
  model = response?.ok ? (await response.json()).model : null;
  waiting = response?.status === 503;
  if (waiting) setTimeout(meetModel, 1000);
  drawModel();
}

function drawModel() {
  const named = model ? [`${say("model")}: `, make("bdi", {}, model.name), " ", make("code", { title: model.digest }, model.digest.slice(0, 12))] : [];
  $("model").replaceChildren(...(waiting ? [say("notReady")] : named));
}

$("ask").addEventListener("submit", (event) => { event.preventDefault(); ask(); });
$("ask").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); ask(); }
});
$("stop").addEventListener("click", () => asking?.abort());
$("example").addEventListener("click", toggleExample);
$("add").addEventListener("click", () => { drawClaims([...inputs().map((input) => input.value), ""]); inputs().at(-1).focus(); });
$("only").addEventListener("change", () => { page = 0; drawTable(); });
$("previous").addEventListener("click", () => { page -= 1; drawTable(); });
$("next").addEventListener("click", () => { page += 1; drawTable(); });
$("shown").addEventListener("change", (event) => { chosen = Number(event.target.value); drawArticle(); });
$("csv").addEventListener("click", () => save("stances.csv", "text/csv;charset=utf-8", csv(result.answer, columns())));
$("json").addEventListener("click", () => save("stances.json", "application/json", JSON.stringify(result.answer, null, 1)));
$("result").addEventListener("click", (event) => {
  const [, kind, order] = event.target.closest("a")?.hash.match(/^#(row|place)-(\d+)$/) ?? [];
  if (!kind) return;
  event.preventDefault();
  kind === "row" ? toRow(Number(order) - 1) : arrive($(`place-${order}`));
});
for (const button of document.querySelectorAll("[data-language]")) {
  button.addEventListener("click", () => {
    speak(button.dataset.language);
    history.replaceState(null, "", `?lang=${language}`);
  });
}

// The address may say the language, and ask for the example: /?lang=ar&example
const address = new URLSearchParams(location.search);
const asked = address.get("lang");
speak(Object.hasOwn(STRINGS, asked) ? asked : /^ar\b/.test(navigator.language) ? "ar" : "en");
meetModel();
if (address.has("example")) {
  toggleExample();
  ask();
}
