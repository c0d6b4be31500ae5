// Blocks that act: buttons, menus, selects with type-ahead, fields, and modals.
import { act } from "./act.js";

const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const unsent = new Set(); // fields of a modal that changed and were not told yet

/** Which message or view an element belongs to. */
function where(element) {
  const { channel, ts, view } = element.closest("[data-surface]").dataset;
  return view ? { view } : { channel, ts };
}
const nameOf = (field) => `${field.dataset.block}/${field.dataset.action}`;

/** What a person put into a field, as the server takes it. */
function valueOf(field) {
  if (field.matches("[data-combo]")) {
    const chosen = combos.get(field)?.chosen ?? JSON.parse(field.dataset.chosen);
    const values = chosen.map((option) => option.value);
    return field.classList.contains("multi") ? values : (values[0] ?? null);
  }
  if (field.matches(".checks")) {
    const values = $$("input:checked", field).map((input) => input.value);
    return field.dataset.type === "checkboxes" ? values : (values[0] ?? null);
  }
  const { value, type } = field.querySelector("input, textarea");
  if (type === "datetime-local") return value ? Math.round(new Date(value).getTime() / 1000) : null;
  return value === "" ? null : value;
}

function pending(root) {
  const told = {};
  for (const field of unsent)
    if (!field.isConnected) unsent.delete(field);
    else if (root.contains(field)) {
      told[nameOf(field)] = valueOf(field);
      unsent.delete(field);
    }
  return told;
}

async function changed(field, how = "change") {
  const surface = field.closest("[data-surface]");
  const asked = (field.dataset.dispatch ?? "").split(" ");
  if (!asked.includes(how)) return void unsent.add(field);
  unsent.delete(field);
  if (!(await confirmed(field))) return;
  const values = pending(surface);
  await act("choose", { ...where(field), action: nameOf(field), value: valueOf(field), values });
}

/** Ask again where the block says so. */
function confirmed(element) {
  const asking = element.querySelector(":scope > template.confirm");
  if (!asking) return Promise.resolve(true);
  const box = document.createElement("dialog");
  box.className = "confirm-box";
  box.append(asking.content.cloneNode(true));
  document.body.append(box);
  box.setAttribute("aria-label", box.querySelector("h2").textContent);
  return new Promise((resolve) => {
    box.addEventListener("click", (event) => {
      const answer = event.target.closest("[data-confirm]")?.dataset.confirm;
      if (answer) box.close(answer);
    });
    box.addEventListener("close", () => {
      box.remove();
      resolve(box.returnValue === "yes");
    });
    box.showModal();
    box.querySelector("[data-confirm=no]").focus();
  });
}

async function press(button) {
  if (button.getAttribute("aria-busy") || !(await confirmed(button))) return;
  if (button.dataset.url) window.open(button.dataset.url, "_blank", "noopener");
  button.setAttribute("aria-busy", "true");
  const values = pending(button.closest("[data-surface]"));
  await act("press", { ...where(button), action: nameOf(button), value: button.dataset.value, values });
  button.removeAttribute("aria-busy");
}

// Menus

function menu(button, open) {
  const list = button.parentElement.querySelector("[role=menu]");
  list.hidden = !open;
  button.setAttribute("aria-expanded", String(open));
  if (open) list.querySelector("[role=menuitem]")?.focus();
}
const closeMenus = () => $$("[data-menu][aria-expanded=true]").forEach((button) => menu(button, false));

document.addEventListener("click", async (event) => {
  const target = event.target.closest("button");
  if (!target?.matches("[data-menu]")) closeMenus();
  if (!target) return;
  if (target.matches("[data-menu]")) menu(target, target.getAttribute("aria-expanded") !== "true");
  else if (target.dataset.shortcut) await act("shortcut", { callback_id: target.dataset.shortcut });
  else if (target.matches("[data-press]")) await press(target);
  else if (target.hasAttribute("data-close")) close(target.closest("dialog"), target.dataset.close === "all");
});
document.addEventListener("keydown", (event) => {
  const list = event.target.closest?.("[role=menu]");
  if (!list) return;
  const items = $$("[role=menuitem]", list);
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) items.at((items.indexOf(event.target) + step) % items.length).focus();
  else if (event.key === "Escape") {
    const button = list.parentElement.querySelector("[data-menu]");
    menu(button, false);
    button.focus();
  } else return;
  event.preventDefault();
});

