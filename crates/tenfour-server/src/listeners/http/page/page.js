// The live page. What comes from others goes into the page as text only: no HTML is ever made of it.

const SHOWN = 200; // messages kept in the page
const LONGEST = 4000; // characters of a message that are shown
const POINTS = 60; // of a chart
const LOOK = 1000; // milliseconds between two looks at the status
const RETRY = 1000; // milliseconds before another attempt

const byId = (id) => document.getElementById(id);
const wait = (time) => new Promise((done) => setTimeout(done, time));

/** An element with text in it. */
function element(name, text = "", kind = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

// The token comes behind `#`, which a browser sends to nobody, and leaves the address at once. It stays in this tab.
function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem("token", given);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem("token");
}

let token = takeToken();
let mailbox = "inbox";
let mayLook = true;

class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

async function ask(path, options = {}) {
  const headers = { ...options.headers };
  if (token) headers.Authorization = `Bearer ${token}`;
  const answer = await fetch(path, { ...options, headers, cache: "no-store", credentials: "omit" });
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  throw new Refused(answer.status, problem.detail ?? answer.statusText);
}

function state(text, kind) {
  const place = byId("state");
  if (place.textContent !== text) place.textContent = text;
  place.className = kind;
}

function login(reason) {
  byId("login").hidden = false;
  byId("main").hidden = true;
  if (reason) byId("why").textContent = reason;
  state("a token is wanted", "bad");
}

// ---- messages as they come

let following = null;
let paused = false;
let waiting = [];

async function follow() {
  following?.abort();
  const mine = new AbortController();
  following = mine;
  let seen = null;
  while (!mine.signal.aborted) {
    try {
      const headers = seen === null ? {} : { "Last-Event-ID": seen };
      const path = `/v1/events?mailbox=${encodeURIComponent(mailbox)}` + (seen === null ? "&last=50" : "");
      const answer = await ask(path, { headers, signal: mine.signal });
      for await (const event of events(answer.body)) {
        if (mine.signal.aborted) return;
        if (event.id) seen = event.id;
        // A page that is not looked at draws nothing; the newest are enough for when it is.
        if (waiting.length >= 2 * SHOWN) waiting.splice(0, SHOWN);
        waiting.push(event);
        if (waiting.length === 1) requestAnimationFrame(show);
      }
    } catch (error) {
      if (mine.signal.aborted) return;
      if (error.status === 401) return login(error.message);
      if (error.status) byId("empty").textContent = error.message;
    }
    await wait(RETRY);
  }
}

/** Server-sent events, read by hand: EventSource cannot show a token. */
async function* events(body) {
  const decoder = new TextDecoderStream();
  let rest = "";
  const reader = body.pipeThrough(decoder).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const event = { event: "message", id: "", data: "" };
      for (const line of block.split("\n")) {
        const colon = line.indexOf(": ");
        if (colon > 0) event[line.slice(0, colon)] = line.slice(colon + 2);
      }
      if (event.data) yield event;
    }
  }
}

function show() {
  const arrived = waiting;
  waiting = [];
  if (paused) {
    // What is not shown is read again when it goes on.
    return;
  }
  const list = byId("list");
  const fresh = arrived.slice(-SHOWN).map((event) => {
    const data = JSON.parse(event.data);
    if (event.event === "went-back") return wentBack(data);
    return event.event === "skipped" ? skipped(data) : line(data);
  });
  list.prepend(...fresh.reverse());
  while (list.children.length > SHOWN) list.lastChild.remove();
  byId("empty").hidden = list.children.length > 0;
}

// What is above in the list is the mailbox as it is now; what is below was there before.
function wentBack({ last }) {
  const item = element("li");
  item.append(element("p", `The server went back (a restored backup, or a new store): the mailbox ends at #${last.toLocaleString("en")} now, and its messages follow from the oldest on`, "other"));
  return item;
}

function skipped({ count, from }) {
  const item = element("li");
  item.append(element("p", `${count.toLocaleString("en")} messages from #${from} on were too many to show`, "other"));
  return item;
}

function line(message) {
  const item = element("li", "", "new");
  const from = element("div", "", "from");
  const time = element("time", new Date(message.time).toLocaleTimeString());
  time.dateTime = message.time;
  time.title = message.time;
  from.append(element("span", `#${message.offset}`, "offset"), time, element("span", short(message.sender)));
  if (message.listener) from.append(element("span", message.listener));
  if (message.address) from.append(element("span", message.address));
  if (message.name) from.append(element("span", message.name));
  const save = element("button", "save");
  save.type = "button";
  save.setAttribute("aria-label", `save message ${message.offset}`);
  save.addEventListener("click", () => keep(message));
  from.append(save);
  item.append(from);
  if (message.text === undefined) {
    item.append(element("p", `${message.bytes.toLocaleString("en")} bytes`, "body other"));
  } else {
    const more = message.text.length - LONGEST;
    item.append(element("p", message.text.slice(0, LONGEST), "body"));
    if (more > 0) item.append(element("p", `and ${more.toLocaleString("en")} more`, "other"));
  }
  return item;
}

