// What moves in a page: times in the reader's zone, what is under way, and forms that ask first.
"use strict";
(() => {
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const two = (number) => String(number).padStart(2, "0");
  const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

  const span = (seconds) => {
    if (seconds < 60) return `${Math.max(0, Math.floor(seconds))} s`;
    const minutes = Math.floor(seconds / 60);
    if (minutes < 60) return `${minutes} min`;
    const hours = Math.floor(minutes / 60);
    if (hours < 10) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
    return hours < 48 ? `${hours} h` : `${Math.floor(hours / 24)} days`;
  };
  const bytes = (count) => {
    let number = count;
    for (const unit of ["bytes", "KiB", "MiB", "GiB"]) {
      if (number < 1024) return `${unit === "bytes" || number >= 100 ? number.toFixed(0) : number.toFixed(1)} ${unit}`;
      number /= 1024;
    }
    return `${number.toFixed(1)} TiB`;
  };
  const say = (element, words) => { if (element && element.textContent !== words) element.textContent = words; };

  const times = () => {
    const now = Date.now();
    for (const element of all("time")) {
      const at = new Date(element.dateTime);
      const past = (now - at) / 1000;
      if ("when" in element.dataset) say(element, `${two(at.getDate())} ${months[at.getMonth()]} ${two(at.getHours())}:${two(at.getMinutes())}`);
      if ("since" in element.dataset) say(element, `${span(past)} ago`);
      if ("age" in element.dataset) say(element, span(past));
      if ("until" in element.dataset) say(element, past < 0 ? `in ${span(-past)}` : "now");
    }
  };
  times();
  document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  setInterval(times, 1000);

  // What was done is said once, and not again when the page is loaded anew.
  const here = new URL(location.href);
  if (here.searchParams.has("done")) {
    here.searchParams.delete("done");
    history.replaceState(null, "", here);
  }

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.confirm && !confirm(form.dataset.confirm)) return event.preventDefault();
    for (const button of all("button", form)) setTimeout(() => { button.disabled = true; });
  });
  addEventListener("pageshow", () => { for (const button of all("button[disabled]")) button.disabled = false; });

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    say(button, "Copied");
  });

  const list = document.querySelector("[data-live-list]");
  const sizes = new Map();
  const rate = (now) => {
    const [at, read] = [performance.now() / 1000, now.Read + Object.values(now.Sent).reduce((a, b) => a + b, 0)];
    const before = sizes.get(now.Id) ?? { at, read, rate: null };
    if (at - before.at < 1) return before.rate;
    const found = { at, read, rate: (read - before.read) / (at - before.at) };
    sizes.set(now.Id, found);
    return found.rate;
  };
  const drive = (card, label, now) => {
    const line = all("[data-drive]", card).find((each) => each.dataset.drive === label);
    if (!line) return;
    const [sent, state] = [now.Sent[label] ?? 0, now.Drives[label]];
    const bar = line.querySelector("progress");
    bar.max = Math.max(now.Stored, sent, 1);
    bar.value = state === "finished" ? bar.max : sent;
    say(line.querySelector("[data-sent]"), bytes(sent));
    say(line.querySelector("[data-state]"), state);
  };
  const progress = (now) => {
    const card = all("[data-id]", list).find((each) => each.dataset.id === now.Id);
    if (!card) return fresh();
    if (!sizes.has(now.Id)) sizes.set(now.Id, { at: performance.now() / 1000, read: now.Read, rate: null });
    const fast = rate(now);
    say(card.querySelector("[data-phase]"), now.Phase ?? "ending");
    say(card.querySelector("[data-read]"), bytes(now.Read));
    say(card.querySelector("[data-stored]"), bytes(now.Stored));
    say(card.querySelector("[data-seconds]"), span(now.Seconds));
    if (fast !== null) say(card.querySelector("[data-rate]"), `${bytes(fast)}/s`);
    for (const label of Object.keys(now.Drives)) drive(card, label, now);
  };

  // What the reader has done with a part of the page is no change of it: what was typed, chosen, opened or focused.
  const plain = (part) => {
    const copy = part.cloneNode(true);
    for (const each of all("time", copy)) each.textContent = "";
    for (const each of all("details[open]", copy)) each.open = false;
    return copy;
  };
  const place = (each) => [each.localName, each.closest("form")?.action, each.name, each.id, each.href].join(" ");
  const exchange = (part, next) => {
    if (plain(part).isEqualNode(plain(next))) return;
    if (part.querySelector(":active")) return void setTimeout(fresh, 500); // a click is under way
    const twin = (each) => all(each.localName, next).find((other) => place(other) === place(each));
    for (const field of all("input:not([type=hidden]), select", part)) if (twin(field)) twin(field).value = field.value;
    all("details", part).forEach((each, at) => { if (each.open && all("details", next)[at]) all("details", next)[at].open = true; });
    const focused = part.contains(document.activeElement) ? document.activeElement : null;
    const [heir, from, to] = [focused && twin(focused), focused?.selectionStart, focused?.selectionEnd];
    part.replaceWith(next);
    heir?.focus({ preventScroll: true });
    if (Number.isInteger(from)) heir?.setSelectionRange(from, to);
  };

  // Says why the page cannot be brought up to date, and since when: a good sentence that is old is no good one.
  const stale = document.querySelector("[data-stale]");
  const behind = (why) => {
    if (!stale) return;
    say(stale.querySelector("[data-why]"), why);
    stale.hidden = !why;
    if (!why) stale.querySelector("time").dateTime = new Date().toISOString();
  };
  behind("");

  // Fetches the page anew: what has changed is replaced, the rest stays as the reader left it.
  const renew = async () => {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, signal: AbortSignal.timeout(15000) });
    if (answer.redirected) return behind("You are not signed in any more.");
    if (!answer.ok) return behind(`The daemon says that something is wrong (${answer.status}).`);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of all("[data-fresh]")) {
      const next = page.querySelector(`[data-fresh="${part.dataset.fresh}"]`);
      if (next) exchange(part, next);
    }
    behind("");
    if (!list) return times();
    const running = all("[data-live-list] [data-id]", page);
    const ids = (cards) => new Set(cards.map((card) => card.dataset.id));
    const [here, there] = [ids(all("[data-id]", list)), ids(running)];
    for (const card of all("[data-id]", list)) if (!there.has(card.dataset.id)) card.remove();
    for (const card of running) if (!here.has(card.dataset.id)) list.append(card);
    times();
  };
  let [busy, again] = [false, false];
  const fresh = async () => {
    again = true;
    if (busy) return;
    busy = true;
    try {
      while (again) {
        again = false;
        await renew();
      }
    } catch { // the stream, or the next time, finds it again
      behind("The daemon cannot be reached.");
    } finally { busy = false; }
  };
  let stream = null;
  const listen = () => {
    stream = new EventSource(document.body.dataset.live);
    const about = (act) => (event) => {
      const now = JSON.parse(event.data);
      if (!list.dataset.only || list.dataset.only === now.Id) act(now);
    };
    stream.addEventListener("open", fresh); // what has ended before is told no more
    stream.addEventListener("error", fresh);
    stream.addEventListener("began", about(fresh));
    stream.addEventListener("progress", about(progress));
    stream.addEventListener("ended", about(fresh));
  };
  if (document.body.dataset.live && list) {
    listen();
    addEventListener("pagehide", () => stream.close());
  }
  const every = document.querySelector("[data-every]")?.dataset.every; // of what no stream tells
  const look = () => {
    if (document.hidden) return;
    if (stream?.readyState === EventSource.CLOSED) listen(); // it was refused, and tries no more by itself
    fresh();
  };
  if (every) {
    setInterval(look, every * 1000);
    document.addEventListener("visibilitychange", look);
  }
})();
