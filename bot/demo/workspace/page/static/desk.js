// The composer, and the bench: SQL, clock, trouble, wire.
import { act, here, toast } from "./act.js";

const $ = (id) => document.getElementById(id);
const offered = JSON.parse($("completions").textContent);
const drafts = new Map();
const known = new WeakSet();

// Composer

class Composer {
  constructor(form) {
    this.form = form;
    this.text = form.querySelector("textarea");
    this.list = form.querySelector("[role=listbox]");
    this.text.value = drafts.get(this.text.id) ?? "";
    this.text.addEventListener("input", () => this.typed());
    this.text.addEventListener("keydown", (event) => this.key(event));
    this.text.addEventListener("blur", () => this.shut());
    this.list.addEventListener("mousedown", (event) => event.preventDefault());
    this.list.addEventListener("click", (event) => this.take(event.target.closest("li")));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
  }

  typed() {
    drafts.set(this.text.id, this.text.value);
    const typed = this.text.value;
    const inThread = Boolean(this.form.dataset.thread);
    const found = /^\/[^\n]*$/.test(typed) && !inThread ? offered.filter((each) => each.text.startsWith(typed)) : [];
    if (!found.length || (found.length === 1 && found[0].text === typed && typed.includes(" "))) return this.shut();
    this.list.replaceChildren(
      ...found.map((each, n) => {
        const item = document.createElement("li");
        Object.assign(item, { id: `${this.list.id}-${n}`, ariaSelected: "false" });
        item.setAttribute("role", "option");
        Object.assign(item.dataset, { text: each.text, done: each.done ? "yes" : "" });
        item.append(Object.assign(document.createElement("code"), { textContent: each.text }));
        item.append(Object.assign(document.createElement("small"), { textContent: each.about }));
        return item;
      }),
    );
    this.list.hidden = false;
    this.text.setAttribute("aria-expanded", "true");
    this.point(typed.endsWith(" ") ? null : this.list.firstElementChild); // "/jit " and Enter is sent as it is
  }

  point(item) {
    for (const each of this.list.children) each.ariaSelected = String(each === item);
    if (item) this.text.setAttribute("aria-activedescendant", item.id);
    else this.text.removeAttribute("aria-activedescendant");
    item?.scrollIntoView({ block: "nearest" });
  }

  get active() {
    return this.list.hidden ? null : this.list.querySelector("[aria-selected=true]");
  }

  shut() {
    this.list.hidden = true;
    this.text.setAttribute("aria-expanded", "false");
    this.text.removeAttribute("aria-activedescendant");
  }

