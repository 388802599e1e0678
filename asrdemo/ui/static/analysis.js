// The Error analysis page. All its state is the address (see analysis/state.py): a click changes the address, then asks
// the server for the parts of the page that depend on it. The filter's part of it is in filter_bar.js. Runs once when
// the page loads.
() => {
  const TAB = "analysis";
  const bar = window.asrdemoFilter;
  const VIEW = ["view", "by", "heat", "unit", "said", "heard", "sort", "leaf", "open"];
  const OWN = ["tab", "results", ...VIEW];
  const asked = new URLSearchParams(location.search);
  let state = new URLSearchParams(asked.get("tab") === TAB ? location.search : "");
  let ready = false, awaited = "", settledOn = "", trigger = null, extra = "", focus = null, opener = null, opening = false;
  state.delete("tab");
  state.delete("__theme");

  const root = () => document.getElementById("analysis");
  const tabButton = () => document.querySelector("#tabs [role=tab][data-tab-id=analysis]")
    || [...document.querySelectorAll("#tabs [role=tab]")].find((b) => b.textContent.trim() === "Error analysis");
  const inView = () => root()?.offsetParent != null;

  // step: the browser's Back leads here again; else the address is only put right
  function write(step = false) {
    const theme = new URLSearchParams(location.search).get("__theme");
    const next = new URLSearchParams([["tab", TAB], ...state]);
    if (theme) next.set("__theme", theme);
    const address = `?${next}`;
    if (address === location.search) return;
    history[step ? "pushState" : "replaceState"](history.state, "", location.pathname + address);
  }

  // Back and forward: the page is again what the address says
  function back() {
    const query = new URLSearchParams(location.search);
    const tab = query.get("tab");
    if (tab !== TAB) return inView() && document.querySelector(`#tabs [role=tab]${tab ? `[data-tab-id="${CSS.escape(tab)}"]` : ""}`)?.click();
    query.delete("tab");
    query.delete("__theme");
    state = query;
    stop();
    if (detail()) detail().hidden = !state.has("open");
    if (inView()) go("choose", false);
    else tabButton()?.click();
  }
  window.addEventListener("popstate", back);

  function go(event = "show", step = true) {
    write(step);
    sync();
    root()?.classList.toggle("busy", event !== "mark");
    if (event === "show" || event === "choose") wait();
    trigger?.(event);
  }

  // What takes longer is dimmed until it is that of these results and this filter
  function wait() {
    awaited = subject();
    root()?.classList.toggle("behind", awaited !== settledOn);
  }

  const subject = (of = state) => [...of].filter(([key]) => key === "results" || !OWN.includes(key)).join("&");

  // A filter change starts the tables anew from their first page; a clip that is open stays so
  const changed = () => state.delete("leaf");

  function fromForm(form) {
    const before = state.getAll("results").join("\n"), said = state.size;
    state = bar.fromForm(state, form);
    changed();
    // a word that is typed on is one step back, not one for each letter
    if (state.getAll("results").join("\n") === before) return go("show", state.size !== said);
    dropFilters(); // other results may have other columns
    go("choose");
  }

  // Results in another order are of the same clips: the filter holds
  function results(names, same = false) {
    const rest = [...state].filter(([key]) => key !== "results" && (same || OWN.includes(key)));
    state = new URLSearchParams([...names.map((name) => ["results", name]), ...rest]);
    changed();
    go("choose");
  }

  const dropFilters = () => (state = new URLSearchParams([...state].filter(([key]) => OWN.includes(key))));

  function where(query) {
    state = bar.added(state, query);
    changed();
  }

  function set(query) {
    for (const [key, value] of new URLSearchParams(query)) {
      if (key.startsWith("-")) state.delete(key.slice(1));
      else state.set(key, value);
    }
  }

  const without = (pairs) => (state = bar.without(state, pairs));

  function toggle(pair) {
    const [key, value] = [...new URLSearchParams(pair)][0];
    if (state.getAll(key).includes(value)) without(pair);
    else state.append(key, value);
  }

  const acts = {
    drop: (b) => (without(b.dataset.drop), changed(), go()),
    clear: () => (dropFilters(), changed(), go()),
    reset: () => ((state = new URLSearchParams()), go("choose")),
    only: (b) => ((b.closest(".drop").open = false), results([b.dataset.only])),
    first: (b) => results([b.dataset.first, ...state.getAll("results").filter((name) => name !== b.dataset.first)], true),
    toggle: (b) => (toggle(b.dataset.toggle), go()),
    where: (b) => ("anew" in b.dataset && dropFilters(), where(b.dataset.where), b.dataset.go && set(b.dataset.go), turn() || go()),
    go: (b) => (b.dataset.event ? (dropFilters(), set(b.dataset.go), go(b.dataset.event)) : (set(b.dataset.go), turn() || go())),
    hear: (b) => hear(b),
    close: () => close(),
    copy: (b) => {
      write();
      navigator.clipboard?.writeText(location.href).then(() => (b.textContent = "Link copied"));
    },
    mark: (b) => {
      const clip = b.closest("[data-clip]").dataset.clip; // the one that is seen, whichever was asked for since
      extra = `&open=${encodeURIComponent(clip)}&mark=${encodeURIComponent(b.dataset.mark)}`;
      go("mark");
    },
    save: (b) => ((extra = `&what=${encodeURIComponent(b.dataset.save)}`), trigger?.("save")),
  };

  // Where the address now says another view than the open one, its tab is opened, which asks for what it shows
  function turn() {
    const tab = document.querySelector(`#analysis-views [role=tab][data-tab-id="${state.get("view") || "where"}"]`);
    if (!tab || tab.getAttribute("aria-selected") === "true") return false;
    tab.click();
    return true;
  }

  document.addEventListener("click", (event) => {
    seek(event);
    const main = event.target.closest("#tabs > .tab-wrapper [role=tab], #tabs > div > .tab-container [role=tab]");
    if (main && main.closest("#analysis") === null && main !== tabButton()) leave();
    const button = event.target.closest("#analysis button, #analysis a[data-go]");
    const act = button && Object.keys(acts).find((name) => name in button.dataset);
    if (!act) return;
    event.preventDefault();
    focus = describe(button);
    acts[act](button);
  });

  bar.listen("#analysis", fromForm);
  document.addEventListener("change", (event) => {
    const field = event.target;
    if (!field.closest?.("#analysis")) return;
    if (field.dataset.heat !== undefined) heat();
    if (field.dataset.sort !== undefined) (set(`sort=${field.value}&-leaf=`), go());
  });

  // A clip opens at the bottom of the page. What is to be played waits until the server has sent the clip.
  const detail = () => document.getElementById("analysis-detail");
  const player = () => detail()?.querySelector("audio");
  let wanted = null, until = Infinity;

  function hear(button) {
    const { hear: clip, from, to } = button.dataset;
    wanted = { from: Number(from || 0), to: to ? Number(to) : Infinity };
    const shown = detail().querySelector(".detail");
    state.set("open", clip);
    if (!detail().contains(button)) opener = `[data-hear="${CSS.escape(clip)}"]`;
    opening = detail().hidden || shown?.dataset.clip !== clip;
    detail().hidden = false;
    if (shown?.dataset.clip !== clip) return go("hear");
    write(true);
    listen();
  }

  // To the row that it was opened from goes the focus back
  function close() {
    stop();
    state.delete("open");
    write(true);
    detail().hidden = true;
    [...root().querySelectorAll(opener ?? "[data-hear]")].find((each) => each.offsetParent)?.focus({ preventScroll: true });
  }

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && event.target.closest?.("#analysis-detail")) close();
  });

  function listen() {
    const audio = player();
    const shown = detail()?.querySelector(".detail");
    if (!shown || shown.dataset.clip !== state.get("open")) return; // the one asked for is still to come
    if (opening) shown.focus({ preventScroll: true });
    opening = false;
    if (!audio || !wanted) return;
    until = wanted.to;
    audio.currentTime = wanted.from;
    audio.play().catch(() => {}); // the browser may want a click first; its own controls are there
    wanted = null;
  }

  const stop = () => player()?.pause();

  // While a clip plays: the head moves over its picture, and the word being heard is marked
  function follow() {
    const audio = player();
    if (audio) {
      if (audio.currentTime >= until) {
        audio.pause();
        until = Infinity;
      }
      const scene = detail().querySelector(".scene");
      scene.querySelector(".head").style.left = `${(100 * audio.currentTime) / scene.dataset.seconds}%`;
      for (const word of scene.querySelectorAll("[data-start]")) {
        const on = !audio.paused && audio.currentTime >= word.dataset.start && audio.currentTime < word.dataset.end;
        if (word.classList.contains("heard") !== on) word.classList.toggle("heard", on);
      }
    }
    requestAnimationFrame(follow);
  }
  requestAnimationFrame(follow);

  function seek(event) {
    const scene = event.target.closest?.("#analysis .scene");
    if (!scene) return;
    const box = scene.getBoundingClientRect();
    wanted = { from: (scene.dataset.seconds * (event.clientX - box.left)) / box.width, to: Infinity };
    listen();
  }

  function heat() {
    const [down, across] = [0, 1].map((i) => root().querySelector(`[data-heat="${i}"]`).value);
    if (down === across) return;
    state.set("heat", `${down}*${across}`);
    go();
  }

  // Other tabs of the app have addresses of their own
  function leave() {
    if (new URLSearchParams(location.search).get("tab") === TAB) history.pushState(history.state, "", location.pathname);
  }

  // The focus stays where it was although the server drew that part anew
  const describe = (button) => {
    const name = ["where", "drop", "toggle", "first", "go", "save", "mark", "clear", "reset", "close"].find((n) => n in button.dataset);
    return name ? `[data-${name}="${CSS.escape(button.dataset[name])}"]` : null;
  };

  function refocus() {
    if (!focus || (document.activeElement && document.activeElement !== document.body)) return;
    const again = [...root().querySelectorAll(focus)].find((each) => each.offsetParent);
    (again ?? root().querySelector(".headline, .nothing"))?.focus({ preventScroll: true });
  }

  window.asrdemoAnalysis = {
    connect: (fire) => (trigger = fire),
    address() {
      if (inView() || !state.size) write();
      const said = `?${state}${extra}`;
      extra = "";
      return said;
    },
    // Which view was opened, as its tab tells
    look(view) {
      if (ready) { // before, it is the tab that comes first, whatever the address says
        const before = new URLSearchParams(location.search).get("view") || "where";
        if (before !== view || state.has("view")) state.set("view", view);
        write(before !== view);
        wait();
      }
      return this.address();
    },
    sync: () => sync(),
    // What takes longer is there; for which address the server tells, "" for one that was left meanwhile
    late(address) {
      if (!address || subject(new URLSearchParams(address)) !== subject()) return;
      settledOn = awaited = subject();
      root()?.classList.remove("behind");
      refocus();
    },
    // A clip was marked, and shown again for it; another one may have been asked for in between
    marked() {
      this.settled();
      const shown = detail()?.querySelector(".detail")?.dataset.clip;
      if (shown && state.has("open") && shown !== state.get("open")) go("hear");
    },
    settled(chosen = false) {
      ready ||= chosen;
      root()?.classList.remove("busy");
      if (inView()) write();
      listen();
      const places = document.getElementById("analysis-places");
      if (places && focus?.startsWith("[data-go")) places.scrollIntoView({ block: "nearest", behavior: "smooth" });
      const clip = detail()?.querySelector(".detail")?.dataset.clip;
      for (const row of root()?.querySelectorAll("[data-row]") ?? []) row.classList.toggle("open", row.dataset.row === clip);
      refocus();
    },
  };

  const download = (file) => {
    if (!file?.url) return;
    const link = document.createElement("a");
    link.href = file.url;
    link.download = file.orig_name || "";
    document.body.append(link);
    link.click();
    link.remove();
  };
  window.asrdemoAnalysis.download = download;

  function sync() {
    const form = root()?.querySelector("form.picker");
    if (!form) return;
    bar.show(state, form);
    if (!state.has("results")) { // what the page chose belongs to the address, too
      for (const e of form.querySelectorAll("[name=results]:checked")) state.append("results", e.value);
      if (inView()) write();
    }
  }

  if (asked.get("tab") === TAB) setTimeout(() => tabButton()?.click(), 0);
}