/** A fingerprint is long; its beginning is enough to tell two apart. */
function short(sender) {
  return sender.startsWith("SHA256:") ? `${sender.slice(0, 15)}…` : sender;
}

async function keep(message) {
  try {
    const path = `/v1/mailboxes/${encodeURIComponent(message.mailbox)}/messages/${message.offset}`;
    const body = await (await ask(path)).blob();
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([body], { type: "application/octet-stream" }));
    link.download = message.name ?? `${message.mailbox.replaceAll("/", "-")}-${message.offset}`;
    link.click();
    URL.revokeObjectURL(link.href);
  } catch (error) {
    receipt(`message ${message.offset} cannot be had: ${error.message}`, "bad");
  }
}

// ---- sending

// A message of which nobody knows whether it is stored keeps its key: sending it again cannot double it.
let unknown = null;

function receipt(text, kind) {
  byId("receipt").textContent = text;
  byId("receipt").className = kind;
}

function key() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function send(event) {
  event.preventDefault();
  const [to, text] = [byId("to").value.trim(), byId("text").value];
  const same = unknown && unknown.to === to && unknown.text === text;
  const mine = same ? unknown : { to, text, key: key() };
  const button = byId("send").querySelector("button");
  button.disabled = true;
  receipt("sending", "");
  const begun = performance.now();
  try {
    const answer = await ask(`/v1/mailboxes/${encodeURIComponent(to)}/messages`, {
      method: "POST",
      headers: { "Content-Type": "text/plain; charset=utf-8", "Idempotency-Key": mine.key },
      body: text,
    });
    const stored = await answer.json();
    unknown = null;
    const took = (performance.now() - begun).toFixed(1);
    const how = stored.durability === "disk" ? "" : ` in ${stored.durability}`;
    const again = stored.duplicate ? " before" : "";
    receipt(`10-4  ${stored.mailbox} #${stored.offset}  stored${how}${again}  ${took} ms`, "good");
    byId("text").value = "";
    byId("text").focus();
  } catch (error) {
    const isUnknown = !error.status || error.status === 500;
    unknown = isUnknown ? mine : null;
    receipt(isUnknown ? "no receipt: send it again, it is stored once at most" : `not stored: ${error.message}`, "bad");
  }
  button.disabled = false;
}

// ---- what the server is doing

const seenSoFar = { rate: [], half: [], most: [] };
let before = null;

async function look() {
  for (;;) {
    if (!document.hidden && mayLook) {
      try {
        const text = await (await ask("/v1/status")).text();
        status(text.trim().split("\n").map((row) => JSON.parse(row)));
        state("connected", "good");
      } catch (error) {
        if (error.status === 401) return login(error.message);
        if (error.status === 403) {
          mayLook = false;
          state("connected; this token may not see the status", "good");
        } else {
          state("not reached; trying again", "bad");
        }
      }
    }
    await wait(LOOK);
  }
}

function status(rows) {
  const of = (kind) => rows.filter((row) => row.kind === kind);
  const [server] = of("server");
  byId("about").textContent = `${server.software}, receipts mean ${server.durability}, since ${new Date(server.since).toLocaleString()}`;
  const mailboxes = of("mailbox");
  choices(mailboxes.map((row) => row.mailbox));
  table("mailboxes", mailboxes.map((row) => [chooser(row.mailbox), row.messages, size(row.bytes)]));
  table("connections", of("connection").map((row) => [
    row.name || short(row.sender),
    `${row.listener} ${row.address}`,
    row.in,
    row.out,
  ]));
  table("cursors", of("cursor").map((row) => [row.cursor, row.mailbox, row.lag]));
  table("refused", of("counter").filter((row) => row.count > 0).map((row) => [row.reason, row.count]));
  measure(server, of("receipt"));
}