  take(item) {
    const [words] = item.dataset.text.split(/ (?=[A-Z[])/); // what stands in capitals is for the person to fill in
    this.text.value = item.dataset.done && words.includes(" ") ? words : `${words} `;
    drafts.set(this.text.id, this.text.value);
    this.text.focus();
    this.shut();
  }

  key(event) {
    const { active, list } = this;
    if (event.key === "ArrowDown" && !list.hidden) this.point(active?.nextElementSibling ?? list.firstElementChild);
    else if (event.key === "ArrowUp" && !list.hidden) this.point(active?.previousElementSibling ?? list.lastElementChild);
    else if (event.key === "Tab" && active) this.take(active);
    else if (event.key === "Escape" && !list.hidden) this.shut();
    else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      if (active) this.take(active);
      if (!active || active.dataset.done) this.send();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  async send() {
    const text = this.text.value;
    if (!text.trim()) return;
    this.shut();
    this.text.value = "";
    drafts.delete(this.text.id);
    const box = this.form.querySelector(".composer-box");
    box.classList.add("busy");
    const told = await act("say", { in: here().in, thread: this.form.dataset.thread ?? "", text });
    box.classList.remove("busy");
    if (!told && !this.text.value) this.text.value = text;
  }
}

document.addEventListener("woven", ({ detail }) => {
  for (const form of document.querySelectorAll("[data-composer]"))
    if (!known.has(form)) {
      known.add(form);
      new Composer(form);
    }
  if (detail.arrived && !document.querySelector("dialog[open]")) {
    const thread = document.querySelector("#thread textarea");
    (thread ?? document.querySelector("#place textarea"))?.focus({ preventScroll: true });
  }
  credentials();
  filter();
  tick();
});

// SQL: the address comes from the credentials on the screen and is kept in this field alone

let offeredUrl = "";
function credentials() {
  const shown = document.querySelector("dialog.modal .modal-body")?.textContent ?? "";
  const found = [...shown.matchAll(/postgres(?:ql)?:\/\/[^\s'"`<>]+/g)].map(([url]) => url);
  const best = found.find((url) => /:\/\/[^/@]+:[^/@]+@/.test(url)) ?? found[0];
  const field = $("sql-url");
  if (!best || best === offeredUrl || (field.value && field.value !== offeredUrl)) return;
  field.value = offeredUrl = best;
  state("The address of your credentials is filled in", "");
}

function state(text, kind) {
  $("sql-state").className = `state ${kind}`;
  $("sql-state").textContent = text;
}
const isCut = (text) => /session ended|terminating connection|connection.*(closed|lost|gone)/i.test(text);

$("sql-connect").addEventListener("submit", async (event) => {
  event.preventDefault();
  state("Connecting…", "");
  const told = await act("sql/connect", { url: $("sql-url").value });
  state(told?.message ?? "No bench is attached", told?.ok ? "up" : "cut");
});
$("sql-run").addEventListener("submit", (event) => {
  event.preventDefault();
  run();
});
$("sql-text").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  run();
});

async function run() {
  $("sql-result").replaceChildren(make("p", "Running…"));
  const told = await act("sql/run", { statement: $("sql-text").value });
  if (!told) return $("sql-result").replaceChildren();
  if (!told.ok && isCut(told.message)) {
    state(told.message, "cut");
    return $("sql-result").replaceChildren();
  }
  $("sql-result").replaceChildren(...(told.ok ? result(told) : [make("p", told.message, "error")]));
}

function make(tag, text, name = "") {
  return Object.assign(document.createElement(tag), { textContent: text, className: name });
}

function result({ columns = [], rows = [], message }) {
  const parts = [make("p", message || `${rows.length} rows`)];
  if (!columns.length) return parts;
  const table = document.createElement("table");
  table.createTHead().insertRow().append(...columns.map((name) => Object.assign(make("th", name), { scope: "col" })));
  for (const row of rows)
    table.createTBody().insertRow().append(...row.map((cell) => make("td", cell ?? "null", cell === null ? "null" : "")));
  return [...parts, table];
}

// Clock and trouble

function tick() {
  const now = Date.now() / 1000;
  for (const each of document.querySelectorAll(".countdown")) {
    const left = Math.max(0, Math.round(Number(each.dataset.until) - now));
    const [hours, minutes, seconds] = [Math.floor(left / 3600), Math.floor(left / 60) % 60, left % 60];
    const two = (number) => String(number).padStart(2, "0");
    each.textContent = left ? `${hours ? `${hours}:${two(minutes)}` : minutes}:${two(seconds)} left` : "time is over";
    each.classList.toggle("soon", left < 61);
  }
}
setInterval(tick, 1000);

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-clock], [data-trouble], [data-wire]");
  if (!button || button.getAttribute("aria-busy")) return;
  if (button.dataset.wire) return unfold(button);
  button.setAttribute("aria-busy", "true");
  const told = button.dataset.clock
    ? await act("clock", { grant: button.dataset.grant, left: button.dataset.clock })
    : await act("trouble", { name: button.dataset.trouble, on: button.ariaChecked !== "true" });
  button.removeAttribute("aria-busy");
  if (told?.message) toast(told.message);
});

// Wire

async function unfold(button) {
  const cell = button.closest("td");
  const open = cell.querySelector("pre");
  button.setAttribute("aria-expanded", String(!open));
  if (open) return open.remove();
  const answer = await fetch(`/page/wire/${button.dataset.wire}`);
  const shown = make("pre", (await answer.json()).body);
  Object.assign(shown, { tabIndex: 0 });
  shown.setAttribute("data-own", "");
  cell.append(shown);
}

function filter() {
  const words = $("wire-filter").value.toLowerCase().split(/[\s,]+/).filter(Boolean);
  for (const row of document.querySelectorAll("#wire tbody tr")) {
    const text = `${row.innerText} ${row.className === "bad" ? "error" : ""}`.toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
  }
}
$("wire-filter").addEventListener("input", filter);
