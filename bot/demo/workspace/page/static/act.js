// What the page tells the server of its person, and what it says to them.
const body = document.body;

export const me = () => body.dataset.as;
export const here = () => ({ as: body.dataset.as, in: body.dataset.in, thread: body.dataset.thread });

/** Tell the server what the person does; returns its answer, or null after saying what went wrong. */
export async function act(name, told = {}, { quiet = false } = {}) {
  try {
    const answer = await fetch(`/page/${name}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ as: me(), ...told }),
    });
    const said = await answer.json();
    if (answer.ok) return said.failed ? null : said;
    if (!quiet) toast(said.problem);
  } catch {
    if (!quiet) toast("The workspace does not answer. Is it still running?");
  }
  return null;
}

/** Say something that goes away by itself. */
export function toast(text) {
  const line = document.createElement("div");
  line.className = "toast";
  line.textContent = text;
  const open = document.querySelector("dialog.modal[open] .modal-problem");
  if (open) open.textContent = text;
  else document.getElementById("toasts").append(line);
  setTimeout(() => line.remove(), 7000);
}
