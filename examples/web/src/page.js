"use strict";
const byId = (id) => document.getElementById(id);

async function call(method, path, body) {
  const headers = body ? { "content-type": "application/json" } : {};
  const answer = await fetch("/api/notes" + path, { method, headers, body: body && JSON.stringify(body) });
  const json = answer.headers.get("content-type")?.startsWith("application/json") ? await answer.json() : null;
  if (!answer.ok) throw new Error(json?.error ?? "the service answered " + answer.status);
  return json;
}

function item(note) {
  const li = document.createElement("li");
  li.className = note.done ? "done" : "";
  const box = document.createElement("input");
  box.type = "checkbox";
  box.checked = note.done;
  box.onchange = () => act(() => call("PATCH", "/" + note.id, { done: box.checked }));
  const text = document.createElement("span");
  text.textContent = note.text; // Text, never HTML.
  box.setAttribute("aria-label", note.text);
  const remove = document.createElement("button");
  remove.textContent = "Delete";
  remove.onclick = () => act(() => call("DELETE", "/" + note.id));
  li.append(box, text, remove);
  return li;
}

// Does something, then shows what there is now, and what went wrong if anything did.
async function act(action) {
  let message = "";
  try {
    await action();
  } catch (error) {
    message = error.message;
  }
  try {
    byId("notes").replaceChildren(...(await call("GET", "")).map(item));
  } catch (error) {
    message ||= error.message;
  }
  byId("error").textContent = message;
}

byId("add").onsubmit = (event) => {
  event.preventDefault();
  act(async () => {
    await call("POST", "", { text: byId("text").value });
    byId("text").value = "";
  });
};
byId("complete").onclick = () => act(() => call("PUT", "/done"));
act(async () => {});
