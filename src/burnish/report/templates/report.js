// Comfort only: the page reads the same without it.
for (const button of document.querySelectorAll("button[data-copy]")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}
const form = document.querySelector("#filters");
if (form) {
  const rows = [...document.querySelectorAll("details.row")].map((fold) => ({
    fold, tags: new Set(fold.dataset.tags.split(" ")), text: fold.textContent.toLowerCase(),
  }));
  const batches = [...document.querySelectorAll("details.batch")];
  let wasFiltered = false;
  const filter = () => {
    const { words, ...tags } = Object.fromEntries(new FormData(form));
    const wanted = Object.values(tags).filter(Boolean);
    const said = words.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const { fold, tags, text } of rows) {
      fold.hidden = !(wanted.every((tag) => tags.has(tag)) && said.every((word) => text.includes(word)));
      shown += !fold.hidden;
    }
    const isFiltered = said.length > 0 || Object.values(tags).some(Boolean);
    for (const batch of batches) {
      batch.hidden = !batch.querySelector("details.row:not([hidden])");
      if (isFiltered !== wasFiltered) batch.open = isFiltered;
    }
    wasFiltered = isFiltered;
    form.querySelector("output").textContent = `${shown} of ${rows.length} rows`;
  };
  const open = () => {
    const target = /^#row-\d+$/.test(location.hash) && document.querySelector(location.hash);
    if (!target) return;
    form.reset();
    filter();
    for (let fold = target.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
    target.parentElement.scrollIntoView();
    target.focus({ preventScroll: true });
  };
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(filter));
  addEventListener("hashchange", open);
  form.hidden = false;
  filter();
  open();
}
addEventListener("beforeprint", () => {
  for (const fold of document.querySelectorAll("details[data-print]")) fold.open = true;
});
