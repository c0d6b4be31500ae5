// The page's life: regions arrive over one event stream and are woven into what is there, so that
// typed text, focus, scroll positions and open lists stay. Links with data-go change the place.
import { act, here, me } from "./act.js";
import "./forms.js";
import "./desk.js";

const body = document.body;
const MINE = new Set(["open", "hidden", "aria-expanded", "aria-activedescendant", "aria-busy"]);
let stream = null;
let arrived = false;

/** Make `from` like `to`, changing as little as possible. */
function weave(from, to) {
  for (const { name } of [...from.attributes])
    if (!to.hasAttribute(name) && !MINE.has(name)) from.removeAttribute(name);
  for (const { name, value } of to.attributes)
    if (!MINE.has(name) && from.getAttribute(name) !== value) from.setAttribute(name, value);
  if (from.hasAttribute("data-keep")) return;
  if (from.hasAttribute("data-combo")) {
    const [input, fresh] = [from, to].map((box) => box.querySelector("input"));
    weave(input, fresh);
    from.dispatchEvent(new CustomEvent("renew"));
    return;
  }
  weaveChildren(from, to);
}

function weaveChildren(from, to) {
  const coming = new Set([...to.children].map((child) => child.id).filter(Boolean));
  let at = from.firstChild;
  const skip = () => {
    while (at && at.nodeType === 1 && at.hasAttribute("data-own")) at = at.nextSibling;
  };
  for (const next of [...to.childNodes]) {
    skip();
    while (at && at.id && at.id !== next.id && !coming.has(at.id)) {
      const gone = at;
      at = at.nextSibling;
      remove(gone);
      skip();
    }
    const known = next.id ? [...from.children].find((child) => child.id === next.id) : null;
    if (known && known !== at) {
      from.insertBefore(known, at);
      weave(known, next);
    } else if (at && alike(at, next)) {
      const same = at;
      at = at.nextSibling;
      if (same.nodeType === 1) weave(same, next);
      else if (same.nodeValue !== next.nodeValue) same.nodeValue = next.nodeValue;
    } else {
      from.insertBefore(next, at);
    }
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    if (!(gone.nodeType === 1 && gone.hasAttribute("data-own"))) remove(gone);
  }
}

function alike(one, other) {
  if (one.nodeType !== other.nodeType || one.nodeName !== other.nodeName) return false;
  return one.nodeType !== 1 || (one.id || "") === (other.id || "");
}

function remove(node) {
  const open = node.nodeName === "DIALOG" && node.open;
  if (open) node.close(); // gives the focus back
  node.remove();
  if (open) takeFocus();
}

/** Let what has the focus again have it in earnest: it was given back while the dialog still shut it off,
 *  and Chromium then types nowhere. */
function takeFocus() {
  const back = document.activeElement === body ? document.querySelector("#thread textarea, #place textarea") : document.activeElement;
  back?.blur();
  back?.focus({ preventScroll: true });
}

function swap(id, html) {
  const region = document.getElementById(id);
  const held = region.contains(document.activeElement) ? document.activeElement : null;
  const ends = new Map();
  for (const box of region.querySelectorAll("[data-scroll]"))
    ends.set(box.id, box.scrollHeight - box.scrollTop - box.clientHeight < 60);
  const draft = document.createElement("template");
  draft.innerHTML = html;
  weaveChildren(region, draft.content);
  for (const box of region.querySelectorAll("[data-scroll]"))
    if (ends.get(box.id) ?? true) box.scrollTop = box.scrollHeight;
  if (held && !held.isConnected && document.activeElement === body)
    region.querySelector("[data-scroll], textarea")?.focus({ preventScroll: true });
}

function connect() {
  stream?.close();
  stream = new EventSource(`/page/live?${new URLSearchParams(here())}`);
  stream.addEventListener("regions", (event) => {
    for (const [id, html] of Object.entries(JSON.parse(event.data))) swap(id, html);
    document.dispatchEvent(new CustomEvent("woven", { detail: { arrived } }));
    arrived = false;
    body.dataset.live = "yes";
  });
  stream.onopen = () => connected(true);
  stream.onerror = () => connected(false);
}

function connected(yes) {
  const mark = document.getElementById("live-mark");
  mark?.classList.toggle("lost", !yes);
  if (mark && yes === mark.innerHTML.includes("Reconnecting"))
    mark.innerHTML = yes ? '<span class="sr">Connected</span>' : "Reconnecting…";
}

function arrive() {
  const query = new URLSearchParams(location.search);
  if ((query.get("as") ?? me()) !== me()) return location.reload();
  body.dataset.in = query.get("in") ?? body.dataset.in;
  body.dataset.thread = query.get("thread") ?? "";
  delete document.documentElement.dataset.side;
  arrived = true;
  connect();
  if (body.dataset.in === "home") act("home", {}, { quiet: true });
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link || event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
  const permalink = link.origin === location.origin && link.pathname.startsWith("/archives/");
  if (!permalink && !link.matches("[data-go], .mention")) return;
  event.preventDefault();
  if (permalink) return location.assign(`${link.pathname}?as=${me()}`);
  history.pushState(null, "", link.href);
  arrive();
});
window.addEventListener("popstate", arrive);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) stream?.close(); // browsers allow few streams to one host; tabs unseen need none
  else connect();
});
document.addEventListener("click", (event) => {
  const who = document.getElementById("who");
  if (who?.open && !who.contains(event.target)) who.open = false;
});
document.addEventListener("keydown", (event) => {
  const who = document.getElementById("who");
  if (event.key !== "Escape" || event.defaultPrevented) return;
  if (who?.open) {
    who.open = false;
    who.querySelector("summary").focus();
  } else if (!document.querySelector("dialog[open]")) {
    document.querySelector("[data-close-thread]")?.click();
  }
});

function toggled(id, name, next) {
  document.addEventListener("click", (event) => {
    if (!event.target.closest(`#${id}`)) return;
    const value = next(document.documentElement.dataset[name]);
    document.documentElement.dataset[name] = value;
    if (name !== "side") localStorage.setItem(`workspace.${name}`, value);
  });
}
const dark = () => matchMedia("(prefers-color-scheme: dark)").matches;
toggled("theme-toggle", "theme", (now) => ((now ?? (dark() ? "dark" : "light")) === "dark" ? "light" : "dark"));
toggled("bench-toggle", "bench", () => (document.getElementById("bench").checkVisibility() ? "closed" : "open"));
toggled("side-toggle", "side", (now) => (now === "open" ? "closed" : "open"));

for (const box of document.querySelectorAll("[data-scroll]")) box.scrollTop = box.scrollHeight;
if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView({ block: "center" });
arrived = true;
document.dispatchEvent(new CustomEvent("woven", { detail: { arrived } }));
connect();
if (body.dataset.in === "home") act("home", {}, { quiet: true });
