// One button a format. The server answers with the file's content as this component's value.
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-format]");
  if (button) trigger("click", { format: button.dataset.format });
});
watch("value", () => {
  const file = props.value;
  if (!file || !file.data) return;
  const bytes = Uint8Array.from(atob(file.data), (c) => c.charCodeAt(0));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([bytes], { type: file.type }));
  link.download = file.name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
});
