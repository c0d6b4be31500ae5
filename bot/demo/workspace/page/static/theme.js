// Before the first paint: the chosen theme and whether the bench is open. Only what was chosen is kept.
for (const name of ["theme", "bench"]) {
  const chosen = localStorage.getItem(`workspace.${name}`);
  if (chosen) document.documentElement.dataset[name] = chosen;
}
