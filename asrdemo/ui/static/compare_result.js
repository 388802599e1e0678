// A new comparison is below the fold on a phone: bring it into view, but leave those alone who read elsewhere.
watch("value", () => {
  const fresh = element.querySelector(".comparison[aria-busy=true]");
  if (!fresh || element.getBoundingClientRect().top < innerHeight * 0.6) return;
  setTimeout(() => element.scrollIntoView({ behavior: "smooth", block: "start" }), 150);
});