function measure(server, receipts) {
  const now = { time: performance.now(), since: server.since, stored: server.stored, receipts };
  const last = before;
  before = now;
  // After a restart the counts begin anew.
  if (!last || last.since !== now.since) return;
  const rate = ((now.stored - last.stored) * 1000) / (now.time - last.time);
  const counts = receipts.map((row, at) => [row["within-us"], row.count - last.receipts[at].count]);
  const half = within(counts, 0.5);
  const most = within(counts, 0.99);
  for (const [name, value] of Object.entries({ rate, half, most })) {
    seenSoFar[name].push(value);
    if (seenSoFar[name].length > POINTS) seenSoFar[name].shift();
  }
  byId("rate-now").textContent = Math.round(rate).toLocaleString("en");
  byId("latency-now").textContent = half === null ? "–" : `${milliseconds(half)} · 99 % ${milliseconds(most)}`;
  draw("rate", [seenSoFar.rate], `${Math.round(rate)} messages a second`);
  const said = half === null ? "no receipts now" : `half within ${milliseconds(half)}, 99 % within ${milliseconds(most)}`;
  draw("latency", [seenSoFar.half, seenSoFar.most], said);
}

/** The end of the bucket, in microseconds, below which this part of the receipts lies; null without receipts. */
function within(counts, part) {
  const all = counts.reduce((sum, [, count]) => sum + count, 0);
  let sum = 0;
  for (const [end, count] of counts) {
    sum += count;
    if (all > 0 && sum >= all * part) return end === "more" ? 20_000_000 : end;
  }
  return null;
}

function milliseconds(micro) {
  return micro > 10_000_000 ? "more than 10 s" : `${micro / 1000} ms`;
}

function draw(id, lines, said) {
  const SVG = "http://www.w3.org/2000/svg";
  const top = Math.max(1, ...lines.flat().map((value) => value ?? 0));
  const drawn = lines.map((values, index) => {
    const points = values.map((value, at) => {
      const x = 240 - (values.length - 1 - at) * (240 / (POINTS - 1));
      return `${x.toFixed(1)},${(58 - ((value ?? 0) / top) * 54).toFixed(1)}`;
    });
    const line = document.createElementNS(SVG, "polyline");
    line.setAttribute("points", points.join(" "));
    if (index === 1) line.setAttribute("class", "most");
    if (index > 0 || points.length < 2) return [line];
    const area = document.createElementNS(SVG, "polygon");
    const first = points[0].split(",")[0];
    area.setAttribute("points", `${first},60 ${points.join(" ")} 240,60`);
    return [area, line];
  });
  byId(id).replaceChildren(...drawn.flat());
  byId(id).setAttribute("aria-label", said);
}

function table(id, rows) {
  const body = byId(id);
  const columns = body.parentElement.tHead.rows[0].cells;
  const lines = rows.map((cells) => {
    const row = element("tr");
    cells.forEach((cell, at) => {
      const place = element("td", "", columns[at].className);
      place.append(typeof cell === "number" ? cell.toLocaleString("en") : cell);
      row.append(place);
    });
    return row;
  });
  if (lines.length === 0) {
    const none = element("td", "none", "none");
    none.colSpan = columns.length;
    const row = element("tr");
    row.append(none);
    lines.push(row);
  }
  // A button that has the focus keeps it.
  const focused = body.contains(document.activeElement) ? document.activeElement.textContent : null;
  body.replaceChildren(...lines);
  if (focused) [...body.querySelectorAll("button")].find((button) => button.textContent === focused)?.focus();
}

/** Bytes for people. */
function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB"];
  let unit = 0;
  let shown = bytes;
  while (shown >= 10_000 && unit < units.length - 1) [shown, unit] = [shown / 1024, unit + 1];
  return `${Math.round(shown).toLocaleString("en")} ${units[unit]}`;
}

function chooser(name) {
  const button = element("button", name);
  button.type = "button";
  button.addEventListener("click", () => choose(name));
  return button;
}

function choices(names) {
  const select = byId("mailbox");
  const wanted = [...new Set(["inbox", mailbox, ...names])].sort();
  const shown = [...select.options].map((option) => option.value);
  if (wanted.join() === shown.join()) return;
  select.replaceChildren(...wanted.map((name) => element("option", name)));
  select.value = mailbox;
}

function choose(name) {
  mailbox = name;
  byId("mailbox").value = name;
  byId("to").value = name;
  restart();
}

function restart() {
  byId("list").replaceChildren();
  byId("empty").textContent = "No message yet.";
  byId("empty").hidden = false;
  follow();
}

// ---- what a person does

byId("send").addEventListener("submit", send);
byId("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("send").requestSubmit();
});
byId("mailbox").addEventListener("change", (event) => choose(event.target.value));
byId("pause").addEventListener("click", (event) => {
  paused = !paused;
  event.target.setAttribute("aria-pressed", String(paused));
  event.target.textContent = paused ? "Go on" : "Pause";
  if (!paused) restart();
});
byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", byId("token").value.trim());
  location.reload();
});

if (token) {
  follow();
  look();
} else {
  login();
}
