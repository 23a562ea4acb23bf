"use strict";
(() => {
  const ago = () => {
    for (const time of document.querySelectorAll("time[datetime]")) {
      const seconds = Math.round((Date.now() - Date.parse(time.dateTime)) / 1000);
      const [count, unit] = seconds < 90 ? [seconds, "second"] : seconds < 5400 ? [seconds / 60, "minute"]
        : seconds < 129600 ? [seconds / 3600, "hour"] : [seconds / 86400, "day"];
      const words = new Intl.RelativeTimeFormat("en").format(-Math.round(count), unit);
      if (time.nextElementSibling?.className === "ago") time.nextElementSibling.textContent = `· ${words}`;
    }
  };
  let busy = false, again = false;
  const load = async () => {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const answer = await fetch(location.href, { cache: "no-store" });
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      const open = new Set([...document.querySelectorAll("details[open]")].map((details) => details.id));
      const focus = document.activeElement?.id;
      for (const details of fresh.querySelectorAll("details")) if (open.has(details.id)) details.open = true;
      document.querySelector("main").replaceChildren(...fresh.querySelector("main").childNodes);
      const [said, says] = [document.querySelector("#news"), fresh.querySelector("#news")];
      if (said.textContent !== says.textContent) said.textContent = says.textContent;
      if (focus) document.getElementById(focus)?.focus({ preventScroll: true });
      ago();
    } finally {
      busy = false;
      if (again) { again = false; load(); }
    }
  };
  ago();
  setInterval(ago, 10000);
  const events = new EventSource("/events");
  events.addEventListener("gates", load);
  events.addEventListener("error", () => { if (events.readyState === EventSource.CLOSED) setInterval(load, 30000); });
})();
