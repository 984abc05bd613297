"use strict";
const find = (id) => document.getElementById(id);
const headers = { "content-type": "application/json", "x-modash-request": "1" };

// Only to a page of this gateway. The whole address: a path may begin with two slashes, which
// alone would name another host.
const target = () => {
  const to = new URL(new URLSearchParams(location.search).get("to") ?? "/", location.origin);
  return to.origin === location.origin ? to.href : "/";
};

const show = async () => {
  const answer = await fetch("/session");
  const session = answer.ok ? await answer.json() : undefined;
  find("form").hidden = session !== undefined;
  find("session").hidden = session === undefined;
  if (session === undefined) return;
  find("out").hidden = session.open === true;
  find("who").textContent = session.open ? "This gateway asks for no token." : `Signed in as ${session.name}, sees ${session.sees}.`;
};

find("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const message = find("message");
  message.textContent = "";
  try {
    const body = JSON.stringify({ token: find("token").value });
    const answer = await fetch("/session", { method: "POST", headers, body });
    if (answer.ok) return location.replace(target());
    message.textContent = (await answer.json()).message;
  } catch {
    message.textContent = "The gateway cannot be reached; try again.";
  }
});

find("out").addEventListener("click", async () => {
  await fetch("/session", { method: "DELETE", headers });
  await show();
});

show();
