// @ts-check
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/**
 * Keeps the dashboard true: listens to the event stream, fills in what the server has rendered, and sends
 * the actions. Whatever comes from a driver is set as text.
 */

import { Charts } from "./charts.js";
import * as words from "./words.js";

/** @import { Driver, Event } from "../../supervisor/schema.ts" */

/** Events that are kept to choose from, and that are shown. */
const KEPT = 1000;
const SHOWN = 200;
/** Reports that a card links to. */
const LINKED = 3;
/** Milliseconds after which a stream that the server refused is tried again. */
const RETRY = 3000;
/** Milliseconds without a word after which the connection is taken for lost: drivers come once a second. */
const SILENCE = 5000;

const EVENT_TYPES = /** @type {const} */ ([
  "starting",
  "ready",
  "log",
  "ended",
  "recovered",
  "spare",
  "interface",
  "address",
  "upgrade",
  "fault",
  "dma-fault",
  "manifest",
]);

/**
 * The part of the page that has a data attribute.
 * @param {string} name
 * @param {ParentNode} [within]
 * @returns {HTMLElement}
 */
function part(name, within = document) {
  const found = within.querySelector(`[data-${name}]`);
  if (!(found instanceof HTMLElement)) throw new Error(`The page has no data-${name}`);
  return found;
}

/**
 * @param {string} tag
 * @param {string} text
 * @param {string} [name] class
 */
function element(tag, text, name) {
  const made = document.createElement(tag);
  made.textContent = text;
  if (name) made.className = name;
  return made;
}

/**
 * Sets a text only where it changes, so that a selection in it and a screen reader are left in peace.
 * @param {Element} target
 * @param {string} text
 */
function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

const dashboard = part("dashboard");
let session = dashboard.dataset.session === "true";

/** Without a session all that steers is off, and the page says how to get one. */
function showSession() {
  part("read-only").hidden = session;
  for (const card of cards.values()) card.showButtons();
}

/** One driver's card. */
class Card {
  #root;
  #charts;
  #name;
  #busy = false;
  /** @type {string | undefined} */
  #state;