// Selects: a text field with a list below it (the ARIA combobox)

const combos = new WeakMap();

class Combo {
  constructor(box) {
    this.box = box;
    this.input = box.querySelector("input");
    this.list = box.querySelector("[role=listbox]");
    this.multi = box.classList.contains("multi");
    this.touched = false;
    this.active = -1;
    this.asked = 0;
    this.renew();
    box.addEventListener("renew", () => this.renew());
    this.input.addEventListener("focus", () => this.input.select());
    this.input.addEventListener("click", () => this.open());
    this.input.addEventListener("input", () => this.open(this.input.value));
    this.input.addEventListener("keydown", (event) => this.key(event));
    this.input.addEventListener("blur", () => this.shut());
    this.list.addEventListener("mousedown", (event) => event.preventDefault());
    this.list.addEventListener("click", (event) => {
      const item = event.target.closest("[role=option]");
      if (item) this.take(this.shown[Number(item.dataset.n)]);
    });
    box.addEventListener("click", (event) => {
      const gone = event.target.closest(".chip button");
      if (gone) this.take(this.chosen.find((option) => option.value === gone.value));
      else if (event.target !== this.input && !this.list.contains(event.target)) this.input.focus();
    });
  }

  renew() {
    this.options = JSON.parse(this.box.dataset.options);
    const given = this.box.dataset.chosen;
    if (given === this.given) return;
    this.given = given;
    this.chosen = JSON.parse(given);
    this.tell();
  }

  tell() {
    if (!this.multi) this.input.value = this.chosen[0]?.label ?? "";
    else {
      this.input.value = "";
      this.box.querySelector(".chips").replaceChildren(
        ...this.chosen.map((option) => {
          const [chip, gone] = [document.createElement("span"), document.createElement("button")];
          chip.className = "chip";
          chip.append(option.label, gone);
          Object.assign(gone, { type: "button", value: option.value, textContent: "×", ariaLabel: `Remove ${option.label}` });
          return chip;
        }),
      );
    }
  }

  async open(typed = "") {
    const least = this.box.dataset.min;
    let found = this.options;
    if (least !== undefined) {
      const turn = ++this.asked;
      if (typed.length < Number(least)) return this.show([], `Type ${least} or more letters`);
      if (this.list.hidden) this.show([], "Looking…");
      await new Promise((resolve) => setTimeout(resolve, typed ? 120 : 0));
      if (turn !== this.asked) return;
      const told = { ...where(this.box), action: nameOf(this.box), typed };
      const answer = await act("suggest", told, { quiet: true });
      if (turn !== this.asked || document.activeElement !== this.input) return;
      if (!answer) return this.show([], "The app did not answer");
      found = answer.options;
    } else if (typed) {
      const words = typed.toLowerCase();
      const hay = (option) => `${option.label} ${option.description ?? ""}`.toLowerCase();
      found = found.filter((option) => hay(option).includes(words));
    }
    this.show(found, typed ? "Nothing matches" : "Nothing to choose");
  }

  show(found, none) {
    this.shown = found;
    const items = [];
    let group = null;
    found.forEach((option, n) => {
      if (option.group && option.group !== group) items.push(line("group", option.group));
      group = option.group;
      const item = line("", option.label);
      item.setAttribute("role", "option");
      Object.assign(item, { id: `${this.list.id}-${n}`, ariaSelected: String(this.has(option)) });
      item.dataset.n = n;
      if (option.description) item.append(Object.assign(document.createElement("small"), { textContent: option.description }));
      items.push(item);
    });
    if (!items.length) items.push(line("none", none));
    this.list.replaceChildren(...items);
    this.list.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
    const space = innerHeight - this.box.getBoundingClientRect().bottom;
    this.box.classList.toggle("above", space < 200 && !this.box.closest("dialog"));
    const first = found.findIndex((option) => this.has(option));
    this.point(found.length ? Math.max(first, 0) : -1);
    if (this.box.closest("dialog")) this.list.scrollIntoView({ block: "nearest" });
  }

  has(option) {
    return this.chosen.some((one) => one.value === option.value);
  }

  point(n) {
    this.active = n;
    for (const item of $$("[role=option]", this.list)) item.classList.toggle("active", Number(item.dataset.n) === n);
    const item = this.list.querySelector(".active");
    if (item) this.input.setAttribute("aria-activedescendant", item.id);
    else this.input.removeAttribute("aria-activedescendant");
    item?.scrollIntoView({ block: "nearest" });
  }

