// Runs once when the page loads: the light/dark switch, and a spoken language for the document.
() => {
  const KEY = "asrdemo-theme";
  const dark = (on) => document.body.classList.toggle("dark", on);
  const kept = localStorage.getItem(KEY);
  const asked = new URLSearchParams(location.search).get("__theme");
  if (kept && !asked) dark(kept === "dark");
  document.addEventListener("click", (event) => {
    if (!event.target.closest("#theme-switch")) return;
    const on = !document.body.classList.contains("dark");
    dark(on);
    localStorage.setItem(KEY, on ? "dark" : "light");
  });
}