  /**
   * @param {HTMLElement} root
   * @param {string} name of the driver
   */
  constructor(root, name) {
    this.#root = root;
    this.#name = name;
    this.#charts = new Charts(root);
    for (const button of this.#buttons()) {
      button.addEventListener("click", () => this.#act(button.dataset.action ?? ""));
    }
    this.showButtons();
  }

  /** The card, to be put into the page or taken out. */
  get root() {
    return this.#root;
  }

  /**
   * Shows what is true now.
   * @param {Driver} driver
   * @param {number} now milliseconds since 1970
   */
  update(driver, now) {
    const { text, lists, shown, tone, budget, actions } = words.cardOf(driver, now);
    this.#root.dataset.tone = tone;
    for (const [name, value] of Object.entries(text)) {
      for (const field of this.#root.querySelectorAll(`[data-field="${name}"]`)) setText(field, value);
    }
    for (const [name, lines] of Object.entries(lists)) {
      const list = this.#root.querySelector(`[data-list="${name}"]`);
      const same = list && lines.length === list.children.length &&
        lines.every((line, index) => list.children[index].textContent === line);
      if (list && !same) list.replaceChildren(...lines.map((line) => element("li", line)));
    }
    for (const [name, visible] of Object.entries(shown)) {
      for (const place of this.#root.querySelectorAll(`[data-show="${name}"]`)) {
        if (place instanceof HTMLElement) place.hidden = !visible;
      }
    }
    const meter = part("budget", this.#root);
    if (meter instanceof HTMLMeterElement) {
      meter.max = budget.max;
      meter.low = budget.max * 0.5;
      meter.high = budget.max * 0.8;
      meter.value = budget.used;
    }
    for (const button of this.#buttons()) {
      button.hidden = !actions.includes(button.dataset.action ?? "");
    }
    this.#charts.add(driver, { time: now, written });
    if (this.#state !== undefined && this.#state !== driver.state) {
      const why = driver.state === "running" || !driver.reason ? "" : `: ${text.end}`;
      announce(`${text.name} is ${driver.state}${why}`);
    }
    this.#state = driver.state;
  }

  /**
   * Puts a link to a report before the others.
   * @param {{ id: string, time: string, text: string }} report
   */
  addReport({ id, time, text }) {
    const list = part("reports", this.#root);
    const latest = list.querySelector("time")?.getAttribute("datetime") ?? "";
    if (time <= latest) return;
    const link = element("a", "");
    link.setAttribute("href", words.reportPath(id));
    link.append(timeElement(time), ` ${text}`);
    const item = element("li", "");
    item.append(link);
    list.prepend(item);
    while (list.children.length > LINKED) list.lastElementChild?.remove();
  }

  /** Buttons are for those who may steer, and off while one is at work. */
  showButtons() {
    for (const button of this.#buttons()) {
      button.disabled = !session || this.#busy;
      if (session) button.removeAttribute("title");
      else button.title = 'Needs a session: run "ring3 dashboard"';
    }
  }

  #buttons() {
    return [...this.#root.querySelectorAll("button[data-action]")].filter((button) =>
      button instanceof HTMLButtonElement
    );
  }

  /** @param {string} action */
  async #act(action) {
    const name = words.visible(this.#name);
    /** @type {Record<string, { title: string, text: string, yes: string, busy: string, done: string }>} */
    const actions = {
      restart: {
        title: `Restart ${name}?`,
        text:
          "Another process of the same version takes over. Its interface, addresses and connections stay.",
        yes: "Restart",
        busy: "Restarting…",
        done: "Restarted.",
      },
      stop: {
        title: `Stop ${name}?`,
        text: "It ends, and stays ended until it is started again. Until then its device carries nothing.",
        yes: "Stop",
        busy: "Stopping…",
        done: "Stopped.",
      },
      start: { title: "", text: "", yes: "", busy: "Starting…", done: "Started." },
      kill: {
        title: `Kill ${name}?`,
        text:
          "Its process ends as by a fault, and recovery is put to the test. It counts against the budget.",
        yes: "Kill",
        busy: "Killing…",
        done: "It will end; watch it recover.",
      },
    };
    const { busy, done, ...question } = actions[action];
    // Starting takes nothing away, so it needs no second thought.
    const answer = action === "start" ? { how: "" } : await ask({ ...question, ways: action === "kill" });
    if (!answer) return;
    this.#busy = true;
    this.showButtons();
    this.#outcome(busy);
    const wrong = await send(this.#name, action, action === "kill" ? answer : {});
    this.#busy = false;
    this.showButtons();
    this.#outcome(wrong ?? done, wrong !== undefined);
    // The button that was used may have gone, as stop has for start.
    if (document.activeElement === document.body) {
      this.#buttons().find((button) => !button.hidden && !button.disabled)?.focus();
    }
  }

  /**
   * @param {string} text
   * @param {boolean} [wrong]
   */
  #outcome(text, wrong = false) {
    const outcome = part("outcome", this.#root);
    outcome.classList.toggle("wrong", wrong);
    outcome.textContent = text;
  }
}

/**
 * A chart's number in its unit.
 * @param {string} chart
 * @param {number} value
 */
function written(chart, value) {
  if (chart === "bytes") return `${words.bytes(value)}/s`;
  if (chart === "recoveries") return words.milliseconds(value);
  return chart === "wakeups" ? words.count(value) : `${words.count(value)}/s`;
}

/**
 * Asks before an action.
 * @param {{ title: string, text: string, yes: string, ways: boolean }} question
 * @returns {Promise<{ how: string } | undefined>} undefined: no
 */
function ask({ title, text, yes, ways }) {
  const dialog = part("confirm");
  if (!(dialog instanceof HTMLDialogElement)) throw new Error("The page's dialog is none");
  const form = dialog.querySelector("form");
  form?.reset();
  setText(/** @type {Element} */ (dialog.querySelector("h2")), title);
  setText(/** @type {Element} */ (dialog.querySelector("p")), text);
  setText(part("yes", dialog), yes);
  part("ways", dialog).hidden = !ways;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) =>
    dialog.addEventListener("close", () => {
      const how = form ? String(new FormData(form).get("how")) : "";
      resolve(dialog.returnValue === "yes" ? { how } : undefined);
    }, { once: true })
  );
}

/**
 * Sends an action.
 * @param {string} name
 * @param {string} action
 * @param {object} body
 * @returns {Promise<string | undefined>} what went wrong
 */
async function send(name, action, body) {
  try {
    const response = await fetch(words.actionPath(name, action), {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    if (response.ok) return undefined;
    if (response.status === 401) {
      session = false;
      showSession();
    }
    return words.visible(String((await response.json()).detail));
  } catch {
    return "No answer: the connection is lost, or the supervisor has ended.";
  }
}

/** @param {string} text */
function announce(text) {
  part("announce").textContent = text;
}

/**
 * @param {string} time
 */
function timeElement(time) {
  const made = element("time", words.clock(time, { utc: false }));
  made.setAttribute("datetime", time);
  return made;
}

/** The events, newest first, and what is shown of them. */
class Timeline {
  #list = part("events");
  /** @type {Event[]} */
  #events = [];
  /** Those that came while the list was not to follow. @type {Event[]} */
  #held = [];
  #filter;
  #follow;

  constructor() {
    const form = part("filter-form");
    const filter = form.querySelector("select");
    const label = part("follow");
    const follow = label.querySelector("input");
    if (!filter || !follow) throw new Error("The page's timeline is not whole");
    this.#filter = filter;
    this.#follow = follow;
    label.hidden = false;
    filter.addEventListener("change", () => this.#show());
    follow.addEventListener("change", () => this.#release());
    setText(part("zone"), "Times are this browser's, newest first.");
  }

  /** The id of the last event known, 0 without one. */
  get last() {
    return (this.#held.at(-1) ?? this.#events[0])?.id ?? 0;
  }

  /**
   * Takes events, oldest first; those known already are passed over.
   * @param {Event[]} events
   */
  add(events) {
    const fresh = events.filter(({ id }) => id > this.last);
    if (this.#follow.checked) this.#take(fresh);
    else {
      this.#held = [...this.#held, ...fresh].slice(-KEPT);
      const held = part("held");
      held.hidden = this.#held.length === 0;
      held.textContent = `${this.#held.length} newer, held back until you follow again.`;
    }
  }

  /** Forgets all. */
  clear() {
    this.#events = [];
    this.#held = [];
    this.#show();
  }

  /**
   * The drivers that one can choose.
   * @param {string[]} names
   */
  offer(names) {
    const options = [...this.#filter.options].slice(1);
    if (names.join("\n") === options.map(({ value }) => value).join("\n")) return;
    const chosen = this.#filter.value;
    for (const option of options) option.remove();
    for (const name of names) this.#filter.add(new Option(words.visible(name), name));
    this.#filter.value = names.includes(chosen) ? chosen : "";
    this.#show();
  }

  #release() {
    if (!this.#follow.checked) return;
    const held = this.#held;
    this.#held = [];
    part("held").hidden = true;
    this.#take(held);
  }

  /** @param {Event[]} fresh oldest first */
  #take(fresh) {
    this.#events = [...fresh.toReversed(), ...this.#events].slice(0, KEPT);
    const shown = fresh.filter((event) => this.#chosen(event)).slice(-SHOWN);
    this.#list.prepend(...shown.toReversed().map(row));
    while (this.#list.children.length > SHOWN) this.#list.lastElementChild?.remove();
  }

  #show() {
    const shown = this.#events.filter((event) => this.#chosen(event)).slice(0, SHOWN);
    this.#list.replaceChildren(...shown.map(row));
  }

  /** @param {Event} event */
  #chosen(event) {
    return this.#filter.value === "" || event.driver === this.#filter.value;
  }
}

/** @param {Event} event */
function row(event) {
  const { word, tone, text, report } = words.eventOf(event);
  const made = element("li", "");
  made.dataset.tone = tone;
  const what = element("span", "", "what");
  what.append(element("bdi", text));
  if (report !== null) {
    const link = element("a", "Report");
    link.setAttribute("href", words.reportPath(report));
    what.append(" ", link);
  }
  made.append(
    timeElement(event.time),
    element("bdi", words.visible(event.driver), "who"),
    element("span", word, "word"),
    what,
  );
  return made;
}

/** @type {Map<string, Card>} */
const cards = new Map();
for (const root of document.querySelectorAll("article[data-driver]")) {
  if (root instanceof HTMLElement) {
    cards.set(root.dataset.driver ?? "", new Card(root, root.dataset.driver ?? ""));
  }
}
for (const time of document.querySelectorAll(".reports time")) {
  setText(time, words.clock(time.getAttribute("datetime") ?? "", { utc: false }));
}
const timeline = new Timeline();

/**
 * Shows all drivers as they are, with cards for those that are new.
 * @param {{ time: string, drivers: Driver[] }} state
 */
function showDrivers({ time, drivers }) {
  const now = Date.parse(time);
  for (const [name, card] of cards) {
    if (drivers.some((driver) => driver.name === name)) continue;
    card.root.remove();
    cards.delete(name);
  }
  for (const driver of drivers) {
    const card = cards.get(driver.name) ?? addCard(driver.name);
    card.update(driver, now);
  }
  const unsafe = drivers.filter(words.isUnsafe).length;
  setText(part("overview"), words.overview(drivers));
  setText(part("unsafe"), `${unsafe} unsafe`);
  part("unsafe").hidden = unsafe === 0;
  part("empty").hidden = drivers.length > 0;
  timeline.offer(drivers.map(({ name }) => name));
}

/** @param {string} name */
function addCard(name) {
  const template = document.querySelector("template[data-card]");
  const root = template instanceof HTMLTemplateElement
    ? template.content.firstElementChild?.cloneNode(true)
    : undefined;
  if (!(root instanceof HTMLElement)) throw new Error("The page has no card to make others of");
  root.dataset.driver = name;
  root.setAttribute("aria-label", words.visible(name));
  root.querySelector(".actions")?.setAttribute("aria-label", `Actions on ${words.visible(name)}`);
  root.querySelector("nav")?.setAttribute("aria-label", `Reports of ${words.visible(name)}`);
  part("all-reports", root).setAttribute("href", words.reportsPath(name));
  const card = new Card(root, name);
  cards.set(name, card);
  part("cards").append(root);
  return card;
}

/** @type {EventSource | undefined} */
let stream;
let heard = Date.now();

/** Opens the stream, from the last event known. */
function connect() {
  stream?.close();
  stream = new EventSource(`/api/v1/events/stream?after=${timeline.last}`);
  heard = Date.now();
  stream.addEventListener("drivers", (message) => {
    heard = Date.now();
    showConnection(true);
    showDrivers(JSON.parse(message.data));
  });
  for (const type of EVENT_TYPES) {
    stream.addEventListener(type, (message) => {
      const event = /** @type {Event} */ (JSON.parse(message.data));
      timeline.add([event]);
      if (event.type === "ended") {
        const { report: id, time, driver, reason } = event;
        if (id) cards.get(driver)?.addReport({ id, time, text: words.ENDS[reason.kind] });
      }
    });
  }
  stream.addEventListener("gap", () => timeline.clear());
  stream.addEventListener("error", () => {
    showConnection(false);
    // The browser tries again by itself, unless it was refused.
    if (stream?.readyState === EventSource.CLOSED) setTimeout(connect, RETRY);
  });
}

/** @param {boolean} connected */
function showConnection(connected) {
  part("live").hidden = !connected;
  const lost = part("lost");
  dashboard.classList.toggle("stale", !connected);
  if (connected) lost.hidden = true;
  else if (lost.hidden) {
    lost.textContent = `Connection lost. What you see is from ${
      words.clock(new Date(heard).toISOString(), { utc: false }).slice(0, 8)
    }. Trying again…`;
    lost.hidden = false;
  }
}

setInterval(() => {
  if (Date.now() - heard < SILENCE || stream?.readyState !== EventSource.OPEN) return;
  showConnection(false);
  connect();
}, SILENCE);

showSession();
try {
  const known = await fetch(`/api/v1/events?limit=${KEPT}`).then((response) => response.json());
  timeline.clear();
  timeline.add(known.events);
} catch {
  // The stream will fail as well, say so, and bring them once it does not.
}
connect();