  key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && this.list.hidden) this.open();
    else if (step && this.shown.length) this.point((this.active + step + this.shown.length) % this.shown.length);
    else if (event.key === "Enter" && this.list.hidden && !event.ctrlKey) this.open();
    else if (event.key === "Enter" && !event.ctrlKey) {
      if (this.active >= 0) this.take(this.shown[this.active]);
    } else if (event.key === "Escape" && !this.list.hidden) this.shut();
    else if (event.key === "Backspace" && !this.input.value && this.multi && this.chosen.length) this.take(this.chosen.at(-1));
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  take(option) {
    if (!this.multi) this.chosen = [option];
    else if (this.has(option)) this.chosen = this.chosen.filter((one) => one.value !== option.value);
    else if (this.chosen.length < Number(this.box.dataset.max ?? 1e9)) this.chosen = [...this.chosen, option];
    this.tell();
    this.shut();
    changed(this.box);
  }

  shut() {
    this.asked++;
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
    if (!this.multi && this.input.value === "" && this.chosen.length && this.input !== document.activeElement) {
      this.chosen = [];
      changed(this.box);
    }
    if (this.multi) this.input.value = "";
    else this.tell();
  }
}

function line(name, text) {
  return Object.assign(document.createElement("li"), { className: name, textContent: text });
}

// Fields

let typing = 0;
document.addEventListener("input", ({ target }) => {
  const field = target.closest("[data-field]");
  if (!field || field.matches("[data-combo], .checks")) return;
  unsent.add(field);
  if (!(field.dataset.dispatch ?? "").includes("character")) return;
  clearTimeout(typing);
  typing = setTimeout(() => changed(field, "character"), 300);
});
document.addEventListener("change", ({ target }) => {
  const field = target.closest("[data-field]");
  if (field && !field.matches("[data-combo]")) changed(field);
});

// Modals

async function close(dialog, everything = false) {
  for (const field of unsent) if (dialog.contains(field)) unsent.delete(field);
  await act("close", { view: dialog.dataset.view, everything });
}

async function submit(dialog) {
  if (dialog.getAttribute("aria-busy")) return;
  const values = {};
  for (const field of $$("[data-input-block] [data-field]", dialog)) values[nameOf(field)] = valueOf(field);
  dialog.setAttribute("aria-busy", "true");
  dialog.querySelector(".modal-problem").textContent = "";
  const answer = await act("submit", { view: dialog.dataset.view, values });
  dialog.removeAttribute("aria-busy");
  const wrong = Object.keys(answer?.errors ?? {});
  if (!wrong.length) return;
  const first = $$("[data-input-block]", dialog).find((block) => wrong.includes(block.dataset.inputBlock));
  first?.querySelector("input, textarea")?.focus();
  first?.scrollIntoView({ block: "center" });
}

document.addEventListener("submit", (event) => {
  if (!event.target.matches("[data-modal]")) return;
  event.preventDefault();
  submit(event.target.closest("dialog"));
});
document.addEventListener("keydown", (event) => {
  const dialog = event.target.closest?.("dialog.modal");
  if (!dialog || event.key !== "Enter" || event.defaultPrevented) return;
  const field = event.target.closest("[data-field]");
  if (event.ctrlKey || event.metaKey) {
    event.preventDefault();
    if (dialog.querySelector("[type=submit]")) submit(dialog);
  } else if (field && event.target.nodeName === "INPUT") {
    event.preventDefault(); // in Slack, too, Enter in a field does not submit
    if ((field.dataset.dispatch ?? "").includes("enter")) changed(field, "enter");
  }
});

const plainFields = "input:not([type=hidden]), textarea, select";
document.addEventListener("woven", () => {
  for (const box of $$("[data-combo]")) if (!combos.has(box)) combos.set(box, new Combo(box));
  const dialog = document.querySelector("dialog.modal");
  if (!dialog) return;
  if (!dialog.open) {
    dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      close(dialog);
    });
    dialog.showModal();
    dialog.querySelector("h1").focus();
  }
  if (dialog.contains(document.activeElement) && document.activeElement.nodeName !== "H1") return;
  const wanted = dialog.querySelector("[data-autofocus]") ?? dialog.querySelector(".modal-body").querySelector(plainFields);
  wanted?.focus();
});
